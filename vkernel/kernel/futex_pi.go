package kernel

import (
	"time"

	"megabinary.dev/vkernel/linux"
)

// piKey names the waiters of a futex with priority inheritance, whom FUTEX_WAKE
// does not wake. There are no priorities to inherit: the first comes first.
type piKey struct{ space any }

func (t *Task) piKey(addr uint64, private bool) futexKey {
	k := t.futexKey(t.MM(), addr, private)
	return futexKey{piKey{k.space}, k.off}
}

// FutexLockPI implements FUTEX_LOCK_PI and, if try, FUTEX_TRYLOCK_PI.
func (t *Task) FutexLockPI(addr uint64, private, try bool, deadline time.Time) error {
	b, err := t.word(addr, true)
	if err != nil {
		return err
	}
	self := uint32(t.TID())
	if owner := loadWord(b) & linux.FUTEX_TID_MASK; owner != 0 && t.c.Task(int(owner)) == nil {
		return linux.ESRCH
	}
	f := &t.c.futex
	w := &futexWaiter{key: t.piKey(addr, private), bitset: linux.FUTEX_BITSET_MATCH_ANY, woken: make(chan struct{}), tid: self}
	f.mu.Lock()
	for {
		v := loadWord(b)
		owner := v & linux.FUTEX_TID_MASK
		switch {
		case owner == 0:
			taken := self | v&linux.FUTEX_OWNER_DIED
			if len(f.waiters[w.key]) > 0 {
				taken |= linux.FUTEX_WAITERS
			}
			if !casWord(b, v, taken) {
				continue
			}
			f.mu.Unlock()
			return nil
		case owner == self:
			f.mu.Unlock()
			return linux.EDEADLK
		case try:
			f.mu.Unlock()
			return linux.EAGAIN
		}
		if casWord(b, v, v|linux.FUTEX_WAITERS) {
			break
		}
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
		return nil // the lock was handed over meanwhile
	}
	f.remove(w)
	return err
}

// FutexUnlockPI implements FUTEX_UNLOCK_PI: the lock goes to who waits longest.
func (t *Task) FutexUnlockPI(addr uint64, private bool) error {
	b, err := t.word(addr, true)
	if err != nil {
		return err
	}
	if loadWord(b)&linux.FUTEX_TID_MASK != uint32(t.TID()) {
		return linux.EPERM
	}
	t.c.futex.handOver(b, t.piKey(addr, private), 0)
	return nil
}

// handOver gives a lock to its first waiter, if there is one, and sets flags in
// its word.
func (f *futexTable) handOver(b []byte, key futexKey, flags uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := flags
	if list := f.waiters[key]; len(list) > 0 {
		next |= list[0].tid
		if len(list) > 1 {
			next |= linux.FUTEX_WAITERS
		}
	}
	for v := loadWord(b); !casWord(b, v, next); v = loadWord(b) {
	}
	f.wakeLocked(key, 1, linux.FUTEX_BITSET_MATCH_ANY)
}

// waiting says whether anybody waits for key.
func (f *futexTable) waiting(key futexKey) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiters[key]) > 0
}
