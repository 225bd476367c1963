package kernel

import "megabinary.dev/vkernel/linux"

// orphaned reports whether no member of a process group has a parent in another
// group of the same session, so that nobody could continue it. c.mu is held.
func (c *Container) orphaned(pgid int) bool {
	for _, tg := range c.groups {
		if tg.pgid != pgid || tg.dead || tg.parent == nil || tg.parent == c.init && tg.parent.session != tg.session {
			continue
		}
		if tg.parent.pgid != pgid && tg.parent.session == tg.session {
			return false
		}
	}
	return true
}

// hangUpIfOrphaned sends SIGHUP and SIGCONT to an orphaned group with a stopped
// member. c.mu is held.
func (c *Container) hangUpIfOrphaned(pgid int) {
	stopped := false
	for _, tg := range c.groups {
		stopped = stopped || tg.pgid == pgid && !tg.dead && tg.stopped
	}
	if !stopped || !c.orphaned(pgid) {
		return
	}
	for _, tg := range c.groups {
		if tg.pgid == pgid {
			_ = tg.send(linux.SIGHUP, kernelInfo(linux.SIGHUP)) // standard signals always fit
			_ = tg.send(linux.SIGCONT, kernelInfo(linux.SIGCONT))
		}
	}
}

// ForegroundTTY is what the kernel needs of a controlling terminal.
type ForegroundTTY interface {
	// ForegroundGroup returns the foreground process group's id, 0 if none.
	ForegroundGroup() int
	// Device returns the number of its device.
	Device() uint64
	// Disassociate tells the terminal that its session has ended.
	Disassociate()
}

// leaveSession gives up the controlling terminal when the session's leader ends.
// c.mu is held.
func (tg *ThreadGroup) leaveSession() {
	s := tg.session
	if s.leader != tg {
		return
	}
	s.leader = nil
	tty, ok := s.tty.(ForegroundTTY)
	fg := s.oldFG
	s.tty, s.oldFG = nil, 0
	if ok {
		fg = tty.ForegroundGroup()
		tty.Disassociate()
	}
	for _, other := range tg.c.groups {
		if fg != 0 && other.pgid == fg && other != tg && !other.dead {
			_ = other.send(linux.SIGHUP, kernelInfo(linux.SIGHUP))
			_ = other.send(linux.SIGCONT, kernelInfo(linux.SIGCONT))
		}
	}
}

// HangUpSession takes the terminal away from a session, as a hangup of the line
// does: the leader gets SIGHUP and SIGCONT, and when it ends, so does fg, the
// terminal's foreground group.
func (c *Container) HangUpSession(session, fg int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tg := range c.groups {
		s := tg.session
		if s.id != session || tg.dead {
			continue
		}
		s.tty = nil
		if s.leader == tg {
			s.oldFG = fg
			_ = tg.send(linux.SIGHUP, kernelInfo(linux.SIGHUP)) // standard signals always fit
			_ = tg.send(linux.SIGCONT, kernelInfo(linux.SIGCONT))
		}
	}
}

// SetSID implements setsid(2).
func (t *Task) SetSID() (int, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	for _, tg := range t.c.groups {
		if tg.pgid == t.tg.id {
			return 0, linux.EPERM
		}
	}
	t.tg.session = &Session{id: t.tg.id, leader: t.tg}
	t.tg.pgid, t.tg.noTTY = t.tg.id, false
	return t.tg.id, nil
}

// SetPGID implements setpgid(2).
func (t *Task) SetPGID(pid, pgid int) error {
	if pgid < 0 {
		return linux.EINVAL
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	tg := t.tg
	if pid != 0 && pid != t.tg.id {
		tg = t.c.groups[pid]
		if tg == nil || tg.parent != t.tg || tg.dead {
			return linux.ESRCH
		}
		if tg.session != t.tg.session {
			return linux.EPERM
		}
		if tg.execd {
			return linux.EACCES
		}
	}
	if tg.session.leader == tg {
		return linux.EPERM
	}
	if pgid == 0 {
		pgid = tg.id
	}
	if pgid != tg.id {
		found := false
		for _, other := range t.c.groups {
			found = found || other.pgid == pgid && other.session == t.tg.session
		}
		if !found {
			return linux.EPERM
		}
	}
	tg.pgid = pgid
	return nil
}

// PGID implements getpgid(2).
func (t *Task) PGID(pid int) (int, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	tg, err := t.other(pid)
	if err != nil {
		return 0, err
	}
	return tg.pgid, nil
}

// SID implements getsid(2).
func (t *Task) SID(pid int) (int, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	tg, err := t.other(pid)
	if err != nil {
		return 0, err
	}
	return tg.session.id, nil
}

// other returns the process with a pid, the caller's own for 0. c.mu is held.
func (t *Task) other(pid int) (*ThreadGroup, error) {
	if pid == 0 {
		return t.tg, nil
	}
	if other := t.c.tasks[pid]; other != nil {
		return other.tg, nil
	}
	if tg := t.c.groups[pid]; tg != nil {
		return tg, nil
	}
	return nil, linux.ESRCH
}

// ControllingTTY returns the process's terminal as SetControllingTTY got it, or
// nil.
func (t *Task) ControllingTTY() any {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.tg.noTTY {
		return nil
	}
	return t.tg.session.tty
}

// LeadsSession reports whether the process is the leader of its session.
func (t *Task) LeadsSession() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.tg.session.leader == t.tg
}

// SetControllingTTY gives the session a terminal. nil takes it away: from the
// session if the caller leads it, else from the caller and its future children.
// EPERM unless the caller leads the session; if steal is not set, also if the
// session has a terminal or another session has this one.
func (t *Task) SetControllingTTY(tty any, steal bool) error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	s := t.tg.session
	if tty == nil {
		if s.leader == t.tg {
			s.tty = nil
		} else {
			t.tg.noTTY = true
		}
		return nil
	}
	if s.leader != t.tg || s.tty != nil && s.tty != tty {
		return linux.EPERM
	}
	for _, tg := range t.c.groups {
		if tg.session != s && tg.session.tty == tty {
			if !steal {
				return linux.EPERM
			}
			tg.session.tty = nil
		}
	}
	s.tty = tty
	return nil
}

// ForegroundAllowed reports whether pgid may become the foreground group of the
// caller's terminal: a group of the caller's session.
func (t *Task) ForegroundAllowed(pgid int) bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	for _, tg := range t.c.groups {
		if tg.pgid == pgid {
			return tg.session == t.tg.session
		}
	}
	return false
}

// CheckBackground applies job control to a background process that uses its
// terminal: sig is SIGTTIN for reading, SIGTTOU for changing or (under TOSTOP)
// writing. fg is the terminal's foreground group. nil means go on; EIO or
// ERESTARTSYS, with a signal on its way, otherwise.
func (t *Task) CheckBackground(fg, sig int) error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.tg.pgid == fg {
		return nil
	}
	ignored := t.tg.actions.get(sig).Handler == linux.SIG_IGN || t.sig.blocked.Has(sig)
	switch {
	case ignored && sig == linux.SIGTTOU:
		return nil
	case ignored, t.c.orphaned(t.tg.pgid):
		return linux.EIO
	}
	for _, tg := range t.c.groups {
		if tg.pgid == t.tg.pgid && !tg.dead {
			_ = tg.send(sig, kernelInfo(sig)) // standard signals always fit
		}
	}
	return linux.ERESTARTSYS
}
