package vfs

import (
	"fmt"
	"sync"
	"sync/atomic"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

// statusFlags are the flags that F_GETFL reports besides the access mode.
const (
	settableFlags = linux.O_APPEND | linux.O_NONBLOCK | linux.O_DIRECT | linux.O_NOATIME
	keptFlags     = settableFlags | linux.O_ACCMODE | linux.O_SYNC | linux.O_DSYNC | linux.O_DIRECTORY |
		linux.O_NOFOLLOW | linux.O_PATH | linux.O_LARGEFILE | linux.O_TMPFILE
)

// FileDescription is what open(2) makes and what descriptors refer to: shared
// after dup and fork, with one offset. It is counted: whoever gets one from a
// function of this package must DecRef it.
type FileDescription struct {
	file File
	loc  Location
	refs atomic.Int64

	flags atomic.Uint32

	mu  sync.Mutex // serializes what uses off, as f_pos_lock does
	off int64

	hookMu sync.Mutex
	hooks  map[any]func() // OnRelease

	async asyncState
}

// NewFileDescription makes a description with one reference. flags are those of
// open(2); loc says what was opened.
func NewFileDescription(file File, loc Location, flags uint32) *FileDescription {
	if d, ok := file.(Described); ok && loc.Label == "" {
		loc.Label = d.Describe()
	}
	f := &FileDescription{file: file, loc: loc}
	f.refs.Store(1)
	f.flags.Store(flags & keptFlags)
	return f
}

// IncRef adds a reference.
func (f *FileDescription) IncRef() { f.refs.Add(1) }

// DecRef drops a reference; the last one releases the file.
func (f *FileDescription) DecRef() {
	switch n := f.refs.Add(-1); {
	case n == 0:
		if l := f.locks(); l != nil {
			l.releaseOwner(f)
		}
		f.runHooks()
		f.SetAsync(nil)
		f.release()
	case n < 0:
		panic("BUG: file description has a negative count of references")
	}
}

// OnRelease makes the last DecRef call fn before the file is released; a nil fn
// takes key's back. epoll(7) forgets closed files by it.
func (f *FileDescription) OnRelease(key any, fn func()) {
	f.hookMu.Lock()
	defer f.hookMu.Unlock()
	if fn == nil {
		delete(f.hooks, key)
		return
	}
	if f.hooks == nil {
		f.hooks = map[any]func(){}
	}
	f.hooks[key] = fn
}

func (f *FileDescription) runHooks() {
	f.hookMu.Lock()
	hooks := f.hooks
	f.hooks = nil
	f.hookMu.Unlock()
	for _, fn := range hooks {
		fn()
	}
}

// File returns the description's behaviour.
func (f *FileDescription) File() File { return f.file }

// Location says what was opened.
func (f *FileDescription) Location() Location { return f.loc }

// Path returns the place that was opened; it is zero for what has no inode.
func (f *FileDescription) Path() Path { return f.loc.Path }

// Inode returns what was opened, or nil.
func (f *FileDescription) Inode() Inode { return f.loc.Inode }

// Flags returns access mode and status flags, as F_GETFL does.
func (f *FileDescription) Flags() uint32 { return f.flags.Load() }

// NonBlocking says whether O_NONBLOCK is set.
func (f *FileDescription) NonBlocking() bool { return f.Flags()&linux.O_NONBLOCK != 0 }

// SetFlags changes the flags that F_SETFL can change.
func (f *FileDescription) SetFlags(flags uint32) {
	for {
		old := f.flags.Load()
		if f.flags.CompareAndSwap(old, old&^settableFlags|flags&settableFlags) {
			break
		}
	}
	if s, ok := f.file.(StatusSetter); ok {
		s.SetStatusFlags(f.Flags())
	}
}

// Readable says whether the access mode allows reading.
func (f *FileDescription) Readable() bool {
	m := f.Flags()
	return m&linux.O_PATH == 0 && m&linux.O_ACCMODE != linux.O_WRONLY
}

// Writable says whether the access mode allows writing.
func (f *FileDescription) Writable() bool {
	m := f.Flags()
	return m&linux.O_PATH == 0 && m&linux.O_ACCMODE != linux.O_RDONLY
}

// IsPath says whether the description was opened with O_PATH.
func (f *FileDescription) IsPath() bool { return f.Flags()&linux.O_PATH != 0 }

// Stat returns the attributes of what was opened.
func (f *FileDescription) Stat() (linux.Stat, error) {
	if f.loc.Inode != nil {
		return f.loc.Inode.Stat()
	}
	if s, ok := f.file.(interface{ Stat() (linux.Stat, error) }); ok {
		return s.Stat()
	}
	return linux.Stat{}, linux.EBADF
}

// Read reads at the offset and moves it. It never blocks: EAGAIN means not now.
func (f *FileDescription) Read(p []byte) (int, error) {
	n, err := f.read(p)
	if n > 0 {
		f.notify(linux.IN_ACCESS)
	}
	return n, err
}

func (f *FileDescription) read(p []byte) (int, error) {
	if !f.Readable() {
		return 0, linux.EBADF
	}
	if _, ok := f.file.(DirFile); ok {
		return 0, linux.EISDIR
	}
	if _, ok := f.file.(Seekable); !ok {
		return f.file.ReadAt(p, 0)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.file.ReadAt(p, f.off)
	f.off += int64(n)
	return n, err
}

// Write writes at the offset, or at the end with O_APPEND, and moves the
// offset. limit is RLIMIT_FSIZE in bytes, 0 for none. It never blocks.
func (f *FileDescription) Write(p []byte, limit uint64) (int, error) {
	n, err := f.write(p, limit)
	if n > 0 {
		f.notify(linux.IN_MODIFY)
	}
	return n, err
}

func (f *FileDescription) write(p []byte, limit uint64) (int, error) {
	if !f.Writable() {
		return 0, linux.EBADF
	}
	if _, ok := f.file.(Seekable); !ok {
		return f.file.WriteAt(p, 0)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Flags()&linux.O_APPEND != 0 {
		if a, ok := f.file.(Appender); ok {
			if end, err := f.file.(Seekable).SeekEnd(); err == nil {
				if p, err = f.clip(p, end, limit); err != nil {
					return 0, err
				}
			}
			n, end, err := a.Append(p)
			if n > 0 {
				f.off = end
			}
			return n, err
		}
	}
	p, err := f.clip(p, f.off, limit)
	if err != nil {
		return 0, err
	}
	n, err := f.file.WriteAt(p, f.off)
	f.off += int64(n)
	return n, err
}

// clip shortens a write at off to what RLIMIT_FSIZE and the range of offsets
// allow. The caller of Write raises SIGXFSZ upon EFBIG.
func (f *FileDescription) clip(p []byte, off int64, limit uint64) ([]byte, error) {
	const maxOff = 1<<63 - 1
	if int64(len(p)) > maxOff-off {
		p = p[:maxOff-off]
	}
	if limit == 0 || f.loc.Inode == nil || len(p) == 0 {
		return p, nil
	}
	if uint64(off) >= limit {
		return nil, linux.EFBIG
	}
	return p[:min(uint64(len(p)), limit-uint64(off))], nil
}

// PRead reads at off without moving the offset.
func (f *FileDescription) PRead(p []byte, off int64) (int, error) {
	n, err := f.pread(p, off)
	if n > 0 {
		f.notify(linux.IN_ACCESS)
	}
	return n, err
}

func (f *FileDescription) pread(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, linux.EINVAL
	}
	if f.IsPath() {
		return 0, linux.EBADF
	}
	if _, ok := f.file.(DirFile); ok && f.Readable() {
		return 0, linux.EISDIR
	}
	if _, ok := f.file.(Seekable); !ok {
		return 0, linux.ESPIPE
	}
	if !f.Readable() {
		return 0, linux.EBADF
	}
	return f.file.ReadAt(p, off)
}

// PWrite writes at off without moving the offset; with O_APPEND it appends, as
// Linux does.
func (f *FileDescription) PWrite(p []byte, off int64, limit uint64) (int, error) {
	n, err := f.pwrite(p, off, limit)
	if n > 0 {
		f.notify(linux.IN_MODIFY)
	}
	return n, err
}

func (f *FileDescription) pwrite(p []byte, off int64, limit uint64) (int, error) {
	if off < 0 {
		return 0, linux.EINVAL
	}
	if f.IsPath() {
		return 0, linux.EBADF
	}
	if _, ok := f.file.(Seekable); !ok {
		return 0, linux.ESPIPE
	}
	if !f.Writable() {
		return 0, linux.EBADF
	}
	if a, ok := f.file.(Appender); ok && f.Flags()&linux.O_APPEND != 0 {
		n, _, err := a.Append(p)
		return n, err
	}
	p, err := f.clip(p, off, limit)
	if err != nil {
		return 0, err
	}
	return f.file.WriteAt(p, off)
}

// Seek implements lseek(2).
func (f *FileDescription) Seek(off int64, whence int) (int64, error) {
	if f.IsPath() {
		return 0, linux.EBADF
	}
	s, seekable := f.file.(Seekable)
	_, dir := f.file.(DirFile)
	if !seekable && !dir {
		return 0, linux.ESPIPE
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case linux.SEEK_SET:
	case linux.SEEK_CUR:
		if off > 0 && f.off > 1<<63-1-off {
			return 0, linux.EOVERFLOW
		}
		off += f.off
	case linux.SEEK_END, linux.SEEK_DATA, linux.SEEK_HOLE:
		if !seekable {
			return 0, linux.EINVAL
		}
		end, err := s.SeekEnd()
		if err != nil {
			return 0, err
		}
		if whence == linux.SEEK_END {
			if off > 0 && end > 1<<63-1-off {
				return 0, linux.EOVERFLOW
			}
			off += end
			break
		}
		if off < 0 || off >= end {
			return 0, linux.ENXIO
		}
		if h, ok := f.file.(HoleSeeker); ok {
			if off, err = h.SeekHole(off, whence == linux.SEEK_HOLE); err != nil {
				return 0, err
			}
		} else if whence == linux.SEEK_HOLE {
			off = end
		}
	default:
		return 0, linux.EINVAL
	}
	if off < 0 {
		return 0, linux.EINVAL
	}
	f.off = off
	return off, nil
}

// ReadDir calls emit for the entries behind the offset and moves the offset
// behind each entry for which emit returned true.
func (f *FileDescription) ReadDir(emit func(linux.Dirent) bool) error {
	d, ok := f.file.(DirFile)
	if f.IsPath() {
		return linux.EBADF
	}
	if !ok {
		return linux.ENOTDIR
	}
	defer f.notify(linux.IN_ACCESS)
	f.mu.Lock()
	defer f.mu.Unlock()
	return d.ReadDir(f.off, func(e linux.Dirent) bool {
		if !emit(e) {
			return false
		}
		f.off = e.Off
		return true
	})
}

// Allocate implements fallocate(2); ENODEV if the file cannot.
func (f *FileDescription) Allocate(mode uint32, off, n int64) error {
	a, ok := f.file.(Allocator)
	if !ok {
		return linux.ENODEV
	}
	err := a.Allocate(mode, off, n)
	if err == nil {
		f.notify(linux.IN_MODIFY)
	}
	return err
}

// Truncate implements ftruncate(2).
func (f *FileDescription) Truncate(size int64) error {
	err := f.truncate(size)
	if err == nil {
		f.notify(linux.IN_MODIFY)
	}
	return err
}

func (f *FileDescription) truncate(size int64) error {
	if size < 0 {
		return linux.EINVAL
	}
	if f.IsPath() {
		return linux.EBADF
	}
	if !f.Writable() || f.loc.Inode == nil {
		return linux.EINVAL
	}
	if t, ok := f.file.(interface{ Truncate(int64) error }); ok {
		return t.Truncate(size)
	}
	st, err := f.loc.Inode.Stat()
	if err != nil {
		return err
	}
	if st.Mode&linux.S_IFMT != linux.S_IFREG {
		return linux.EINVAL
	}
	return f.loc.Inode.SetAttr(SetAttr{Size: &size})
}

// Ioctl passes a request to the file; ENOTTY if it knows none.
func (f *FileDescription) Ioctl(t IoctlTask, req uint32, arg uint64) (uint64, error) {
	if f.IsPath() {
		return 0, linux.EBADF
	}
	if i, ok := f.file.(Ioctler); ok {
		return i.Ioctl(t, req, arg)
	}
	return 0, linux.ENOTTY
}

// Readiness implements waiter.Waitable. A file that cannot be waited for is
// always ready.
func (f *FileDescription) Readiness(mask waiter.EventMask) waiter.EventMask {
	if w, ok := f.file.(waiter.Waitable); ok {
		return w.Readiness(mask | waiter.AlwaysEvents)
	}
	if f.IsPath() {
		return waiter.EventNVal
	}
	return mask & (waiter.ReadableEvents | waiter.WritableEvents)
}

// EventRegister implements waiter.Waitable.
func (f *FileDescription) EventRegister(e *waiter.Entry) {
	if w, ok := f.file.(waiter.Waitable); ok {
		w.EventRegister(e)
	}
}

// EventUnregister implements waiter.Waitable.
func (f *FileDescription) EventUnregister(e *waiter.Entry) {
	if w, ok := f.file.(waiter.Waitable); ok {
		w.EventUnregister(e)
	}
}

// Pollable says whether the file's readiness can change (epoll_ctl answers
// EPERM otherwise).
func (f *FileDescription) Pollable() bool {
	_, ok := f.file.(waiter.Waitable)
	return ok
}

// Content returns a reader of the bytes of a regular file; EACCES for anything
// else. It works whatever access mode the description has.
func (f *FileDescription) Content() (ContentReader, error) { return ContentOf(f.loc.Inode) }

// ContentOf returns a reader of the bytes of a regular file; EACCES for
// anything else.
func ContentOf(i Inode) (ContentReader, error) {
	type opener interface{ OpenContent() (ContentReader, error) }
	if o, ok := i.(opener); ok {
		return o.OpenContent()
	}
	return nil, linux.EACCES
}

// ContentIdentity names one content of a regular file, in all containers of this
// process; false if the file can change without notice.
func ContentIdentity(i Inode) (space, ino, version uint64, ok bool) {
	v, isVersioned := i.(Versioned)
	if !isVersioned {
		return 0, 0, 0, false
	}
	st, err := i.Stat()
	if err != nil {
		return 0, 0, 0, false
	}
	space, version = v.ContentVersion()
	return space, st.Ino, version, true
}

// Describe returns the path as /proc/PID/fd shows it below root.
func (f *FileDescription) Describe(root Path) string { return PathOf(f.loc, root) }

func (f *FileDescription) locks() *FileLocks {
	if l, ok := f.loc.Inode.(Lockable); ok {
		return l.Locks()
	}
	return nil
}

// String names the description for messages.
func (f *FileDescription) String() string {
	return fmt.Sprintf("file description %s", f.loc.Name)
}
