package tty

import (
	"encoding/binary"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// CheckRead answers what a background process gets that reads.
func (t *TTY) CheckRead(task vfs.IoctlTask) error { return t.checkBackground(task, linux.SIGTTIN) }

// CheckWrite answers what a background process gets that writes, under TOSTOP.
func (t *TTY) CheckWrite(task vfs.IoctlTask) error {
	t.mu.Lock()
	stop := t.termios.Lflag&linux.TOSTOP != 0
	t.mu.Unlock()
	if !stop {
		return nil
	}
	return t.checkBackground(task, linux.SIGTTOU)
}

func (t *TTY) checkBackground(task vfs.IoctlTask, sig int) error {
	j, ok := task.(jobTask)
	if !ok || j.ControllingTTY() != any(t) {
		return nil
	}
	fg := t.ForegroundGroup()
	if fg == 0 {
		return nil
	}
	return j.CheckBackground(fg, sig)
}

// Opened makes the terminal the controlling one of a session leader that has
// none, as open(2) without O_NOCTTY does.
func (t *TTY) Opened(task vfs.IoctlTask) {
	if j, ok := task.(jobTask); ok && j.ControllingTTY() == nil {
		_ = t.control(j, false) // who cannot have it goes without
	}
}

func (t *TTY) control(j jobTask, steal bool) error {
	if err := j.SetControllingTTY(t, steal); err != nil {
		return err
	}
	sid, err := j.SID(0)
	if err != nil {
		return err
	}
	pgid, err := j.PGID(0)
	if err != nil {
		return err
	}
	t.Own(sid, pgid)
	return nil
}

// Ioctl implements vfs.Ioctler.
func (t *TTY) Ioctl(task vfs.IoctlTask, req uint32, arg uint64) (uint64, error) {
	t.mu.Lock()
	hungUp := t.closed && t.pty != nil
	t.mu.Unlock()
	if hungUp {
		return 0, linux.EIO
	}
	switch req {
	case linux.TCGETS, linux.TCGETS2, linux.TCGETA:
		return 0, t.getTermios(task, req, arg)
	case linux.TCSETS, linux.TCSETSW, linux.TCSETSF, linux.TCSETS2, linux.TCSETSW2, linux.TCSETSF2,
		linux.TCSETA, linux.TCSETAW, linux.TCSETAF:
		return 0, t.setTermios(task, req, arg)
	case linux.TIOCGWINSZ:
		var b [linux.WinsizeSize]byte
		t.mu.Lock()
		t.size.Marshal(b[:])
		t.mu.Unlock()
		return 0, task.CopyOut(arg, b[:])
	case linux.TIOCSWINSZ:
		var b [linux.WinsizeSize]byte
		if err := task.CopyIn(arg, b[:]); err != nil {
			return 0, err
		}
		var w linux.Winsize
		w.Unmarshal(b[:])
		t.Resize(w)
		return 0, nil
	case linux.FIONREAD:
		return 0, putInt(task, arg, t.readable())
	case linux.TIOCOUTQ, linux.TIOCGETD: // nothing is on its way; N_TTY
		return 0, putInt(task, arg, 0)
	case linux.TIOCGDEV:
		d := t.Device()
		return 0, putInt(task, arg, int(linux.DevMajor(d)<<8|linux.DevMinor(d)&0xff|linux.DevMinor(d)&^0xff<<12))
	case linux.TCSBRK, linux.TCSBRKP: // output is gone when write returns, and there is no line to break
		return 0, t.checkBackground(task, linux.SIGTTOU)
	case linux.TCXONC:
		if err := t.checkBackground(task, linux.SIGTTOU); err != nil {
			return 0, err
		}
		return 0, t.flow(arg)
	case linux.TCFLSH:
		if err := t.checkBackground(task, linux.SIGTTOU); err != nil {
			return 0, err
		}
		return 0, t.flush(arg)
	case linux.TIOCEXCL, linux.TIOCNXCL:
		t.mu.Lock()
		t.alone = req == linux.TIOCEXCL
		t.mu.Unlock()
		return 0, nil
	case linux.TIOCGEXCL:
		t.mu.Lock()
		alone := t.alone
		t.mu.Unlock()
		if alone {
			return 0, putInt(task, arg, 1)
		}
		return 0, putInt(task, arg, 0)
	}
	if j, ok := task.(jobTask); ok {
		return t.jobIoctl(j, req, arg)
	}
	return 0, linux.ENOTTY
}

// putInt stores a C int at a guest address.
func putInt(task vfs.IoctlTask, addr uint64, v int) error {
	return task.CopyOut(addr, binary.LittleEndian.AppendUint32(nil, uint32(v)))
}

// readable returns how many bytes can be read.
func (t *TTY) readable() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.has(linux.ICANON) && len(t.ends) == 0 {
		return 0
	}
	return len(t.ready)
}

// flush implements TCFLSH. Output cannot be taken back.
func (t *TTY) flush(which uint64) error {
	status := uint8(0)
	switch which {
	case linux.TCIFLUSH:
		status = linux.TIOCPKT_FLUSHREAD
	case linux.TCOFLUSH:
		status = linux.TIOCPKT_FLUSHWRITE
	case linux.TCIOFLUSH:
		status = linux.TIOCPKT_FLUSHREAD | linux.TIOCPKT_FLUSHWRITE
	default:
		return linux.EINVAL
	}
	if which != linux.TCOFLUSH {
		t.mu.Lock()
		t.line, t.ready, t.ends = nil, nil, nil
		t.mu.Unlock()
	}
	if t.pty != nil {
		t.pty.report(status, 0)
		t.pty.feed()
	}
	return nil
}

// speed is that of B38400, which every terminal here has.
const speed = 38400

