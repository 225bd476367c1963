package kernel

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
)

// futexKey names a futex: a word of an address space, or of an object that
// several address spaces share.
type futexKey struct {
	space any
	off   uint64
}

// futexKey returns the key of the futex at addr. A private futex is always named
// by its address space.
func (t *Task) futexKey(as *mm.AddressSpace, addr uint64, private bool) futexKey {
	if !private {
		if obj, off, ok := as.SharedObject(addr); ok {
			return futexKey{obj, off}
		}
	}
	return futexKey{as, addr}
}

// futexTable holds a container's waiters. All buckets have one lock: waking is
// rare against what surrounds it.
type futexTable struct {
	mu      sync.Mutex
	waiters map[futexKey][]*futexWaiter
}

type futexWaiter struct {
	key    futexKey
	bitset uint32
	woken  chan struct{} // closed by wake
	done   bool          // guarded by mu
	tid    uint32        // of one for FUTEX_LOCK_PI
}

// loadWord and casWord access a word of guest memory that guest code changes
// atomically.
func loadWord(b []byte) uint32 { return atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[0]))) }

func casWord(b []byte, old, new uint32) bool {
	return atomic.CompareAndSwapUint32((*uint32)(unsafe.Pointer(&b[0])), old, new)
}

// word returns the host's view of the futex at addr.
func (t *Task) word(addr uint64, write bool) ([]byte, error) {
	if addr&3 != 0 {
		return nil, linux.EINVAL
	}
	return t.Slice(addr, 4, write)
}

// FutexWait implements FUTEX_WAIT_BITSET: it waits until it is woken, unless the
// word at addr is not want (EAGAIN).
func (t *Task) FutexWait(addr uint64, private bool, want, bitset uint32, deadline time.Time) error {
	if bitset == 0 {
		return linux.EINVAL
	}
	b, err := t.word(addr, false)
	if err != nil {
		return err
	}
	w := &futexWaiter{key: t.futexKey(t.MM(), addr, private), bitset: bitset, woken: make(chan struct{})}
	f := &t.c.futex
	f.mu.Lock()
	if loadWord(b) != want {
		f.mu.Unlock()
		return linux.EAGAIN
	}
	f.add(w)
	f.mu.Unlock()
	err = t.Block(w.woken, deadline)
	if err == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.done {
		return nil // woken while giving up: the wake-up must not be lost
	}
	f.remove(w)
	return err
}

func (f *futexTable) add(w *futexWaiter) {
	if f.waiters == nil {
		f.waiters = make(map[futexKey][]*futexWaiter)
	}
	f.waiters[w.key] = append(f.waiters[w.key], w)
}

func (f *futexTable) remove(w *futexWaiter) {
	list := f.waiters[w.key]
	for i, other := range list {
		if other == w {
			f.set(w.key, append(list[:i:i], list[i+1:]...))
			return
		}
	}
}

func (f *futexTable) set(key futexKey, list []*futexWaiter) {
	if len(list) == 0 {
		delete(f.waiters, key)
		return
	}
	f.waiters[key] = list
}

func (f *futexTable) wake(key futexKey, n int, bitset uint32) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wakeLocked(key, n, bitset)
}

func (f *futexTable) wakeLocked(key futexKey, n int, bitset uint32) int {
	list := f.waiters[key]
	if len(list) == 0 {
		return 0
	}
	var rest []*futexWaiter
	woken := 0
	for _, w := range list {
		if woken < n && w.bitset&bitset != 0 {
			w.done = true
			close(w.woken)
			woken++
			continue
		}
		rest = append(rest, w)
	}
	f.set(key, rest)
	return woken
}

// FutexWake implements FUTEX_WAKE_BITSET.
func (t *Task) FutexWake(addr uint64, private bool, n int, bitset uint32) (int, error) {
	if bitset == 0 {
		return 0, linux.EINVAL
	}
	if _, err := t.word(addr, false); err != nil {
		return 0, err
	}
	return t.c.futex.wake(t.futexKey(t.MM(), addr, private), n, bitset), nil
}

