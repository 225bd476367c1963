package syscalls

import (
	"encoding/binary"
	"math/bits"
	"time"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// pollSet is what poll and select wait for.
type pollSet struct {
	descs   []*vfs.FileDescription // nil: not open, or negative
	events  []waiter.EventMask
	entries []*waiter.Entry
	ready   chan struct{}
}

func newPollSet(n int) *pollSet {
	return &pollSet{descs: make([]*vfs.FileDescription, n), events: make([]waiter.EventMask, n), ready: make(chan struct{}, 1)}
}

// arm registers for all events.
func (s *pollSet) arm() {
	s.entries = make([]*waiter.Entry, len(s.descs))
	for i, d := range s.descs {
		if d == nil {
			continue
		}
		s.entries[i] = waiter.NewEntry(s.events[i], func(waiter.EventMask) {
			select {
			case s.ready <- struct{}{}:
			default:
			}
		})
		d.EventRegister(s.entries[i])
	}
}

func (s *pollSet) close() {
	for i, d := range s.descs {
		if d == nil {
			continue
		}
		if s.entries != nil {
			d.EventUnregister(s.entries[i])
		}
		d.DecRef()
	}
}

// wait calls scan until it counts something, the deadline passes (0) or a
// signal comes. poll says to return at once.
func (s *pollSet) wait(t *kernel.Task, deadline time.Time, poll bool, scan func() int) (int, error) {
	if n := scan(); n > 0 || poll {
		return n, nil
	}
	s.arm()
	for {
		if n := scan(); n > 0 {
			return n, nil
		}
		switch err := t.Block(s.ready, deadline); err {
		case nil:
		case linux.ETIMEDOUT:
			return scan(), nil
		default:
			return 0, err
		}
	}
}

// timeout is how long a call may wait.
type timeout struct {
	deadline time.Time // zero: for ever
	poll     bool      // not at all
}

func timeoutOf(ns int64) timeout {
	if ns <= 0 {
		return timeout{poll: true}
	}
	return timeout{deadline: time.Now().Add(time.Duration(ns))}
}

// left returns the time until the deadline.
func (o timeout) left() linux.Timespec {
	if o.poll {
		return linux.Timespec{}
	}
	return linux.TimespecOf(max(0, int64(time.Until(o.deadline))))
}

// timespecTimeout reads a timeout; 0 waits for ever.
func timespecTimeout(t *kernel.Task, addr uint64) (timeout, error) {
	if addr == 0 {
		return timeout{}, nil
	}
	var b [linux.TimespecSize]byte
	if err := t.CopyIn(addr, b[:]); err != nil {
		return timeout{}, err
	}
	var ts linux.Timespec
	ts.Unmarshal(b[:])
	if !ts.Valid() {
		return timeout{}, linux.EINVAL
	}
	return timeoutOf(ts.Nanos()), nil
}

// doPoll serves poll and ppoll.
func doPoll(t *kernel.Task, addr uint64, count uint32, o timeout) (uint64, error) {
	if uint64(count) > t.ThreadGroup().Limit(linux.RLIMIT_NOFILE).Cur {
		return 0, linux.EINVAL
	}
	raw := make([]byte, int(count)*linux.PollfdSize)
	if err := t.CopyIn(addr, raw); err != nil {
		return 0, err
	}
	fds := make([]linux.Pollfd, count)
	s := newPollSet(len(fds))
	defer s.close()
	for i := range fds {
		fds[i].Unmarshal(raw[i*linux.PollfdSize:])
		s.events[i] = waiter.EventMask(uint16(fds[i].Events)) | waiter.AlwaysEvents
		if fds[i].FD >= 0 {
			s.descs[i], _ = t.Files().Get(fds[i].FD)
		}
	}
	n, err := s.wait(t, o.deadline, o.poll, func() int {
		n := 0
		for i := range fds {
			switch {
			case s.descs[i] != nil:
				fds[i].Revents = int16(s.descs[i].Readiness(s.events[i]))
			case fds[i].FD >= 0:
				fds[i].Revents = linux.POLLNVAL
			default:
				fds[i].Revents = 0
			}
			if fds[i].Revents != 0 {
				n++
			}
		}
		return n
	})
	if err != nil {
		return 0, err
	}
	for i := range fds {
		fds[i].Marshal(raw[i*linux.PollfdSize:])
	}
	return uint64(n), t.CopyOut(addr, raw)
}

// poll implements poll(2).
func poll(t *kernel.Task, a kernel.Args) (uint64, error) {
	o := timeout{}
	if ms := a.Int(2); ms >= 0 {
		o = timeoutOf(int64(ms) * 1e6)
	}
	return pollRestart(t, a.Addr(0), a.Uint(1), o)
}

// pollRestart is poll with a deadline that survives a restart.
func pollRestart(t *kernel.Task, addr uint64, count uint32, o timeout) (uint64, error) {
	n, err := doPoll(t, addr, count, o)
	if err == linux.ERESTARTSYS {
		t.Restart(func(t *kernel.Task) (uint64, error) { return pollRestart(t, addr, count, o) })
		return 0, linux.ERESTART_RESTARTBLOCK
	}
	return n, err
}

// withMask calls fn under the signal mask at addr, if there is one, which holds
// until the syscall ends.
func withMask(t *kernel.Task, addr, size uint64, fn func() (uint64, error)) (uint64, error) {
	if addr == 0 {
		return fn()
	}
	if size != 8 {
		return 0, linux.EINVAL
	}
	var b [8]byte
	if err := t.CopyIn(addr, b[:]); err != nil {
		return 0, err
	}
	t.SetTemporaryMask(linux.SignalSet(binary.LittleEndian.Uint64(b[:])))
	return fn()
}

// ppoll implements ppoll(2). The time that is left is written back.
func ppoll(t *kernel.Task, a kernel.Args) (uint64, error) {
	o, err := timespecTimeout(t, a.Addr(2))
	if err != nil {
		return 0, err
	}
	n, err := withMask(t, a.Addr(3), a[4], func() (uint64, error) { return doPoll(t, a.Addr(0), a.Uint(1), o) })
	putLeft(t, a.Addr(2), o)
	if err == linux.ERESTARTSYS {
		err = linux.ERESTARTNOHAND
	}
	return n, err
}

// putLeft writes the time that is left. Where it cannot, Linux says nothing
// either.
func putLeft(t *kernel.Task, addr uint64, o timeout) {
	if addr == 0 || t.ThreadGroup().Personality()&linux.STICKY_TIMEOUTS != 0 {
		return
	}
	var b [linux.TimespecSize]byte
	ts := o.left()
	ts.Marshal(b[:])
	_ = t.CopyOut(addr, b[:])
}

// What a descriptor in each set of select(2) waits for, as in fs/select.c.
const (
	selectIn     = waiter.ReadableEvents | waiter.EventRdBand | waiter.EventHUp | waiter.EventErr
	selectOut    = waiter.WritableEvents | waiter.EventWrBand | waiter.EventErr
	selectExcept = waiter.EventPri
)

// fdSet is one set of select(2).
type fdSet struct {
	addr   uint64
	bits   []byte // as given; nil if there is no set
	result []byte
	events waiter.EventMask
}

// maxSelect is how many descriptors select(2) looks at: more cannot be open.
const maxSelect = 1 << 20

// doSelect serves select and pselect6.
func doSelect(t *kernel.Task, n int32, addrs [3]uint64, o timeout) (uint64, error) {
	if n < 0 {
		return 0, linux.EINVAL
	}
	n = min(n, maxSelect)
	words := (int(n) + 63) / 64 * 8
	sets := [3]fdSet{{events: selectIn}, {events: selectOut}, {events: selectExcept}}
	wanted := make([]byte, words)
	for i := range sets {
		sets[i].result = make([]byte, words)
		if sets[i].addr = addrs[i]; addrs[i] == 0 {
			continue
		}
		sets[i].bits = make([]byte, words)
		if err := t.CopyIn(addrs[i], sets[i].bits); err != nil {
			return 0, err
		}
		for j, b := range sets[i].bits {
			wanted[j] |= b
		}
	}
	var fds []int
	for j, b := range wanted {
		for ; b != 0; b &= b - 1 {
			if fd := j*8 + bits.TrailingZeros8(b); fd < int(n) {
				fds = append(fds, fd)
			}
		}
	}
	s := newPollSet(len(fds))
	defer s.close()
	for i, fd := range fds {
		d, err := t.Files().Get(int32(fd))
		if err != nil {
			return 0, err
		}
		s.descs[i] = d
		for _, set := range sets {
			if set.has(fd) {
				s.events[i] |= set.events
			}
		}
	}
	count, err := s.wait(t, o.deadline, o.poll, func() int { return scanSets(s, fds, &sets) })
	if err != nil {
		return 0, err
	}
	for _, set := range sets {
		if set.addr != 0 {
			if err := t.CopyOut(set.addr, set.result); err != nil {
				return 0, err
			}
		}
	}
	return uint64(count), nil
}

func (s *fdSet) has(fd int) bool { return s.bits != nil && s.bits[fd/8]>>(fd%8)&1 != 0 }

func scanSets(s *pollSet, fds []int, sets *[3]fdSet) int {
	count := 0
	for i, fd := range fds {
		ready := s.descs[i].Readiness(s.events[i] | waiter.AlwaysEvents)
		for k := range sets {
			if set := &sets[k]; set.has(fd) && ready&set.events != 0 {
				set.result[fd/8] |= 1 << (fd % 8)
				count++
			}
		}
	}
	return count
}

// selectFDs implements select(2). As Linux does, it writes back the time that
// is left.
func selectFDs(t *kernel.Task, a kernel.Args) (uint64, error) {
	var o timeout
	if a.Addr(4) != 0 {
		var b [linux.TimevalSize]byte
		if err := t.CopyIn(a.Addr(4), b[:]); err != nil {
			return 0, err
		}
		var tv linux.Timeval
		tv.Unmarshal(b[:])
		if tv.Sec < 0 || tv.Usec < 0 {
			return 0, linux.EINVAL
		}
		ts := linux.Timespec{Sec: tv.Sec + tv.Usec/1e6, Nsec: tv.Usec % 1e6 * 1000}
		o = timeoutOf(ts.Nanos())
	}
	n, err := doSelect(t, a.Int(0), [3]uint64{a[1], a[2], a[3]}, o)
	if a.Addr(4) != 0 && t.ThreadGroup().Personality()&linux.STICKY_TIMEOUTS == 0 {
		left := o.left()
		tv := linux.Timeval{Sec: left.Sec, Usec: left.Nsec / 1000}
		var b [linux.TimevalSize]byte
		tv.Marshal(b[:])
		_ = t.CopyOut(a.Addr(4), b[:]) // where it cannot, Linux says nothing either
	}
	if err == linux.ERESTARTSYS {
		err = linux.ERESTARTNOHAND
	}
	return n, err
}

// pselect6 implements pselect(2).
func pselect6(t *kernel.Task, a kernel.Args) (uint64, error) {
	o, err := timespecTimeout(t, a.Addr(4))
	if err != nil {
		return 0, err
	}
	var mask, size uint64
	if a.Addr(5) != 0 {
		var b [16]byte
		if err := t.CopyIn(a.Addr(5), b[:]); err != nil {
			return 0, err
		}
		mask, size = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	}
	n, err := withMask(t, mask, size, func() (uint64, error) {
		return doSelect(t, a.Int(0), [3]uint64{a[1], a[2], a[3]}, o)
	})
	putLeft(t, a.Addr(4), o)
	if err == linux.ERESTARTSYS {
		err = linux.ERESTARTNOHAND
	}
	return n, err
}
