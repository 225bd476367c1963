package kernel

import (
	"time"

	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
	"megabinary.dev/vkernel/waiter"
)

// groupExit makes all threads of the process end. status is the wait status: a
// signal number, or an exit code shifted left by 8. c.mu is held.
func (tg *ThreadGroup) groupExit(status int) {
	if tg.exiting || tg.dead {
		return
	}
	tg.exiting = true
	tg.exitStatus = status
	if tg.stopped {
		tg.stopped = false
		close(tg.resumed)
	}
	for _, t := range tg.threads {
		t.kick()
	}
}

// Exit implements exit(2): it ends the calling thread.
func (t *Task) Exit(code int) {
	t.fatal = true
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if !t.tg.exiting {
		t.tg.exitStatus = code & 0xff << 8 // of the last thread counts
	}
}

// ExitGroup implements exit_group(2).
func (t *Task) ExitGroup(code int) {
	t.fatal = true
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.tg.groupExit(code & 0xff << 8)
}

// finish gives up everything that the task has, after it has left the guest for
// the last time.
func (t *Task) finish() {
	t.logCode()
	t.pauseCPU()
	as := t.MM()
	t.exitFutexes()
	if t.redirect.kind == redirectMachine {
		t.redirect.kind = redirectNone
	}
	if err := t.machine.Close(); err != nil {
		t.k.log.Warn("closing a machine", "err", err)
	}
	files := t.Files()
	files.DecRef()
	t.releaseVfork()
	mapped := as.Mapped()
	as.Release()

	t.c.mu.Lock()
	last := t.leave(mapped)
	status := t.tg.exitStatus
	t.c.mu.Unlock()
	if last {
		t.c.ipc.Exited(t.TGID())
		t.Record(audit.Record{Event: audit.EventExit, Status: &status, Reason: audit.WaitStatus(status),
			DurationNs: int64(time.Since(t.tg.startTime))})
		t.c.mu.Lock()
		t.tg.die()
		t.c.mu.Unlock()
	}
}

// leave takes the task out of its process and reports whether it was the last
// one. c.mu is held.
func (t *Task) leave(mapped uint64) bool {
	tg := t.tg
	tg.cpuDone += t.CPUTime()
	t.c.cpuDone += t.CPUTime()
	tg.maxRSS = max(tg.maxRSS, mapped)
	tid := t.TID()
	delete(tg.threads, tid)
	delete(t.c.tasks, tid)
	if len(tg.threads) > 0 {
		tg.notify() // execve may wait for this
		return false
	}
	return true
}

// killedCode is si_code of a death by a signal.
func killedCode(status int) int32 {
	if status&0x80 != 0 {
		return linux.CLD_DUMPED
	}
	return linux.CLD_KILLED
}

// die makes the process a zombie, hands its children on and tells its parent.
// c.mu is held.
func (tg *ThreadGroup) die() {
	c := tg.c
	tg.timers.stop()
	tg.exiting = true
	tg.stopEvent, tg.contEvent = false, false
	uid := uint32(0)
	if tg.leader != nil {
		uid = tg.leader.Creds().UID
	}
	tg.dead, tg.leader = true, nil
	tg.signals.Notify(waiter.ReadableEvents)
	if tg == c.init {
		c.closing = true
		for _, other := range c.groups {
			other.groupExit(linux.SIGKILL)
		}
	}
	// Its own group is among them only if this process kept it from being an
	// orphan (Linux: kill_orphaned_pgrp).
	orphans := tg.groupsOfChildren()
	if p := tg.parent; p != nil && p.pgid != tg.pgid && p.session == tg.session {
		orphans = append(orphans, tg.pgid)
	}
	tg.reparentChildren()
	tg.leaveSession()
	// Groups that this exit has orphaned, with stopped members, are hung up.
	for _, pgid := range orphans {
		c.hangUpIfOrphaned(pgid)
	}
	tg.tellParent(uid)
}

// tellParent sends SIGCHLD, or drops the zombie if nobody wants it.
func (tg *ThreadGroup) tellParent(uid uint32) {
	p := tg.parent
	if p == nil || p.dead {
		tg.forget()
		return
	}
	if tg.exitSignal != 0 {
		i := linux.Siginfo{Signo: int32(tg.exitSignal), Code: linux.CLD_EXITED}
		i.SetPID(int32(tg.id))
		i.SetUID(uid)
		ticks := tg.cpuDone.Milliseconds() / 10
		i.SetTimes(ticks, 0)
		if sig := tg.exitStatus & 0x7f; sig != 0 {
			i.Code = killedCode(tg.exitStatus)
			i.SetStatus(int32(sig))
		} else {
			i.SetStatus(int32(tg.exitStatus >> 8 & 0xff))
		}
		act := p.actions.get(linux.SIGCHLD)
		unwanted := tg.exitSignal == linux.SIGCHLD &&
			(act.Handler == linux.SIG_IGN || act.Flags&linux.SA_NOCLDWAIT != 0)
		if act.Handler != linux.SIG_IGN || tg.exitSignal != linux.SIGCHLD {
			_ = p.send(tg.exitSignal, i) // fails only if the queue is full of real-time signals
		}
		if unwanted {
			p.childCPU += tg.cpuDone + tg.childCPU
			tg.forget()
		}
	}
	p.notify()
}

