package ipc

import (
	"encoding/binary"
	"sync"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// Set is a set of semaphores (semget(2)).
type Set struct {
	mu      sync.Mutex
	p       Perm
	sems    []semaphore
	undo    map[int][]int32 // by pid: what its end adds
	changes changes
	gone    bool

	otime, ctime uint64
}

type semaphore struct {
	value int32
	pid   int32
	// How many wait for it to grow, and to become 0.
	growing, zero int
}

func (s *Set) perm() *Perm         { return &s.p }
func (s *Set) locker() sync.Locker { return &s.mu }

// NewSet makes a set of n semaphores.
func NewSet(p Perm, n int) (*Set, error) {
	if n <= 0 || n > linux.SEMMSL {
		return nil, linux.EINVAL
	}
	return &Set{p: p, sems: make([]semaphore, n), undo: map[int][]int32{}, ctime: now()}, nil
}

// Len is how many semaphores there are.
func (s *Set) Len() int { return len(s.sems) }

// Op is struct sembuf.
type Op struct {
	Num   uint16
	Value int16
	Flags uint16
}

// Apply does all operations or none. EAGAIN means not now: unless nowait is set,
// the caller waits for wait, calls stop, and tries again.
func (s *Set) Apply(c *vfs.Caller, ops []Op) (nowait bool, wait <-chan struct{}, stop func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false, nil, nil, linux.EIDRM
	}
	want := uint32(4)
	for _, o := range ops {
		if int(o.Num) >= len(s.sems) {
			return false, nil, nil, linux.EFBIG
		}
		if o.Value != 0 {
			want = 2
		}
	}
	if err := s.p.Check(c.Creds, want); err != nil {
		return false, nil, nil, err
	}
	values := map[uint16]int32{}
	for _, o := range ops {
		v, ok := values[o.Num]
		if !ok {
			v = s.sems[o.Num].value
		}
		next := v + int32(o.Value)
		if o.Value == 0 && v != 0 || next < 0 {
			counter := &s.sems[o.Num].growing
			if o.Value == 0 {
				counter = &s.sems[o.Num].zero
			}
			*counter++
			stop = func() {
				s.mu.Lock()
				*counter--
				s.mu.Unlock()
			}
			return o.Flags&linux.IPC_NOWAIT != 0, s.changes.wait(), stop, linux.EAGAIN
		}
		if next > linux.SEMVMX {
			return false, nil, nil, linux.ERANGE
		}
		values[o.Num] = next
	}
	for _, o := range ops {
		sem := &s.sems[o.Num]
		sem.value, sem.pid = values[o.Num], int32(c.PID)
		if o.Flags&linux.SEM_UNDO != 0 && o.Value != 0 {
			if s.undo[c.PID] == nil {
				s.undo[c.PID] = make([]int32, len(s.sems))
			}
			s.undo[c.PID][o.Num] -= int32(o.Value)
		}
	}
	s.otime = now()
	s.changes.announce()
	return false, nil, nil, nil
}

// Exited undoes what a process that has ended did with SEM_UNDO.
func (n *Namespace) Exited(pid int) {
	n.Semaphores.Each(func(_ int32, s *Set) {
		s.mu.Lock()
		defer s.mu.Unlock()
		adjust := s.undo[pid]
		if adjust == nil {
			return
		}
		delete(s.undo, pid)
		for i, v := range adjust {
			if v != 0 {
				s.sems[i].value = min(max(0, s.sems[i].value+v), linux.SEMVMX)
				s.sems[i].pid = int32(pid)
			}
		}
		s.changes.announce()
	})
}

// Control serves the commands of semctl(2) that ask about or set one semaphore.
func (s *Set) Control(c *vfs.Caller, num int32, cmd int, value int32) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := uint32(4)
	if cmd == linux.SETVAL {
		want = 2
	}
	if num < 0 || int(num) >= len(s.sems) {
		return 0, linux.EINVAL
	}
	if err := s.p.Check(c.Creds, want); err != nil {
		return 0, err
	}
	sem := &s.sems[num]
	switch cmd {
	case linux.GETVAL:
		return int(sem.value), nil
	case linux.GETPID:
		return int(sem.pid), nil
	case linux.GETNCNT:
		return sem.growing, nil
	case linux.GETZCNT:
		return sem.zero, nil
	}
	if value < 0 || value > linux.SEMVMX {
		return 0, linux.ERANGE
	}
	sem.value, sem.pid, s.ctime = value, int32(c.PID), now()
	for _, u := range s.undo {
		u[num] = 0
	}
	s.changes.announce()
	return 0, nil
}

// Values returns all values (GETALL).
func (s *Set) Values(c *vfs.Creds) ([]uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.p.Check(c, 4); err != nil {
		return nil, err
	}
	list := make([]uint16, len(s.sems))
	for i := range s.sems {
		list[i] = uint16(s.sems[i].value)
	}
	return list, nil
}

// SetValues sets all values (SETALL).
func (s *Set) SetValues(c *vfs.Caller, list []uint16) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.p.Check(c.Creds, 2); err != nil {
		return err
	}
	for _, v := range list {
		if v > linux.SEMVMX {
			return linux.ERANGE
		}
	}
	for i, v := range list {
		s.sems[i].value, s.sems[i].pid = int32(v), int32(c.PID)
	}
	clear(s.undo)
	s.ctime = now()
	s.changes.announce()
	return nil
}

// Stat returns the bytes of struct semid64_ds.
func (s *Set) Stat(c *vfs.Creds, any bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.p.Check(c, 4); err != nil && !any {
		return nil, err
	}
	b := s.p.Marshal()
	for _, v := range []uint64{s.otime, 0, s.ctime, 0, uint64(len(s.sems))} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return append(b, make([]byte, linux.SizeofSemidDS-len(b))...), nil
}

// Set changes owner and mode from a struct semid64_ds.
func (s *Set) Set(c *vfs.Creds, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.p.Owns(c); err != nil {
		return err
	}
	s.p.Set(b)
	s.ctime = now()
	return nil
}

// Destroy ends the set; who waits gets EIDRM.
func (s *Set) Destroy(c *vfs.Creds) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.p.Owns(c); err != nil {
		return err
	}
	s.gone = true
	s.changes.announce()
	return nil
}