func (t *TTY) getTermios(task vfs.IoctlTask, req uint32, addr uint64) error {
	var b [linux.Termios2Size]byte
	t.mu.Lock()
	tm := t.termios
	t.mu.Unlock()
	switch req {
	case linux.TCGETA:
		tm.MarshalTermio(b[:])
		return task.CopyOut(addr, b[:linux.TermioSize])
	case linux.TCGETS:
		tm.Marshal(b[:])
		return task.CopyOut(addr, b[:linux.TermiosSize])
	}
	tm.Marshal(b[:])
	binary.LittleEndian.PutUint32(b[linux.TermiosSize:], speed)
	binary.LittleEndian.PutUint32(b[linux.TermiosSize+4:], speed)
	return task.CopyOut(addr, b[:])
}

func (t *TTY) setTermios(task vfs.IoctlTask, req uint32, addr uint64) error {
	t.mu.Lock()
	now := t.termios
	t.mu.Unlock()
	var b [linux.TermiosSize]byte
	switch req {
	case linux.TCSETA, linux.TCSETAW, linux.TCSETAF:
		if err := task.CopyIn(addr, b[:linux.TermioSize]); err != nil {
			return err
		}
		now.UnmarshalTermio(b[:])
	default:
		if err := task.CopyIn(addr, b[:]); err != nil {
			return err
		}
		now.Unmarshal(b[:])
	}
	if err := t.checkBackground(task, linux.SIGTTOU); err != nil {
		return err
	}
	switch req {
	case linux.TCSETSF, linux.TCSETSF2, linux.TCSETAF:
		if err := t.flush(linux.TCIFLUSH); err != nil {
			return err
		}
	}
	t.mu.Lock()
	t.changeTermios(now)
	t.mu.Unlock()
	t.goOn()
	if t.pty != nil {
		t.pty.feed()
	}
	t.queue.Notify(waiter.ReadableEvents)
	return nil
}

// changeTermios sets the modes. It needs mu.
func (t *TTY) changeTermios(now linux.Termios) {
	was := t.termios
	t.termios = now
	switch canon := now.Lflag & linux.ICANON; {
	case canon == 0 && was.Lflag&linux.ICANON != 0:
		t.ready, t.line, t.ends = append(t.ready, t.line...), nil, nil
	case canon != 0 && was.Lflag&linux.ICANON == 0 && len(t.ready) > 0:
		t.ends = []int{len(t.ready)}
	}
	if was.Iflag&^now.Iflag&linux.IXON != 0 {
		t.setStopped(t.held)
	}
	if had, has := flowByCtrlS(&was), flowByCtrlS(&now); t.pty != nil && had != has {
		if has {
			t.pty.report(linux.TIOCPKT_DOSTOP, linux.TIOCPKT_NOSTOP)
		} else {
			t.pty.report(linux.TIOCPKT_NOSTOP, linux.TIOCPKT_DOSTOP)
		}
	}
}

// flowByCtrlS reports whether ^S and ^Q stop and start the output.
func flowByCtrlS(t *linux.Termios) bool {
	return t.Iflag&linux.IXON != 0 && t.CC[linux.VSTOP] == 'S'&0x1f && t.CC[linux.VSTART] == 'Q'&0x1f
}

// giveUp implements TIOCNOTTY: the leader takes the terminal away from its whole
// session, another process from itself.
func (t *TTY) giveUp(j jobTask) error {
	leads := j.LeadsSession()
	if err := j.SetControllingTTY(nil, false); err != nil || !leads {
		return err
	}
	t.mu.Lock()
	hangUp, goOn := t.toForeground(linux.SIGHUP), t.toForeground(linux.SIGCONT)
	t.fg, t.session = 0, 0
	t.mu.Unlock()
	hangUp()
	goOn()
	return nil
}

func (t *TTY) jobIoctl(j jobTask, req uint32, arg uint64) (uint64, error) {
	switch req {
	case linux.TIOCSCTTY:
		return 0, t.control(j, arg == 1)
	case linux.TIOCNOTTY:
		if j.ControllingTTY() != any(t) {
			return 0, linux.ENOTTY
		}
		return 0, t.giveUp(j)
	case linux.TIOCSTI:
		if j.ControllingTTY() != any(t) && !j.Creds().HasCap(linux.CAP_SYS_ADMIN) {
			return 0, linux.EPERM
		}
		var b [1]byte
		if err := j.CopyIn(arg, b[:]); err != nil {
			return 0, err
		}
		t.Input(b[:])
		return 0, nil
	case linux.TIOCGPGRP, linux.TIOCGSID, linux.TIOCSPGRP:
		if j.ControllingTTY() != any(t) {
			return 0, linux.ENOTTY
		}
	default:
		return 0, linux.ENOTTY
	}
	t.mu.Lock()
	fg, session := t.fg, t.session
	t.mu.Unlock()
	switch req {
	case linux.TIOCGPGRP:
		return 0, j.CopyOut(arg, binary.LittleEndian.AppendUint32(nil, uint32(fg)))
	case linux.TIOCGSID:
		return 0, j.CopyOut(arg, binary.LittleEndian.AppendUint32(nil, uint32(session)))
	}
	if err := t.checkBackground(j, linux.SIGTTOU); err != nil {
		return 0, err
	}
	var b [4]byte
	if err := j.CopyIn(arg, b[:]); err != nil {
		return 0, err
	}
	pgid := int(int32(binary.LittleEndian.Uint32(b[:])))
	if pgid < 0 {
		return 0, linux.EINVAL
	}
	if !j.ForegroundAllowed(pgid) {
		return 0, linux.EPERM
	}
	t.mu.Lock()
	t.fg = pgid
	t.mu.Unlock()
	return 0, nil
}
