package ipc

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// PosixQueues are the POSIX message queues (mq_overview(7)) of a container, by
// name.
type PosixQueues struct {
	mu    sync.Mutex
	named map[string]*PosixQueue
	next  uint64 // inode number
}

// PosixAttr is struct mq_attr without the flags, which are a description's.
type PosixAttr struct{ MaxMessages, MessageSize, Waiting int64 }

// Marshal returns the bytes of struct mq_attr.
func (a PosixAttr) Marshal(flags uint32) []byte {
	b := make([]byte, 0, linux.SizeofMqAttr)
	for _, v := range []int64{int64(flags), a.MaxMessages, a.MessageSize, a.Waiting} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return append(b, make([]byte, linux.SizeofMqAttr-len(b))...)
}

// check applies mq_attr_ok.
func (a PosixAttr) check(c *vfs.Creds) error {
	most, size := int64(linux.MQ_MSG_MAX), int64(linux.MQ_MSGSIZE_MAX)
	if c.HasCap(linux.CAP_SYS_RESOURCE) {
		most, size = linux.MQ_HARD_MSG_MAX, linux.MQ_HARD_MSGSIZE_MAX
	}
	if a.MaxMessages <= 0 || a.MessageSize <= 0 || a.MaxMessages > most || a.MessageSize > size {
		return linux.EINVAL
	}
	return nil
}

// bytes is what a queue counts against RLIMIT_MSGQUEUE.
func (a PosixAttr) bytes() uint64 {
	const perMessage = 48 + 8 // struct msg_msg and a pointer
	return uint64(a.MaxMessages) * uint64(a.MessageSize+perMessage)
}

// PosixOpen says how mq_open(2) opens.
type PosixOpen struct {
	Name  string
	Flags uint32 // O_...
	Mode  uint32
	Attr  *PosixAttr // nil: the defaults
	Limit uint64     // RLIMIT_MSGQUEUE, bytes
	Now   time.Time
}

// Open implements mq_open(2).
func (q *PosixQueues) Open(c *vfs.Caller, o PosixOpen) (*PosixFile, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if found := q.named[o.Name]; found != nil {
		if o.Flags&(linux.O_CREAT|linux.O_EXCL) == linux.O_CREAT|linux.O_EXCL {
			return nil, linux.EEXIST
		}
		want := [...]uint32{vfs.MayRead, vfs.MayWrite, vfs.MayRead | vfs.MayWrite}
		acc := o.Flags & linux.O_ACCMODE
		if int(acc) >= len(want) {
			return nil, linux.EINVAL
		}
		if err := c.Creds.CheckAccess(&found.stat, want[acc]); err != nil {
			return nil, err
		}
		return &PosixFile{PosixQueue: found}, nil
	}
	if o.Flags&linux.O_CREAT == 0 {
		return nil, linux.ENOENT
	}
	if len(q.named) >= linux.MQ_QUEUES_MAX && !c.Creds.HasCap(linux.CAP_SYS_RESOURCE) {
		return nil, linux.ENOSPC
	}
	attr := PosixAttr{MaxMessages: linux.MQ_MSG_DEFAULT, MessageSize: linux.MQ_MSGSIZE_DEFAULT}
	if o.Attr != nil {
		attr = *o.Attr
		attr.Waiting = 0
		if err := attr.check(c.Creds); err != nil {
			return nil, err
		}
	}
	used := attr.bytes()
	for _, other := range q.named {
		if other.stat.UID == c.Creds.FSUID {
			used += other.attr.bytes()
		}
	}
	if used > o.Limit {
		return nil, linux.EMFILE
	}
	q.next++
	now := linux.TimespecOf(o.Now.UnixNano())
	made := &PosixQueue{attr: attr, stat: linux.Stat{Ino: q.next, Mode: linux.S_IFREG | o.Mode&^c.Umask&0o777, Nlink: 1,
		UID: c.Creds.FSUID, GID: c.Creds.FSGID, Size: posixStatusSize, Blksize: 4096, Atime: now, Mtime: now, Ctime: now}}
	if q.named == nil {
		q.named = map[string]*PosixQueue{}
	}
	q.named[o.Name] = made
	return &PosixFile{PosixQueue: made, name: o.Name}, nil
}

// Unlink implements mq_unlink(2): who has the queue open keeps it.
func (q *PosixQueues) Unlink(c *vfs.Caller, name string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	found := q.named[name]
	if found == nil {
		return linux.ENOENT
	}
	// The root of the queues is a sticky directory of mode 1777.
	if c.Creds.FSUID != found.stat.UID && !c.Creds.HasCap(linux.CAP_FOWNER) {
		return linux.EACCES
	}
	delete(q.named, name)
	return nil
}

// PosixMessage is a message with its priority.
type PosixMessage struct {
	Priority uint32
	Text     []byte
}

// PosixQueue is one POSIX message queue.
type PosixQueue struct {
	queue waiter.Queue
	stat  linux.Stat
	attr  PosixAttr

	mu       sync.Mutex
	list     []PosixMessage // by priority, highest first, then by age
	bytes    int
	waiting  int    // receivers that wait
	owner    any    // who asked to be notified; nil: nobody
	ownerPID int    // its process id
	signo    int    // for what is read of the queue
	kind     uint32 // SIGEV_...
	notify   func(sender *vfs.Caller)
}

