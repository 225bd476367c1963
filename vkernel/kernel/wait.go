package kernel

import (
	"time"

	"megabinary.dev/vkernel/linux"
)

// Options of wait4 that Linux spells with two underscores.
const (
	waitAll   = 0x4000_0000 // __WALL
	waitClone = 0x8000_0000 // __WCLONE
)

// WaitArgs are the arguments of wait4(2) and waitid(2).
type WaitArgs struct {
	Type    int // P_ALL, P_PID, P_PGID
	ID      int
	Options int // WNOHANG, WNOWAIT, WEXITED, WSTOPPED, WCONTINUED, __WALL, __WCLONE
}

// WaitResult says what became of a child.
type WaitResult struct {
	PID    int // 0: WNOHANG, and nothing to report
	UID    uint32
	Status int           // as wait4 reports it
	Code   int           // CLD_...
	Value  int           // exit code or signal
	CPU    time.Duration // of the child and its own children
	MaxRSS uint64        // bytes
}

// Wait waits for a child to change state.
func (t *Task) Wait(a WaitArgs) (WaitResult, error) {
	for {
		r, events, err := t.waitOnce(a)
		if err != nil || r.PID != 0 || a.Options&linux.WNOHANG != 0 {
			return r, err
		}
		if err := t.Block(events, time.Time{}); err != nil {
			return WaitResult{}, err
		}
	}
}

// waitOnce looks for a child that has something to report. If there is none yet
// it returns the channel that is closed when there may be.
func (t *Task) waitOnce(a WaitArgs) (WaitResult, <-chan struct{}, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	any := false
	for _, id := range sortedKeys(t.tg.children) {
		child := t.tg.children[id]
		if !a.matches(child, t.tg.pgid) {
			continue
		}
		any = true
		if r, ok := t.reap(child, a.Options); ok {
			return r, nil, nil
		}
	}
	if !any {
		return WaitResult{}, nil, linux.ECHILD
	}
	return WaitResult{}, t.tg.events, nil
}

func (a *WaitArgs) matches(child *ThreadGroup, pgid int) bool {
	switch a.Type {
	case linux.P_PID:
		if child.id != a.ID {
			return false
		}
	case linux.P_PGID:
		if a.ID != 0 {
			pgid = a.ID
		}
		if child.pgid != pgid {
			return false
		}
	}
	clone := child.exitSignal != linux.SIGCHLD
	return a.Options&waitAll != 0 || clone == (a.Options&waitClone != 0)
}

// reap takes what child has to report. c.mu is held.
func (t *Task) reap(child *ThreadGroup, options int) (WaitResult, bool) {
	r := WaitResult{PID: child.id}
	if child.leader != nil {
		r.UID = child.leader.Creds().UID
	}
	keep := options&linux.WNOWAIT != 0
	switch {
	case child.dead && options&linux.WEXITED != 0:
		r.Status = child.exitStatus
		r.CPU, r.MaxRSS = child.cpuDone+child.childCPU, max(child.maxRSS, child.childRSS)
		if sig := r.Status & 0x7f; sig != 0 {
			r.Code, r.Value = int(killedCode(r.Status)), sig
		} else {
			r.Code, r.Value = linux.CLD_EXITED, r.Status>>8&0xff
		}
		if !keep {
			t.tg.childCPU += r.CPU
			t.tg.childRSS = max(t.tg.childRSS, r.MaxRSS)
			child.forget()
		}
	case child.dead:
		return r, false
	case child.stopEvent && child.stopped && options&linux.WSTOPPED != 0:
		r.Status = child.stopSig<<8 | 0x7f
		r.Code, r.Value = linux.CLD_STOPPED, child.stopSig
		child.stopEvent = keep
	case child.contEvent && options&linux.WCONTINUED != 0:
		r.Status = 0xffff
		r.Code, r.Value = linux.CLD_CONTINUED, linux.SIGCONT
		child.contEvent = keep
	default:
		return r, false
	}
	return r, true
}
