package kernel

import (
	"bytes"
	"debug/elf"
	"fmt"
	"time"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/linux"
)

// Restart makes a syscall that returns ERESTART_RESTARTBLOCK go on with fn if no
// handler ran.
func (t *Task) Restart(fn func(*Task) (uint64, error)) { t.restart = fn }

// RestartSyscall implements restart_syscall(2).
func (t *Task) RestartSyscall() (uint64, error) {
	if t.restart == nil {
		return 0, linux.EINTR
	}
	return t.restart(t)
}

// SetClearChildTID implements set_tid_address(2).
func (t *Task) SetClearChildTID(addr uint64) { t.clearChildTID = addr }

// SetRobustList implements set_robust_list(2).
func (t *Task) SetRobustList(addr uint64) { t.robustList = addr }

// RobustList returns what SetRobustList set.
func (t *Task) RobustList() uint64 { return t.robustList }

// Segment bases, of which arch_prctl(2) sets the two that exist.
const (
	FS = iota
	GS
)

// SegmentBase returns FS or GS base.
func (t *Task) SegmentBase(which int) uint64 {
	var c guestabi.Context
	t.machine.SaveContext(&c)
	if which == FS {
		return c.FSBase
	}
	return c.GSBase
}

// SetSegmentBase sets FS or GS base and ends the syscall with 0. Translated code
// may hold a base in a local, so the guest is entered anew.
func (t *Task) SetSegmentBase(which int, v uint64) {
	t.redirect.kind = redirectContext
	c := &t.redirect.ctx
	t.machine.SaveContext(c)
	if which == FS {
		c.FSBase = v
	} else {
		c.GSBase = v
	}
	c.GPR[guestabi.RAX], c.PC = 0, uint64(t.next)
}

// SetAffinity keeps a mask of CPUs, which must not be changed afterwards. It has
// no effect on where the task runs.
func (t *Task) SetAffinity(mask []byte) { t.affinity.Store(&mask) }

// Affinity returns what SetAffinity kept, nil if nothing.
func (t *Task) Affinity() []byte {
	if p := t.affinity.Load(); p != nil {
		return *p
	}
	return nil
}

// SetNoNewPrivs implements PR_SET_NO_NEW_PRIVS.
func (t *Task) SetNoNewPrivs() { t.noNewPrivs = true }

// NoNewPrivs implements PR_GET_NO_NEW_PRIVS.
func (t *Task) NoNewPrivs() bool { return t.noNewPrivs }

// SetKeepCaps implements PR_SET_KEEPCAPS.
func (t *Task) SetKeepCaps(on bool) { t.keepCaps = on }

// KeepCaps implements PR_GET_KEEPCAPS.
func (t *Task) KeepCaps() bool { return t.keepCaps }

// SetTimerSlack implements PR_SET_TIMERSLACK.
func (t *Task) SetTimerSlack(ns uint64) { t.timerSlack = ns }

// TimerSlack implements PR_GET_TIMERSLACK.
func (t *Task) TimerSlack() uint64 { return t.timerSlack }

// SetDeathSignal implements PR_SET_PDEATHSIG.
func (t *Task) SetDeathSignal(sig int) {
	t.c.mu.Lock()
	t.pdeathSignal = sig
	t.c.mu.Unlock()
}

// DeathSignal implements PR_GET_PDEATHSIG.
func (t *Task) DeathSignal() int {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.pdeathSignal
}

// SetSubreaper implements PR_SET_CHILD_SUBREAPER.
func (tg *ThreadGroup) SetSubreaper(on bool) {
	tg.c.mu.Lock()
	tg.subreaper = on
	tg.c.mu.Unlock()
}

// Subreaper implements PR_GET_CHILD_SUBREAPER.
func (tg *ThreadGroup) Subreaper() bool {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.subreaper
}

// SetDumpable implements PR_SET_DUMPABLE.
func (tg *ThreadGroup) SetDumpable(v int) {
	tg.c.mu.Lock()
	tg.dumpable = v
	tg.c.mu.Unlock()
}

// Dumpable implements PR_GET_DUMPABLE.
func (tg *ThreadGroup) Dumpable() int {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.dumpable
}

// SetNice sets the nice value, which has no effect.
func (tg *ThreadGroup) SetNice(v int) {
	tg.c.mu.Lock()
	tg.nice = v
	tg.c.mu.Unlock()
}

// Nice returns the nice value.
func (tg *ThreadGroup) Nice() int {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.nice
}

// Usage is what getrusage(2) reports.
type Usage struct {
	CPU    time.Duration
	MaxRSS uint64 // bytes
}

// Usage returns the usage of the process, or of its waited-for children.
func (tg *ThreadGroup) Usage(children bool) Usage {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	if children {
		return Usage{tg.childCPU, tg.childRSS}
	}
	return Usage{tg.cpu(), tg.maxRSS}
}

// symbolAt names the function of the program that holds a link-time address, as
// far as its symbol table says.
func (p *program) symbolAt(addr uint64) (name string) {
	defer func() {
		if recover() != nil { // debug/elf has panicked on hostile files before
			name = ""
		}
	}()
	f, err := elf.NewFile(bytes.NewReader(p.content))
	if err != nil {
		return ""
	}
	syms, err := f.Symbols()
	if err != nil {
		return ""
	}
	best := uint64(0)
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Value <= addr && (name == "" || s.Value > best) {
			name, best = s.Name, s.Value
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf("%s+%#x", name, addr-best)
}
