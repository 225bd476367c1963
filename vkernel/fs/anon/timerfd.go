package anon

import (
	"encoding/binary"
	"sync"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// TimerFD is a timer whose expirations are read (timerfd_create(2)).
type TimerFD struct {
	base
	queue waiter.Queue

	mu       sync.Mutex
	next     time.Time // zero: disarmed
	interval time.Duration
	timer    *time.Timer
	expired  uint64 // since the last read
	setting  int    // counts Set, so that an old timer that fires late does nothing
}

var (
	_ vfs.File        = (*TimerFD)(nil)
	_ waiter.Waitable = (*TimerFD)(nil)
)

// NewTimerFD makes a disarmed timer.
func NewTimerFD(st linux.Stat) *TimerFD { return &TimerFD{base: base{st, "anon_inode:[timerfd]"}} }

// Set arms the timer for next, or disarms it if that is zero, and returns what
// it was set to.
func (t *TimerFD) Set(next time.Time, interval time.Duration) (left, oldInterval time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left, oldInterval = t.remaining(), t.interval
	if t.timer != nil {
		t.timer.Stop()
	}
	t.setting++
	t.next, t.interval, t.expired, t.timer = next, interval, 0, nil
	t.arm()
	return left, oldInterval
}

// arm needs mu.
func (t *TimerFD) arm() {
	if t.next.IsZero() {
		return
	}
	setting := t.setting
	t.timer = time.AfterFunc(max(0, time.Until(t.next)), func() { t.fire(setting) })
}

func (t *TimerFD) fire(setting int) {
	t.mu.Lock()
	if setting != t.setting {
		t.mu.Unlock()
		return
	}
	t.catchUp()
	t.mu.Unlock()
	t.queue.Notify(waiter.ReadableEvents)
}

// catchUp counts the expirations until now, which the host's timer may tell of
// late: a program that slept longer than a period reads that it has passed. It
// needs mu.
func (t *TimerFD) catchUp() {
	if t.next.IsZero() || time.Now().Before(t.next) {
		return
	}
	t.timer.Stop()
	t.setting++
	if t.interval == 0 {
		t.expired++
		t.next = time.Time{}
		return
	}
	n := 1 + time.Since(t.next)/t.interval
	t.expired += uint64(n)
	t.next = t.next.Add(n * t.interval)
	t.arm()
}

// Get returns the time until the next expiration, 0 if disarmed.
func (t *TimerFD) Get() (left, interval time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.remaining(), t.interval
}

func (t *TimerFD) remaining() time.Duration {
	if t.next.IsZero() {
		return 0
	}
	return max(1, time.Until(t.next))
}

// ReadAt implements vfs.File.
func (t *TimerFD) ReadAt(p []byte, _ int64) (int, error) {
	if len(p) < 8 {
		return 0, linux.EINVAL
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.catchUp()
	if t.expired == 0 {
		return 0, linux.EAGAIN
	}
	binary.LittleEndian.PutUint64(p, t.expired)
	t.expired = 0
	return 8, nil
}

// WriteAt implements vfs.File.
func (t *TimerFD) WriteAt([]byte, int64) (int, error) { return 0, linux.EINVAL }

// Release implements vfs.File.
func (t *TimerFD) Release() { t.Set(time.Time{}, 0) }

// Readiness implements waiter.Waitable.
func (t *TimerFD) Readiness(mask waiter.EventMask) waiter.EventMask {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.catchUp()
	if t.expired > 0 {
		return mask & waiter.ReadableEvents
	}
	return 0
}

// EventRegister implements waiter.Waitable.
func (t *TimerFD) EventRegister(w *waiter.Entry) { t.queue.EventRegister(w) }

// EventUnregister implements waiter.Waitable.
func (t *TimerFD) EventUnregister(w *waiter.Entry) { t.queue.EventUnregister(w) }
