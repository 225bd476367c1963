package syscalls

import (
	"encoding/binary"
	"fmt"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/load"
	"megabinary.dev/vkernel/vfs"
)

var le = binary.LittleEndian

// copyInStrings copies a NULL-terminated array of strings.
func copyInStrings(t *kernel.Task, addr uint64) ([]string, error) {
	if addr == 0 {
		return nil, nil // as Linux
	}
	var list []string
	var word [8]byte
	for total := 0; ; addr += 8 {
		if err := t.CopyIn(addr, word[:]); err != nil {
			return nil, err
		}
		p := le.Uint64(word[:])
		if p == 0 {
			return list, nil
		}
		s, err := t.CopyInString(p, load.MaxArgString)
		if err == linux.ENAMETOOLONG {
			return nil, linux.E2BIG
		}
		if err != nil {
			return nil, err
		}
		list = append(list, s)
		if total += len(s) + 9; total > load.MaxArgs {
			return nil, linux.E2BIG
		}
	}
}

// execve implements execve(2).
func execve(t *kernel.Task, a kernel.Args) (uint64, error) {
	path, err := t.CopyInString(a.Addr(0), linux.PATH_MAX)
	if err != nil {
		return 0, err
	}
	if path == "" {
		return 0, linux.ENOENT
	}
	return exec(t, kernel.ExecFile{Path: path}, a.Addr(1), a.Addr(2))
}

func exec(t *kernel.Task, f kernel.ExecFile, argv, envp uint64) (uint64, error) {
	args, err := copyInStrings(t, argv)
	if err != nil {
		return 0, err
	}
	env, err := copyInStrings(t, envp)
	if err != nil {
		return 0, err
	}
	return 0, t.Exec(f, args, env)
}

// execveat implements execveat(2).
func execveat(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(4)
	if flags&^(linux.AT_EMPTY_PATH|linux.AT_SYMLINK_NOFOLLOW|linux.AT_EXECVE_CHECK) != 0 {
		return 0, linux.EINVAL
	}
	path, err := t.CopyInString(a.Addr(1), linux.PATH_MAX)
	if err != nil {
		return 0, err
	}
	f := kernel.ExecFile{Path: path, NoFollow: flags&linux.AT_SYMLINK_NOFOLLOW != 0}
	switch fd := a.Int(0); {
	case path == "" && flags&linux.AT_EMPTY_PATH == 0:
		return 0, linux.ENOENT
	case path != "" && (path[0] == '/' || fd == linux.AT_FDCWD):
	default:
		desc, err := t.Files().Get(fd)
		if err != nil {
			return 0, err
		}
		defer desc.DecRef()
		cloexec, err := t.Files().Cloexec(fd)
		if err != nil {
			return 0, err
		}
		f.CloseOnExec = cloexec
		if path == "" {
			f.Desc, f.Path = desc, fmt.Sprintf("/dev/fd/%d", fd)
		} else {
			f.At, f.Path = desc.Path(), path
		}
	}
	if flags&linux.AT_EXECVE_CHECK != 0 {
		return 0, t.CheckExec(f)
	}
	return exec(t, f, a.Addr(2), a.Addr(3))
}

// fork implements fork(2).
func fork(t *kernel.Task, _ kernel.Args) (uint64, error) {
	pid, err := t.Clone(kernel.CloneArgs{ExitSignal: linux.SIGCHLD})
	return uint64(pid), err
}

// vfork implements vfork(2).
func vfork(t *kernel.Task, _ kernel.Args) (uint64, error) {
	pid, err := t.Clone(kernel.CloneArgs{Flags: linux.CLONE_VM | linux.CLONE_VFORK, ExitSignal: linux.SIGCHLD})
	return uint64(pid), err
}

// clone implements clone(2).
func clone(t *kernel.Task, a kernel.Args) (uint64, error) {
	tid, err := t.Clone(kernel.CloneArgs{
		Flags: a[0] &^ linux.CSIGNAL & (1<<32 - 1), ExitSignal: int(a[0] & linux.CSIGNAL), Stack: a[1],
		ParentTID: a[2], ChildTID: a[3], TLS: a[4],
	})
	return uint64(tid), err
}

