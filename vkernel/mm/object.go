package mm

import (
	"errors"
	"sync"

	"megabinary.dev/vkernel/linux"
)

// object is a run of host pages that several address spaces map: shared
// anonymous memory, or the shared view of a file.
type object struct {
	pages  hostPages
	file   File // nil: anonymous
	shared *Shared

	mu   sync.Mutex
	size uint64 // bytes, page aligned
	refs int
}

// Pages is memory that is mapped, from the file's start on.
type Pages interface {
	ReadAt(p []byte, off int64) error
	WriteAt(p []byte, off int64) error
}

// PagedFile is a file whose read(2) and write(2) go to the pages that are
// mapped. Other files see what was written to a mapping after msync, munmap or
// exit, and mappings do not see writes.
type PagedFile interface {
	File
	// Attach fills bytes [from, to) of pages, and reads and writes them from now on.
	Attach(pages Pages, from, to uint64) error
	// Store takes over what mappings have changed: p are the pages at off.
	Store(p []byte, off uint64) error
	Detach()
}

// Shared finds the object of a file that is mapped MAP_SHARED already, so that
// all its mappings see one another's writes.
type Shared struct {
	mu    sync.Mutex
	files map[any]*object
	all   map[*object]struct{}
}

// NewShared returns an empty registry.
func NewShared() *Shared {
	return &Shared{files: make(map[any]*object), all: make(map[*object]struct{})}
}

// anonymous returns a new object without a file, of n bytes.
func (s *Shared) anonymous(n uint64) (*object, error) {
	o, err := newObject(n)
	if err == nil && s != nil {
		s.mu.Lock()
		s.all[o] = struct{}{}
		o.shared = s
		s.mu.Unlock()
	}
	return o, err
}

// Size returns the bytes that shared memory holds of the host.
func (s *Shared) Size() uint64 {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := uint64(0)
	for o := range s.all {
		sum += o.pages.held()
	}
	return sum
}

func newObject(n uint64) (*object, error) {
	pages, err := newHostPages(n)
	if err != nil {
		return nil, linux.ENOMEM
	}
	return &object{pages: pages, size: n, refs: 1}, nil
}

// file returns a reference to f's object, with at least n bytes.
func (s *Shared) file(f File, n uint64) (*object, error) {
	if s == nil {
		return nil, linux.ENODEV
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.files[f.Identity()]; o != nil {
		if err := o.grow(n); err != nil {
			return nil, linux.ENOMEM
		}
		o.ref()
		releaseFile(f)
		return o, nil
	}
	o, err := newObject(PageUp(n))
	if err != nil {
		return nil, err
	}
	o.file, o.shared = f, s
	if err := o.load(0, n); err != nil {
		o.pages.close()
		return nil, linux.EIO
	}
	s.files[f.Identity()] = o
	s.all[o] = struct{}{}
	return o, nil
}

// load reads [from, to) from the file.
func (o *object) load(from, to uint64) error {
	if f, ok := o.file.(PagedFile); ok {
		return f.Attach(o.pages, from, PageUp(to))
	}
	buf := make([]byte, 1<<16)
	for from < to {
		n, err := o.file.ReadAt(buf[:min(uint64(len(buf)), to-from)], int64(from))
		if n == 0 {
			return nil // end of file; what lies behind stays zero
		}
		if werr := o.pages.WriteAt(buf[:n], int64(from)); werr != nil {
			return werr
		}
		from += uint64(n)
		if err != nil {
			return nil
		}
	}
	return nil
}

// grow makes room for n bytes.
func (o *object) grow(n uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = PageUp(n)
	if n <= o.size {
		return nil
	}
	if err := o.pages.resize(n); err != nil {
		return err
	}
	old := o.size
	o.size = n
	if o.file != nil {
		return o.load(old, n)
	}
	return nil
}

func (o *object) ref() {
	o.mu.Lock()
	o.refs++
	o.mu.Unlock()
}

func (o *object) unref() {
	if o.shared != nil {
		o.shared.mu.Lock()
		defer o.shared.mu.Unlock()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refs--
	if o.refs > 0 {
		return
	}
	if o.shared != nil {
		delete(o.shared.all, o)
	}
	if o.file != nil {
		delete(o.shared.files, o.file.Identity())
		if f, ok := o.file.(PagedFile); ok {
			f.Detach()
		}
		releaseFile(o.file)
	}
	o.pages.close()
}

// writeBack writes those parts of b, the pages at off, that differ from the
// file. It never makes the file longer.
func (o *object) writeBack(b []byte, off uint64) {
	if o.file == nil {
		return
	}
	if f, ok := o.file.(PagedFile); ok {
		_ = f.Store(b, off) // a full file system; Linux reports it at the next fsync
		return
	}
	buf := make([]byte, PageSize)
	for len(b) > 0 {
		n, err := o.file.ReadAt(buf[:min(len(b), PageSize)], int64(off))
		if n > 0 && string(buf[:n]) != string(b[:n]) {
			if _, werr := o.file.WriteAt(b[:n], int64(off)); werr != nil {
				return // a full file system; Linux reports it at the next fsync
			}
		}
		if n < PageSize || err != nil {
			return
		}
		b, off = b[n:], off+uint64(n)
	}
}

// errUnsupported is the answer of hosts that cannot map pages over memory.
var errUnsupported = errors.New("not supported on this host")

// releaseFile gives up a file that an object has held, if it wants to know.
func releaseFile(f File) {
	if r, ok := f.(interface{ Release() }); ok {
		r.Release()
	}
}
