// Package ipc holds System V's message queues, semaphores and the book-keeping of
// its shared memory (svipc(7)) for one container.
package ipc

import (
	"encoding/binary"
	"sync"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// Namespace holds the objects of one container.
type Namespace struct {
	Messages   Table[*Queue]
	Semaphores Table[*Set]
	Segments   Table[*Segment]
	Posix      PosixQueues
}

// New makes a namespace without objects.
func New() *Namespace {
	n := &Namespace{}
	n.Messages.most, n.Semaphores.most, n.Segments.most = linux.MSGMNI, linux.SEMMNI, linux.SHMMNI
	return n
}

// Perm is struct ipc_perm. It is guarded by the object's lock.
type Perm struct {
	Key                  int32
	UID, GID, CUID, CGID uint32
	Mode                 uint32
	seq                  uint16
}

// Marshal returns the bytes of struct ipc64_perm.
func (p *Perm) Marshal() []byte {
	b := make([]byte, 0, linux.SizeofIPCPerm)
	for _, v := range []uint32{uint32(p.Key), p.UID, p.GID, p.CUID, p.CGID, p.Mode, uint32(p.seq)} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return append(b, make([]byte, linux.SizeofIPCPerm-len(b))...)
}

// Check says whether a caller has all permission bits of want: 4 to read, 2 to
// write.
func (p *Perm) Check(c *vfs.Creds, want uint32) error {
	have := p.Mode
	switch {
	case c.EUID == p.UID || c.EUID == p.CUID:
		have >>= 6
	case c.EGID == p.GID || c.EGID == p.CGID || c.InGroup(p.GID) || c.InGroup(p.CGID):
		have >>= 3
	}
	if want&^have&7 != 0 && !c.HasCap(linux.CAP_IPC_OWNER) {
		return linux.EACCES
	}
	return nil
}

// Owns says whether a caller may change or remove the object.
func (p *Perm) Owns(c *vfs.Creds) error {
	if c.EUID == p.UID || c.EUID == p.CUID || c.HasCap(linux.CAP_SYS_ADMIN) {
		return nil
	}
	return linux.EPERM
}

// Set changes owner and mode as IPC_SET does, from a struct ipc64_perm.
func (p *Perm) Set(b []byte) {
	p.UID, p.GID = binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
	p.Mode = p.Mode&^0o777 | binary.LittleEndian.Uint32(b[20:])&0o777
}

// object is what a table holds.
type object interface {
	perm() *Perm
	locker() sync.Locker
}

// Table finds objects of one kind by id and by key.
type Table[T object] struct {
	most int

	mu    sync.Mutex
	slots []slot[T]
	seq   uint16
}

type slot[T object] struct {
	used bool
	id   int32
	obj  T
}

// seqShift is where an id's sequence number stands: ids are not used again soon.
const seqShift = 15

// Get implements the *get calls: it finds the object of a key or has it made.
// check looks at one that exists.
func (t *Table[T]) Get(c *vfs.Creds, key int32, flags uint32, check func(T) error, create func(Perm) (T, error)) (int32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	free := -1
	for i, s := range t.slots {
		if !s.used {
			if free < 0 {
				free = i
			}
			continue
		}
		l := s.obj.locker()
		l.Lock()
		if key == linux.IPC_PRIVATE || s.obj.perm().Key != key {
			l.Unlock()
			continue
		}
		err := s.obj.perm().Check(c, flags>>6&6|flags>>3&6|flags&6)
		l.Unlock()
		if flags&(linux.IPC_CREAT|linux.IPC_EXCL) == linux.IPC_CREAT|linux.IPC_EXCL {
			return 0, linux.EEXIST
		}
		if err == nil {
			err = check(s.obj)
		}
		return s.id, err
	}
	if key != linux.IPC_PRIVATE && flags&linux.IPC_CREAT == 0 {
		return 0, linux.ENOENT
	}
	if free < 0 {
		if free = len(t.slots); free >= t.most {
			return 0, linux.ENOSPC
		}
		t.slots = append(t.slots, slot[T]{})
	}
	obj, err := create(Perm{Key: key, UID: c.EUID, GID: c.EGID, CUID: c.EUID, CGID: c.EGID, Mode: flags & 0o777, seq: t.seq})
	if err != nil {
		return 0, err
	}
	id := int32(free) | int32(t.seq)<<seqShift
	t.seq = (t.seq + 1) & 0x7fff
	t.slots[free] = slot[T]{true, id, obj}
	return id, nil
}

// Find returns the object of an id; EINVAL if there is none.
func (t *Table[T]) Find(id int32) (T, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := int(id) & (1<<seqShift - 1); id >= 0 && i < len(t.slots) && t.slots[i].used && t.slots[i].id == id {
		return t.slots[i].obj, nil
	}
	var none T
	return none, linux.EINVAL
}

// At returns the object in a slot, for the *_STAT commands, and its id.
func (t *Table[T]) At(index int32) (T, int32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if index >= 0 && int(index) < len(t.slots) && t.slots[index].used {
		return t.slots[index].obj, t.slots[index].id, nil
	}
	var none T
	return none, 0, linux.EINVAL
}

// Remove forgets an id; false if it was not there.
func (t *Table[T]) Remove(id int32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := int(id) & (1<<seqShift - 1); i < len(t.slots) && t.slots[i].id == id && t.slots[i].used {
		t.slots[i] = slot[T]{}
		return true
	}
	return false
}

// Highest returns the highest slot in use, 0 if there is none, and how many are.
func (t *Table[T]) Highest() (highest, used int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, s := range t.slots {
		if s.used {
			highest = i
			used++
		}
	}
	return highest, used
}

// Each calls fn for the objects in the order of their slots.
func (t *Table[T]) Each(fn func(id int32, obj T)) {
	t.mu.Lock()
	slots := append([]slot[T](nil), t.slots...)
	t.mu.Unlock()
	for _, s := range slots {
		if s.used {
			fn(s.id, s.obj)
		}
	}
}

// changes wakes those who wait for an object to change.
type changes struct{ ch chan struct{} }

// wait returns what is closed at the next change. The object's lock is held.
func (c *changes) wait() <-chan struct{} {
	if c.ch == nil {
		c.ch = make(chan struct{})
	}
	return c.ch
}

func (c *changes) announce() {
	if c.ch != nil {
		close(c.ch)
		c.ch = nil
	}
}

func now() uint64 { return uint64(time.Now().Unix()) }

// Segment is one segment of shared memory; the syscalls keep its pages.
type Segment struct {
	Mu    sync.Mutex
	Perm  Perm
	Size  uint64 // bytes, as asked for
	Inode vfs.Inode
	Mount *vfs.Mount
	Held  vfs.File // keeps the inode while the segment exists

	Atime, Dtime, Ctime uint64 // seconds since 1970
	Creator, Last       int32  // pids
}

func (s *Segment) perm() *Perm         { return &s.Perm }
func (s *Segment) locker() sync.Locker { return &s.Mu }

// Marshal returns the bytes of struct shmid64_ds. Mu is held.
func (s *Segment) Marshal(attached int) []byte {
	b := s.Perm.Marshal()
	for _, v := range []uint64{s.Size, s.Atime, s.Dtime, s.Ctime} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(s.Creator))
	b = binary.LittleEndian.AppendUint32(b, uint32(s.Last))
	b = binary.LittleEndian.AppendUint64(b, uint64(attached))
	return append(b, make([]byte, linux.SizeofShmidDS-len(b))...)
}