// clone3 implements clone3(2).
func clone3(t *kernel.Task, a kernel.Args) (uint64, error) {
	const minSize, knownSize = 64, 88 // CLONE_ARGS_SIZE_VER0 and VER2
	b, err := copyInStruct(t, a.Addr(0), a[1], minSize, knownSize)
	if err != nil {
		return 0, err
	}
	word := func(i int) uint64 { return le.Uint64(b[8*i:]) }
	ca := kernel.CloneArgs{Flags: word(0), PIDFD: word(1), ChildTID: word(2), ParentTID: word(3),
		ExitSignal: int(word(4) & 0xffff_ffff), TLS: word(7)}
	stack, size := word(5), word(6)
	if word(4)&^linux.CSIGNAL != 0 || (stack == 0) != (size == 0) || word(9) != 0 || word(10) != 0 ||
		ca.Flags&(linux.CLONE_DETACHED|linux.CSIGNAL) != 0 {
		return 0, linux.EINVAL
	}
	if stack != 0 {
		ca.Stack = stack + size
	}
	tid, err := t.Clone(ca)
	return uint64(tid), err
}

// exit implements exit(2).
func exit(t *kernel.Task, a kernel.Args) (uint64, error) {
	t.Exit(int(a.Int(0)))
	return 0, nil
}

// exitGroup implements exit_group(2).
func exitGroup(t *kernel.Task, a kernel.Args) (uint64, error) {
	t.ExitGroup(int(a.Int(0)))
	return 0, nil
}

// wait4 implements wait4(2).
func wait4(t *kernel.Task, a kernel.Args) (uint64, error) {
	const known = linux.WNOHANG | linux.WUNTRACED | linux.WCONTINUED | 0xe000_0000 // __WNOTHREAD, __WALL, __WCLONE
	options := int(a.Uint(2))
	if options&^known != 0 {
		return 0, linux.EINVAL
	}
	w := kernel.WaitArgs{Type: linux.P_PID, ID: int(a.Int(0)), Options: options | linux.WEXITED}
	switch {
	case w.ID == -1<<31:
		return 0, linux.ESRCH
	case w.ID < -1:
		w.Type, w.ID = linux.P_PGID, -w.ID
	case w.ID == -1:
		w.Type = linux.P_ALL
	case w.ID == 0:
		w.Type = linux.P_PGID
	}
	r, err := t.Wait(w)
	if err != nil || r.PID == 0 {
		return 0, err
	}
	if a.Addr(1) != 0 {
		if err := t.CopyOut(a.Addr(1), le.AppendUint32(nil, uint32(r.Status))); err != nil {
			return 0, err
		}
	}
	if a.Addr(3) != 0 {
		if err := copyOutUsage(t, a.Addr(3), kernel.Usage{CPU: r.CPU, MaxRSS: r.MaxRSS}); err != nil {
			return 0, err
		}
	}
	return uint64(r.PID), nil
}

// waitid implements waitid(2).
func waitid(t *kernel.Task, a kernel.Args) (uint64, error) {
	options := int(a.Uint(3))
	const states = linux.WEXITED | linux.WSTOPPED | linux.WCONTINUED
	if options&^(states|linux.WNOHANG|linux.WNOWAIT|0xe000_0000) != 0 || options&states == 0 {
		return 0, linux.EINVAL
	}
	w := kernel.WaitArgs{Type: int(a.Int(0)), ID: int(a.Int(1)), Options: options}
	switch w.Type {
	case linux.P_ALL:
	case linux.P_PID:
		if w.ID <= 0 {
			return 0, linux.EINVAL
		}
	case linux.P_PGID:
		if w.ID < 0 {
			return 0, linux.EINVAL
		}
	case linux.P_PIDFD:
		f, err := pidfdOf(t, int32(w.ID))
		if err != nil {
			return 0, err
		}
		w.Type, w.ID = linux.P_PID, f.PID()
	default:
		return 0, linux.EINVAL
	}
	r, err := t.Wait(w)
	if err != nil {
		return 0, err
	}
	if a.Addr(2) != 0 {
		var i linux.Siginfo
		if r.PID != 0 {
			i.Signo, i.Code = linux.SIGCHLD, int32(r.Code)
			i.SetPID(int32(r.PID))
			i.SetUID(r.UID)
			i.SetStatus(int32(r.Value))
		}
		if err := copyOutSiginfo(t, a.Addr(2), &i); err != nil {
			return 0, err
		}
	}
	if a.Addr(4) != 0 && r.PID != 0 {
		return 0, copyOutUsage(t, a.Addr(4), kernel.Usage{CPU: r.CPU, MaxRSS: r.MaxRSS})
	}
	return 0, nil
}

// getpid implements getpid(2).
func getpid(t *kernel.Task, _ kernel.Args) (uint64, error) { return uint64(t.TGID()), nil }

// gettid implements gettid(2).
func gettid(t *kernel.Task, _ kernel.Args) (uint64, error) { return uint64(t.TID()), nil }

