package ipc

import (
	"encoding/binary"
	"slices"
	"sync"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// Message is one message of a queue.
type Message struct {
	Type int64
	Text []byte
}

// Queue is a message queue (msgget(2)).
type Queue struct {
	mu      sync.Mutex
	p       Perm
	list    []Message
	bytes   uint64
	limit   uint64 // msg_qbytes
	changes changes
	gone    bool

	stime, rtime, ctime uint64
	lspid, lrpid        int32
}

func (q *Queue) perm() *Perm         { return &q.p }
func (q *Queue) locker() sync.Locker { return &q.mu }

// NewQueue makes an empty queue.
func NewQueue(p Perm) (*Queue, error) {
	return &Queue{p: p, limit: linux.MSGMNB, ctime: now()}, nil
}

// Send appends a message. EAGAIN means that it is full: wait is closed when that
// may have changed.
func (q *Queue) Send(c *vfs.Caller, m Message) (wait <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return nil, linux.EIDRM
	}
	if err := q.p.Check(c.Creds, 2); err != nil {
		return nil, err
	}
	if q.bytes+uint64(len(m.Text)) > q.limit || uint64(len(q.list)) >= q.limit {
		return q.changes.wait(), linux.EAGAIN
	}
	q.list = append(q.list, m)
	q.bytes += uint64(len(m.Text))
	q.stime, q.lspid = now(), int32(c.PID)
	q.changes.announce()
	return nil, nil
}

// Receive takes a message by msgrcv(2)'s rules; EAGAIN as for Send.
func (q *Queue) Receive(c *vfs.Caller, kind int64, room uint64, flags uint32) (m Message, wait <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return m, nil, linux.EIDRM
	}
	if err := q.p.Check(c.Creds, 4); err != nil {
		return m, nil, err
	}
	i := q.pick(kind, flags)
	if i < 0 {
		if flags&linux.MSG_COPY != 0 {
			return m, nil, linux.ENOMSG
		}
		return m, q.changes.wait(), linux.EAGAIN
	}
	m = q.list[i]
	if uint64(len(m.Text)) > room {
		if flags&linux.MSG_NOERROR == 0 {
			return m, nil, linux.E2BIG
		}
		m.Text = m.Text[:room]
	}
	if flags&linux.MSG_COPY == 0 {
		q.bytes -= uint64(len(q.list[i].Text))
		q.list = slices.Delete(q.list, i, i+1)
		q.rtime, q.lrpid = now(), int32(c.PID)
		q.changes.announce()
	}
	return m, nil, nil
}

// pick returns the index of the message that is meant, -1 if there is none.
func (q *Queue) pick(kind int64, flags uint32) int {
	switch {
	case flags&linux.MSG_COPY != 0:
		if kind >= 0 && kind < int64(len(q.list)) {
			return int(kind)
		}
		return -1
	case kind == 0:
		if len(q.list) > 0 {
			return 0
		}
		return -1
	case kind > 0:
		return slices.IndexFunc(q.list, func(m Message) bool { return (m.Type == kind) != (flags&linux.MSG_EXCEPT != 0) })
	}
	best := -1
	for i, m := range q.list {
		if (kind == -1<<63 || m.Type <= -kind) && (best < 0 || m.Type < q.list[best].Type) {
			best = i
		}
	}
	return best
}

// Stat returns the bytes of struct msqid64_ds; any says that no permission is
// needed.
func (q *Queue) Stat(c *vfs.Creds, any bool) ([]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.p.Check(c, 4); err != nil && !any {
		return nil, err
	}
	b := q.p.Marshal()
	for _, v := range []uint64{q.stime, q.rtime, q.ctime, q.bytes, uint64(len(q.list)), q.limit} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(q.lspid))
	b = binary.LittleEndian.AppendUint32(b, uint32(q.lrpid))
	return append(b, make([]byte, linux.SizeofMsqidDS-len(b))...), nil
}

// Set changes owner, mode and limit from a struct msqid64_ds.
func (q *Queue) Set(c *vfs.Creds, b []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.p.Owns(c); err != nil {
		return err
	}
	limit := binary.LittleEndian.Uint64(b[88:])
	if limit > linux.MSGMNB && !c.HasCap(linux.CAP_SYS_RESOURCE) {
		return linux.EPERM
	}
	q.p.Set(b)
	q.limit, q.ctime = limit, now()
	q.changes.announce()
	return nil
}

// Destroy ends the queue; who waits gets EIDRM.
func (q *Queue) Destroy(c *vfs.Creds) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.p.Owns(c); err != nil {
		return err
	}
	q.gone, q.list = true, nil
	q.changes.announce()
	return nil
}

// Usage returns how many messages and bytes wait.
func (q *Queue) Usage() (messages int, bytes uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list), q.bytes
}