// FutexRequeue implements FUTEX_REQUEUE and, if want is not nil,
// FUTEX_CMP_REQUEUE: it wakes n waiters and lets at most move others wait at
// addr2. Without want it returns the number woken, else woken and moved.
func (t *Task) FutexRequeue(addr, addr2 uint64, private bool, n, move int, want *uint32) (int, error) {
	if n < 0 || move < 0 {
		return 0, linux.EINVAL
	}
	b, err := t.word(addr, false)
	if err != nil {
		return 0, err
	}
	if _, err := t.word(addr2, false); err != nil {
		return 0, err
	}
	from, to := t.futexKey(t.MM(), addr, private), t.futexKey(t.MM(), addr2, private)
	f := &t.c.futex
	f.mu.Lock()
	defer f.mu.Unlock()
	if want != nil && loadWord(b) != *want {
		return 0, linux.EAGAIN
	}
	woken := f.wakeLocked(from, n, linux.FUTEX_BITSET_MATCH_ANY)
	moved := 0
	if from != to {
		list := f.waiters[from]
		moved = min(move, len(list))
		f.set(from, list[moved:])
		for _, w := range list[:moved] {
			w.key = to
			f.add(w)
		}
	}
	if want == nil {
		return woken, nil
	}
	return woken + moved, nil
}

// FutexWakeOp implements FUTEX_WAKE_OP.
func (t *Task) FutexWakeOp(addr, addr2 uint64, private bool, n, n2 int, op uint32) (int, error) {
	if _, err := t.word(addr, false); err != nil {
		return 0, err
	}
	b, err := t.word(addr2, true)
	if err != nil {
		return 0, err
	}
	// Encoding: op 4 bits, cmp 4 bits, oparg 12 bits, cmparg 12 bits (futex(2)).
	arg, cmparg := uint32(int32(op<<8)>>20), uint32(int32(op<<20)>>20)
	if op>>28&linux.FUTEX_OP_OPARG_SHIFT != 0 {
		arg = 1 << (arg & 31)
	}
	f := &t.c.futex
	f.mu.Lock()
	defer f.mu.Unlock()
	var old uint32
	for {
		old = loadWord(b)
		v, ok := futexApply(op>>28&7, old, arg)
		if !ok {
			return 0, linux.ENOSYS
		}
		if casWord(b, old, v) {
			break
		}
	}
	woken := f.wakeLocked(t.futexKey(t.MM(), addr, private), n, linux.FUTEX_BITSET_MATCH_ANY)
	hold, ok := futexCompare(op>>24&15, old, cmparg)
	if !ok {
		return 0, linux.ENOSYS
	}
	if hold {
		woken += f.wakeLocked(t.futexKey(t.MM(), addr2, private), n2, linux.FUTEX_BITSET_MATCH_ANY)
	}
	return woken, nil
}

func futexApply(op, old, arg uint32) (uint32, bool) {
	switch op {
	case linux.FUTEX_OP_SET:
		return arg, true
	case linux.FUTEX_OP_ADD:
		return old + arg, true
	case linux.FUTEX_OP_OR:
		return old | arg, true
	case linux.FUTEX_OP_ANDN:
		return old &^ arg, true
	case linux.FUTEX_OP_XOR:
		return old ^ arg, true
	}
	return 0, false
}

func futexCompare(cmp, old, arg uint32) (hold, ok bool) {
	a, b := int32(old), int32(arg)
	switch cmp {
	case linux.FUTEX_OP_CMP_EQ:
		return a == b, true
	case linux.FUTEX_OP_CMP_NE:
		return a != b, true
	case linux.FUTEX_OP_CMP_LT:
		return a < b, true
	case linux.FUTEX_OP_CMP_LE:
		return a <= b, true
	case linux.FUTEX_OP_CMP_GT:
		return a > b, true
	case linux.FUTEX_OP_CMP_GE:
		return a >= b, true
	}
	return false, false
}