// getppid implements getppid(2).
func getppid(t *kernel.Task, _ kernel.Args) (uint64, error) {
	return uint64(t.ThreadGroup().ParentID()), nil
}

// getpgrp implements getpgrp(2).
func getpgrp(t *kernel.Task, _ kernel.Args) (uint64, error) {
	return uint64(t.ThreadGroup().ProcessGroup()), nil
}

// getpgid implements getpgid(2).
func getpgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	id, err := t.PGID(int(a.Int(0)))
	return uint64(id), err
}

// setpgid implements setpgid(2).
func setpgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) < 0 {
		return 0, linux.ESRCH
	}
	return 0, t.SetPGID(int(a.Int(0)), int(a.Int(1)))
}

// getsid implements getsid(2).
func getsid(t *kernel.Task, a kernel.Args) (uint64, error) {
	id, err := t.SID(int(a.Int(0)))
	return uint64(id), err
}

// setsid implements setsid(2).
func setsid(t *kernel.Task, _ kernel.Args) (uint64, error) {
	id, err := t.SetSID()
	return uint64(id), err
}

// setTIDAddress implements set_tid_address(2).
func setTIDAddress(t *kernel.Task, a kernel.Args) (uint64, error) {
	t.SetClearChildTID(a.Addr(0))
	return uint64(t.TID()), nil
}

// archPrctl implements arch_prctl(2).
func archPrctl(t *kernel.Task, a kernel.Args) (uint64, error) {
	put := func(v uint64) error { return t.CopyOut(a.Addr(1), le.AppendUint64(nil, v)) }
	switch a.Int(0) {
	case linux.ARCH_SET_FS, linux.ARCH_SET_GS:
		if a[1] >= 1<<47 {
			return 0, linux.EPERM
		}
		which := kernel.FS
		if a.Int(0) == linux.ARCH_SET_GS {
			which = kernel.GS
		}
		t.SetSegmentBase(which, a[1])
		return 0, nil
	case linux.ARCH_GET_CPUID:
		return 1, nil
	case linux.ARCH_SET_CPUID:
		return 0, linux.ENODEV // CPUID cannot be made to fault
	case linux.ARCH_GET_FS:
		return 0, put(t.SegmentBase(kernel.FS))
	case linux.ARCH_GET_GS:
		return 0, put(t.SegmentBase(kernel.GS))
	}
	return 0, linux.EINVAL
}

// prctl implements the operations of prctl(2) that programs use.
func prctl(t *kernel.Task, a kernel.Args) (uint64, error) {
	tg := t.ThreadGroup()
	flag := func(on bool) (uint64, error) {
		if on {
			return 1, nil
		}
		return 0, nil
	}
	putInt := func(v int) (uint64, error) { return 0, t.CopyOut(a.Addr(1), le.AppendUint32(nil, uint32(v))) }
	switch a.Int(0) {
	case linux.PR_SET_NAME:
		var b [16]byte
		for i := range 15 {
			if err := t.CopyIn(a.Addr(1)+uint64(i), b[i:i+1]); err != nil {
				return 0, err
			}
			if b[i] == 0 {
				break
			}
		}
		t.SetComm(cString(b[:]))
		return 0, nil
	case linux.PR_GET_NAME:
		var b [16]byte
		copy(b[:15], t.Comm())
		return 0, t.CopyOut(a.Addr(1), b[:])
	case linux.PR_SET_PDEATHSIG:
		if a[1] > linux.NSIG {
			return 0, linux.EINVAL
		}
		t.SetDeathSignal(int(a[1]))
		return 0, nil
	case linux.PR_GET_PDEATHSIG:
		return putInt(t.DeathSignal())
	case linux.PR_SET_DUMPABLE:
		if a[1] > 1 {
			return 0, linux.EINVAL
		}
		tg.SetDumpable(int(a[1]))
		return 0, nil
	case linux.PR_GET_DUMPABLE:
		return uint64(tg.Dumpable()), nil
	case linux.PR_SET_KEEPCAPS:
		if a[1] > 1 {
			return 0, linux.EINVAL
		}
		t.SetKeepCaps(a[1] == 1)
		return 0, nil
	case linux.PR_GET_KEEPCAPS:
		return flag(t.KeepCaps())
	case linux.PR_SET_CHILD_SUBREAPER:
		tg.SetSubreaper(a[1] != 0)
		return 0, nil
	case linux.PR_GET_CHILD_SUBREAPER:
		v, _ := flag(tg.Subreaper())
		return putInt(int(v))
	case linux.PR_SET_NO_NEW_PRIVS:
		if a[1] != 1 || a[2]|a[3]|a[4] != 0 {
			return 0, linux.EINVAL
		}
		t.SetNoNewPrivs()
		return 0, nil
	case linux.PR_GET_NO_NEW_PRIVS:
		if a[1]|a[2]|a[3]|a[4] != 0 {
			return 0, linux.EINVAL
		}
		return flag(t.NoNewPrivs())
	case linux.PR_SET_TIMERSLACK:
		t.SetTimerSlack(a[1])
		return 0, nil
	case linux.PR_GET_TIMERSLACK:
		return t.TimerSlack(), nil
	case linux.PR_GET_SECCOMP, linux.PR_SET_PTRACER:
		return 0, nil
	case linux.PR_CAPBSET_READ, linux.PR_CAPBSET_DROP:
		return boundingSet(t, a)
	}
	return prctlRare(t, a)
}

