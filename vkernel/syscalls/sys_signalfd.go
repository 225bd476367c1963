package syscalls

import (
	"path"
	"strconv"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
)

// signalfd implements the system call of that name, which has no flags.
func signalfd(t *kernel.Task, a kernel.Args) (uint64, error) {
	return signalfd4(t, kernel.Args{a[0], a[1], a[2]})
}

// signalfd4 implements signalfd(2).
func signalfd4(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(3)
	if flags&^(linux.O_CLOEXEC|linux.O_NONBLOCK) != 0 {
		return 0, linux.EINVAL
	}
	mask, err := copyInSet(t, a.Addr(1), a[2])
	if err != nil {
		return 0, err
	}
	if a.Int(0) == -1 {
		return installAnon(t, t.NewSignalFD(mask, anonStat(t, devAnon, 0o600)), flags)
	}
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	f, ok := d.File().(*kernel.SignalFD)
	if !ok {
		return 0, linux.EINVAL
	}
	f.SetMask(mask)
	return uint64(a.Int(0)), nil
}

// pidfdOpen implements pidfd_open(2).
func pidfdOpen(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(1)
	if flags&^linux.O_NONBLOCK != 0 || a.Int(0) <= 0 {
		return 0, linux.EINVAL
	}
	f, err := t.OpenPid(int(a.Int(0)), anonStat(t, devAnon, 0o600))
	if err != nil {
		return 0, err
	}
	return installAnon(t, f, flags|linux.O_CLOEXEC)
}

// pidfdOf returns the process that a descriptor refers to.
func pidfdOf(t *kernel.Task, fd int32) (*kernel.PidFD, error) {
	d, err := t.Files().Get(fd)
	if err != nil {
		return nil, err
	}
	defer d.DecRef()
	if f, ok := d.File().(*kernel.PidFD); ok {
		return f, nil
	}
	return nil, linux.EBADF
}

// pidfdOrProc is pidfdOf that takes the folder /proc/PID, too, as
// pidfd_send_signal does.
func pidfdOrProc(t *kernel.Task, fd int32) (*kernel.PidFD, error) {
	f, err := pidfdOf(t, fd)
	if err == nil {
		return f, nil
	}
	d, derr := t.Files().Get(fd)
	if derr != nil {
		return nil, derr
	}
	defer d.DecRef()
	if i := d.Inode(); i == nil || i.Filesystem().Type() != "proc" {
		return nil, err
	}
	pid, perr := strconv.Atoi(path.Base(d.Describe(t.FS().Root())))
	if perr != nil {
		return nil, err
	}
	return t.OpenPid(pid, linux.Stat{})
}

// pidfdSendSignal implements pidfd_send_signal(2).
func pidfdSendSignal(t *kernel.Task, a kernel.Args) (uint64, error) {
	sig := int(a.Int(1))
	if a.Uint(3) != 0 {
		return 0, linux.EINVAL
	}
	f, err := pidfdOrProc(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	info := t.UserInfo(sig, linux.SI_USER)
	if a.Addr(2) != 0 {
		var b [linux.SiginfoSize]byte
		if err := t.CopyIn(a.Addr(2), b[:]); err != nil {
			return 0, err
		}
		info.Unmarshal(b[:])
		if int(info.Signo) != sig {
			return 0, linux.EINVAL
		}
		if f.PID() != t.TGID() && (info.Code >= 0 || info.Code == linux.SI_TKILL) {
			return 0, linux.EPERM
		}
	}
	if sig < 0 || sig > linux.NSIG {
		return 0, linux.EINVAL
	}
	return 0, t.SendTo(f, info)
}

// remapFilePages answers EINVAL: no mapping here is one that it may change.
func remapFilePages(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(2)&linux.PROT_EXEC != 0 {
		_ = t.RefuseMemory("remap_file_pages", "PROT_EXEC") // recorded; Linux answers EINVAL for any protection
	}
	return 0, linux.EINVAL
}