// forget drops a zombie. c.mu is held.
func (tg *ThreadGroup) forget() {
	tg.reaped = true
	delete(tg.c.groups, tg.id)
	if tg.parent != nil {
		delete(tg.parent.children, tg.id)
	}
}

func (tg *ThreadGroup) groupsOfChildren() []int {
	seen := map[int]struct{}{}
	for _, child := range tg.children {
		if child.pgid != tg.pgid && child.session == tg.session {
			seen[child.pgid] = struct{}{}
		}
	}
	return sortedKeys(seen)
}

// reparentChildren gives the children to the nearest subreaper, or to init.
func (tg *ThreadGroup) reparentChildren() {
	heir := tg.c.init
	for p := tg.parent; p != nil; p = p.parent {
		if p.subreaper && !p.dead {
			heir = p
			break
		}
	}
	for _, id := range sortedKeys(tg.children) {
		child := tg.children[id]
		delete(tg.children, id)
		child.parentDied()
		if heir == nil || heir == tg || heir.dead {
			child.parent = nil
			if child.dead {
				child.forget()
			}
			continue
		}
		child.parent = heir
		heir.children[id] = child
		child.exitSignal = linux.SIGCHLD
		if child.dead {
			child.tellParent(0)
		}
	}
}

// parentDied sends the signals that threads asked for with PR_SET_PDEATHSIG.
func (tg *ThreadGroup) parentDied() {
	for _, tid := range sortedKeys(tg.threads) {
		if t := tg.threads[tid]; t.pdeathSignal != 0 {
			_ = t.send(t.pdeathSignal, kernelInfo(t.pdeathSignal)) // best effort, as on Linux
		}
	}
}

// exitFutexes tells other threads that this one has ended: robust futexes and
// the address of set_tid_address.
func (t *Task) exitFutexes() {
	as := t.MM()
	if as == nil {
		return
	}
	t.exitRobustList()
	if t.clearChildTID != 0 && as.Users() > 1 {
		if as.CopyOut(t.clearChildTID, make([]byte, 4)) == nil {
			t.c.futex.wake(t.futexKey(as, t.clearChildTID, true), 1, linux.FUTEX_BITSET_MATCH_ANY)
			t.c.futex.wake(t.futexKey(as, t.clearChildTID, false), 1, linux.FUTEX_BITSET_MATCH_ANY)
		}
	}
	t.clearChildTID = 0
}

// exitRobustList marks the robust futexes that the thread holds as
// FUTEX_OWNER_DIED (Documentation/locking/robust-futexes.rst).
func (t *Task) exitRobustList() {
	const (
		maxEntries = 2048 // ROBUST_LIST_LIMIT
		headSize   = 24   // list.next, futex_offset, list_op_pending
	)
	if t.robustList == 0 {
		return
	}
	as := t.MM()
	var head [headSize]byte
	if as.CopyIn(t.robustList, head[:]) != nil {
		return
	}
	next, offset, pending := le.Uint64(head[0:]), le.Uint64(head[8:]), le.Uint64(head[16:])
	var word [8]byte
	for i := 0; i < maxEntries && next != t.robustList; i++ {
		if next != pending {
			t.ownerDied(as, next&^1+offset)
		}
		if as.CopyIn(next&^1, word[:]) != nil {
			return
		}
		next = le.Uint64(word[:])
	}
	if pending != 0 {
		t.ownerDied(as, pending&^1+offset)
	}
}

// ownerDied marks one futex; one with priority inheritance goes to who waits.
func (t *Task) ownerDied(as *mm.AddressSpace, addr uint64) {
	b, err := as.Slice(addr, 4, true)
	if err != nil || addr&3 != 0 {
		return
	}
	v := loadWord(b)
	if v&linux.FUTEX_TID_MASK != uint32(t.TID()) {
		return
	}
	// musl does not mark them: whoever waits says what it is.
	for _, private := range []bool{false, true} {
		if key := t.piKey(addr, private); t.c.futex.waiting(key) {
			t.c.futex.handOver(b, key, linux.FUTEX_OWNER_DIED)
			return
		}
	}
	if casWord(b, v, v&linux.FUTEX_WAITERS|linux.FUTEX_OWNER_DIED) && v&linux.FUTEX_WAITERS != 0 {
		t.c.futex.wake(t.futexKey(as, addr, true), 1, linux.FUTEX_BITSET_MATCH_ANY)
		t.c.futex.wake(t.futexKey(as, addr, false), 1, linux.FUTEX_BITSET_MATCH_ANY)
	}
}