// prctlRare implements the operations of prctl(2) that hardly anybody uses.
func prctlRare(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Creds()
	switch a.Int(0) {
	case linux.PR_SET_TIMING:
		if a[1] != 0 { // PR_TIMING_STATISTICAL is all there is
			return 0, linux.EINVAL
		}
		return 0, nil
	case linux.PR_GET_TIMING:
		return 0, nil
	case linux.PR_SET_THP_DISABLE:
		if a[2]|a[3]|a[4] != 0 {
			return 0, linux.EINVAL
		}
		t.ThreadGroup().SetTHPDisabled(a[1] != 0)
		return 0, nil
	case linux.PR_GET_THP_DISABLE:
		if a[1]|a[2]|a[3]|a[4] != 0 {
			return 0, linux.EINVAL
		}
		if t.ThreadGroup().THPDisabled() {
			return 1, nil
		}
		return 0, nil
	case linux.PR_GET_SECUREBITS:
		return uint64(c.SecureBits), nil
	case linux.PR_SET_SECUREBITS:
		const known = 0xff
		if !c.HasCap(linux.CAP_SETPCAP) || a[1]&^known != 0 || (c.SecureBits>>1)&0x55&^uint32(a[1]>>1) != 0 {
			return 0, linux.EPERM
		}
		n := c.Clone()
		n.SecureBits = uint32(a[1])
		t.SetCreds(n)
		return 0, nil
	case linux.PR_CAP_AMBIENT:
		return ambientSet(t, a)
	case linux.PR_GET_SPECULATION_CTRL:
		if a[2]|a[3]|a[4] != 0 {
			return 0, linux.EINVAL
		}
		return 0, linux.ENODEV
	case linux.PR_GET_TSC:
		const enable = 1 // PR_TSC_ENABLE
		return 0, t.CopyOut(a.Addr(1), le.AppendUint32(nil, enable))
	}
	return 0, linux.EINVAL
}

// ambientSet implements prctl(PR_CAP_AMBIENT).
func ambientSet(t *kernel.Task, a kernel.Args) (uint64, error) {
	const isSet, raise, lower, clearAll, noRaise = 1, 2, 3, 4, 1 << 6 // SECBIT_NO_CAP_AMBIENT_RAISE
	n := t.Creds().Clone()
	if a[1] == clearAll {
		if a[2]|a[3]|a[4] != 0 {
			return 0, linux.EINVAL
		}
		n.Ambient = 0
		t.SetCreds(n)
		return 0, nil
	}
	if a[3]|a[4] != 0 || a[2] > linux.CAP_LAST_CAP {
		return 0, linux.EINVAL
	}
	bit := uint64(1) << a[2]
	switch a[1] {
	case isSet:
		if n.Ambient&bit != 0 {
			return 1, nil
		}
		return 0, nil
	case raise:
		if n.Permitted&n.Inheritable&bit == 0 || n.SecureBits&noRaise != 0 {
			return 0, linux.EPERM
		}
		n.Ambient |= bit
	case lower:
		n.Ambient &^= bit
	default:
		return 0, linux.EINVAL
	}
	t.SetCreds(n)
	return 0, nil
}

func boundingSet(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a[1] > linux.CAP_LAST_CAP {
		return 0, linux.EINVAL
	}
	c := t.Creds()
	if a.Int(0) == linux.PR_CAPBSET_READ {
		return c.Bounding >> a[1] & 1, nil
	}
	if !c.HasCap(linux.CAP_SETPCAP) {
		return 0, linux.EPERM
	}
	return 0, changeCreds(t, func(n *vfs.Creds) { n.Bounding &^= 1 << a[1] })
}

func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