// PosixFile is an open queue. The descriptions of a queue share it all.
type PosixFile struct {
	*PosixQueue
	name string
}

var (
	_ vfs.File        = (*PosixFile)(nil)
	_ waiter.Waitable = (*PosixFile)(nil)
)

// Attr returns the queue's limits and how many messages wait.
func (q *PosixQueue) Attr() PosixAttr {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.attr
	a.Waiting = int64(len(q.list))
	return a
}

// Send adds a message; EAGAIN if the queue is full.
func (q *PosixQueue) Send(c *vfs.Caller, m PosixMessage) error {
	q.mu.Lock()
	if int64(len(m.Text)) > q.attr.MessageSize {
		q.mu.Unlock()
		return linux.EMSGSIZE
	}
	if int64(len(q.list)) >= q.attr.MaxMessages {
		q.mu.Unlock()
		return linux.EAGAIN
	}
	at := len(q.list)
	for at > 0 && q.list[at-1].Priority < m.Priority {
		at--
	}
	q.list = append(q.list, PosixMessage{})
	copy(q.list[at+1:], q.list[at:])
	q.list[at] = m
	q.bytes += len(m.Text)
	var notify func(*vfs.Caller)
	if len(q.list) == 1 && q.waiting == 0 {
		notify = q.notify
		q.forget()
	}
	q.mu.Unlock()
	q.queue.Notify(waiter.ReadableEvents)
	if notify != nil {
		notify(c)
	}
	return nil
}

// Receive takes the oldest message of the highest priority; room is in bytes.
// EAGAIN if there is none.
func (q *PosixQueue) Receive(room uint64) (PosixMessage, error) {
	q.mu.Lock()
	if room < uint64(q.attr.MessageSize) {
		q.mu.Unlock()
		return PosixMessage{}, linux.EMSGSIZE
	}
	if len(q.list) == 0 {
		q.mu.Unlock()
		return PosixMessage{}, linux.EAGAIN
	}
	m := q.list[0]
	q.list = append(q.list[:0], q.list[1:]...)
	q.bytes -= len(m.Text)
	q.mu.Unlock()
	q.queue.Notify(waiter.WritableEvents)
	return m, nil
}

// Receiver counts a receiver that waits: while there is one, nobody is
// notified. The caller calls the result when it stops.
func (q *PosixQueue) Receiver() (stop func()) {
	q.mu.Lock()
	q.waiting++
	q.mu.Unlock()
	return func() {
		q.mu.Lock()
		q.waiting--
		q.mu.Unlock()
	}
}

// PosixNotify is a request of mq_notify(2).
type PosixNotify struct {
	Owner any // the process, comparable
	PID   int
	Kind  uint32 // SIGEV_...
	Signo int
	Fire  func(sender *vfs.Caller) // called once, without a lock; nil does nothing
}

// Notify registers for the next message that arrives in an empty queue; EBUSY
// if somebody has.
func (q *PosixQueue) Notify(n PosixNotify) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.owner != nil {
		return linux.EBUSY
	}
	q.owner, q.ownerPID, q.kind, q.signo, q.notify = n.Owner, n.PID, n.Kind, n.Signo, n.Fire
	return nil
}

// CancelNotify takes owner's registration back.
func (q *PosixQueue) CancelNotify(owner any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.owner == owner {
		q.forget()
	}
}

// forget needs mu.
func (q *PosixQueue) forget() {
	q.owner, q.ownerPID, q.kind, q.signo, q.notify = nil, 0, 0, 0, nil
}

// posixStatusSize is what fstat(2) says of a queue.
const posixStatusSize = 80

// ReadAt implements vfs.File: the queue's state as text.
func (q *PosixQueue) ReadAt(p []byte, off int64) (int, error) {
	q.mu.Lock()
	text := fmt.Appendf(nil, "QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", q.bytes, q.kind, q.signo, q.ownerPID)
	q.mu.Unlock()
	if off >= int64(len(text)) {
		return 0, nil
	}
	return copy(p, text[off:]), nil
}

// WriteAt implements vfs.File.
func (q *PosixQueue) WriteAt([]byte, int64) (int, error) { return 0, linux.EINVAL }

// SeekEnd implements vfs.Seekable.
func (q *PosixQueue) SeekEnd() (int64, error) { return posixStatusSize, nil }

// Release implements vfs.File.
func (q *PosixQueue) Release() {}

// Stat answers fstat(2).
func (q *PosixQueue) Stat() (linux.Stat, error) { return q.stat, nil }

// Describe implements vfs.Described.
func (f *PosixFile) Describe() string { return "/" + f.name }

// Readiness implements waiter.Waitable.
func (q *PosixQueue) Readiness(mask waiter.EventMask) waiter.EventMask {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ready waiter.EventMask
	if len(q.list) > 0 {
		ready |= waiter.ReadableEvents
	}
	if int64(len(q.list)) < q.attr.MaxMessages {
		ready |= waiter.WritableEvents
	}
	return ready & mask
}

// EventRegister implements waiter.Waitable.
func (q *PosixQueue) EventRegister(w *waiter.Entry) { q.queue.EventRegister(w) }

// EventUnregister implements waiter.Waitable.
func (q *PosixQueue) EventUnregister(w *waiter.Entry) { q.queue.EventUnregister(w) }
