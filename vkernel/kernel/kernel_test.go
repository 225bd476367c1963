package kernel_test

import (
	"strings"
	"testing"
	"time"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/linux"
)

// Syscall numbers that the scripts use.
const (
	sysRtSigaction  = 13
	sysSigprocmask  = 14
	sysSigreturn    = 15
	sysNanosleep    = 35
	sysGetpid       = 39
	sysClone        = 56
	sysFork         = 57
	sysVfork        = 58
	sysExecve       = 59
	sysExit         = 60
	sysWait4        = 61
	sysKill         = 62
	sysSetpgid      = 109
	sysGetppid      = 110
	sysSetsid       = 112
	sysSigsuspend   = 130
	sysArchPrctl    = 158
	sysGettid       = 186
	sysFutex        = 202
	sysExitGroup    = 231
	sysMmap         = 9
	sysMunmap       = 11
	sysSetitimer    = 38
	sysPause        = 34
	sysSigtimedwait = 128
)

func exited(code int) int { return code << 8 }

func TestExitStatus(t *testing.T) {
	wantStatus(t, runScript(t, newScript().sys(sysExitGroup, 7)), exited(7))
	wantStatus(t, runScript(t, newScript().sys(sysExit, 300)), exited(300&0xff))
}

func TestForkAndWait(t *testing.T) {
	s := newScript()
	s.do(func(g *guest) { g.put64(dataAt, 1) })
	s.sys(sysFork).jumpIf("child", func(g *guest) bool { return g.rax() == 0 })
	s.do(func(g *guest) { g.put64(dataAt+8, g.rax()) })
	s.sys(sysWait4, ^uint64(0), dataAt+16, 0, 0)
	s.exit(func(g *guest) uint64 {
		switch {
		case g.rax() != g.u64(dataAt+8):
			return 100
		case g.u32(dataAt+16) != uint32(exited(42)):
			return 101
		case g.u64(dataAt) != 1: // the child's write is its own
			return 102
		}
		return 0
	})
	s.label("child").do(func(g *guest) { g.put64(dataAt, 2) })
	s.exit(func(g *guest) uint64 { return 40 + g.u64(dataAt) })
	wantStatus(t, runScript(t, s), 0)
}

func TestWaitWithoutChildrenIsECHILD(t *testing.T) {
	s := newScript().sys(sysWait4, ^uint64(0), 0, 0, 0)
	s.exit(func(g *guest) uint64 { return -g.rax() })
	wantStatus(t, runScript(t, s), exited(int(linux.ECHILD)))
}

// handler installs a handler for sig at label h, with the restorer at label r.
func (s *script) handler(sig uint64, h, r string, flags uint64) *script {
	s.do(func(g *guest) {
		var b [linux.SigactionSize]byte
		act := linux.Sigaction{Handler: uint64(s.at(h)), Flags: flags | linux.SA_RESTORER, Restorer: uint64(s.at(r))}
		act.Marshal(b[:])
		copy(g.bytes(dataAt+0x1000, linux.SigactionSize), b[:])
	})
	return s.sys(sysRtSigaction, sig, dataAt+0x1000, 0, 8)
}

// handlerBody appends a handler that counts at dataAt+0x800, and the restorer.
func (s *script) handlerBody() *script {
	s.label("handler").do(func(g *guest) {
		g.put64(dataAt+0x800, g.u64(dataAt+0x800)+1)
		g.put64(dataAt+0x808, g.ctx.GPR[guestabi.RDI])
		g.put64(dataAt+0x810, g.ctx.GPR[guestabi.RSI]) // siginfo
		g.put64(dataAt+0x818, g.ctx.GPR[guestabi.RDX]) // ucontext
	})
	s.ret()
	return s.label("restorer").sys(sysSigreturn)
}

func TestHandlerRunsAndReturns(t *testing.T) {
	s := newScript().handler(linux.SIGUSR1, "handler", "restorer", linux.SA_SIGINFO)
	s.do(func(g *guest) {
		g.ctx.GPR[guestabi.R12] = 0x1234
		g.ctx.XMM[3][5] = 0x77
		g.m.x87.area[40] = 9
	})
	s.sysf(func(g *guest) (uint64, [6]uint64) { return sysKill, [6]uint64{1, linux.SIGUSR1} })
	s.exit(func(g *guest) uint64 {
		info := g.u64(dataAt + 0x810)
		switch {
		case g.rax() != 0:
			return 1
		case g.u64(dataAt+0x800) != 1:
			return 2
		case g.u64(dataAt+0x808) != linux.SIGUSR1:
			return 3
		case g.ctx.GPR[guestabi.R12] != 0x1234 || g.ctx.XMM[3][5] != 0x77 || g.m.x87.area[40] != 9:
			return 4
		case g.u32(info) != linux.SIGUSR1 || g.u32(info+16) != 1: // si_signo, si_pid
			return 5
		case g.u64(dataAt+0x818)%8 != 0:
			return 6
		}
		return 0
	})
	s.handlerBody()
	wantStatus(t, runScript(t, s), 0)
}

func TestDefaultActionKills(t *testing.T) {
	s := newScript().sysf(func(*guest) (uint64, [6]uint64) { return sysKill, [6]uint64{1, linux.SIGTERM} }).sys(sysExitGroup, 0)
	wantStatus(t, runScript(t, s), linux.SIGTERM)
}

// sleepAndSignal makes a parent that sleeps (or waits) while its child signals
// it.
func sleepAndSignal(flags uint64, body func(s *script)) *script {
	s := newScript().handler(linux.SIGUSR1, "handler", "restorer", flags)
	s.sys(sysFork).jumpIf("child", func(g *guest) bool { return g.rax() == 0 })
	body(s)
	s.label("child").do(func(g *guest) { g.put64(dataAt, 0); g.put64(dataAt+8, 50_000_000) })
	s.sys(sysNanosleep, dataAt, 0)
	s.sys(sysKill, 1, linux.SIGUSR1)
	s.sys(sysNanosleep, dataAt, 0)
	s.sys(sysExitGroup, 9)
	return s.handlerBody()
}

func TestSARestart(t *testing.T) {
	s := sleepAndSignal(linux.SA_RESTART, func(s *script) {
		s.sys(sysWait4, ^uint64(0), dataAt, 0, 0)
		s.exit(func(g *guest) uint64 {
			if g.u64(dataAt+0x800) != 1 || g.u32(dataAt) != uint32(exited(9)) {
				return 1
			}
			return 0
		})
	})
	wantStatus(t, runScript(t, s), 0)
}

func TestWithoutSARestartIsEINTR(t *testing.T) {
	s := sleepAndSignal(0, func(s *script) {
		s.sys(sysWait4, ^uint64(0), dataAt, 0, 0)
		s.exit(func(g *guest) uint64 { return -g.rax() })
	})
	wantStatus(t, runScript(t, s), exited(int(linux.EINTR)))
}

func TestNanosleepReportsWhatIsLeft(t *testing.T) {
	s := sleepAndSignal(linux.SA_RESTART, func(s *script) {
		s.do(func(g *guest) { g.put64(dataAt, 5); g.put64(dataAt+8, 0) })
		s.sys(sysNanosleep, dataAt, dataAt+16)
		s.exit(func(g *guest) uint64 {
			if -g.rax() != uint64(linux.EINTR) || g.u64(dataAt+16) != 4 {
				return 1
			}
			return 0
		})
	})
	start := time.Now()
	wantStatus(t, runScript(t, s), 0)
	if d := time.Since(start); d > 4*time.Second {
		t.Errorf("took %v: the sleep was not interrupted", d)
	}
}

func TestSigsuspendRestoresMask(t *testing.T) {
	s := sleepAndSignal(0, func(s *script) {
		s.do(func(g *guest) { g.put64(dataAt, uint64(linux.SignalMask(linux.SIGUSR1))); g.put64(dataAt+8, 0) })
		s.sys(sysSigprocmask, linux.SIG_SETMASK, dataAt, 0, 8)
		s.sys(sysSigsuspend, dataAt+8, 8)
		s.do(func(g *guest) { g.put64(dataAt+24, g.rax()) })
		s.sys(sysSigprocmask, linux.SIG_SETMASK, 0, dataAt+16, 8)
		s.exit(func(g *guest) uint64 {
			switch {
			case -g.u64(dataAt+24) != uint64(linux.EINTR):
				return 1
			case g.u64(dataAt+0x800) != 1:
				return 2
			case g.u64(dataAt+16) != uint64(linux.SignalMask(linux.SIGUSR1)):
				return 3
			}
			return 0
		})
	})
	wantStatus(t, runScript(t, s), 0)
}

func TestSigtimedwait(t *testing.T) {
	s := sleepAndSignal(0, func(s *script) {
		s.do(func(g *guest) { g.put64(dataAt, uint64(linux.SignalMask(linux.SIGUSR1))) })
		s.sys(sysSigprocmask, linux.SIG_SETMASK, dataAt, 0, 8)
		s.sys(sysSigtimedwait, dataAt, dataAt+64, 0, 8)
		s.exit(func(g *guest) uint64 { return g.rax() + g.u64(dataAt+0x800)*100 })
	})
	wantStatus(t, runScript(t, s), exited(linux.SIGUSR1))
}

func TestStopAndContinue(t *testing.T) {
	s := newScript().sys(sysFork).jumpIf("child", func(g *guest) bool { return g.rax() == 0 })
	s.do(func(g *guest) { g.put64(dataAt+8, g.rax()) })
	child := func(nr uint64, rest ...uint64) {
		s.sysf(func(g *guest) (uint64, [6]uint64) {
			a := [6]uint64{g.u64(dataAt + 8)}
			copy(a[1:], rest)
			return nr, a
		})
	}
	status := func(at uint64) { child(sysWait4, dataAt+at, linux.WUNTRACED|linux.WCONTINUED, 0) }
	child(sysKill, linux.SIGSTOP)
	status(16)
	child(sysKill, linux.SIGCONT)
	status(20)
	child(sysKill, linux.SIGKILL)
	status(24)
	s.exit(func(g *guest) uint64 {
		switch {
		case g.u32(dataAt+16) != linux.SIGSTOP<<8|0x7f:
			return 1
		case g.u32(dataAt+20) != 0xffff:
			return 2
		case g.u32(dataAt+24) != linux.SIGKILL:
			return 3
		}
		return 0
	})
	s.label("child").sys(sysPause).jumpIf("child", func(*guest) bool { return true })
	wantStatus(t, runScript(t, s), 0)
}

func TestLoopIsKilledAtSafepoint(t *testing.T) {
	s := newScript().sys(sysFork).jumpIf("child", func(g *guest) bool { return g.rax() == 0 })
	s.do(func(g *guest) { g.put64(dataAt+8, g.rax()) })
	s.sysf(func(g *guest) (uint64, [6]uint64) { return sysKill, [6]uint64{g.u64(dataAt + 8), linux.SIGINT} })
	s.sys(sysWait4, ^uint64(0), dataAt+16, 0, 0)
	s.exit(func(g *guest) uint64 { return uint64(g.u32(dataAt + 16)) })
	s.label("child").jumpIf("child", func(*guest) bool { return true })
	wantStatus(t, runScript(t, s), exited(linux.SIGINT))
}

func TestIntervalTimer(t *testing.T) {
	s := newScript().handler(linux.SIGALRM, "handler", "restorer", 0)
	s.do(func(g *guest) { g.put64(dataAt+8, 5000); g.put64(dataAt+24, 5000) })
	s.sys(sysSetitimer, linux.ITIMER_REAL, dataAt, 0)
	s.label("again").sys(sysPause)
	s.jumpIf("again", func(g *guest) bool { return g.u64(dataAt+0x800) < 3 })
	s.sys(sysExitGroup, 0)
	s.handlerBody()
	wantStatus(t, runScript(t, s), 0)
}

func TestExecve(t *testing.T) {
	first, second := newScript(), newScript()
	first.handler(linux.SIGUSR1, "end", "end", 0)
	first.do(func(g *guest) {
		g.str(dataAt, "/bin/second")
		g.str(dataAt+64, "zero")
		g.put64(dataAt+128, dataAt+64)
		g.put64(dataAt+136, 0)
	})
	first.sys(sysExecve, dataAt, dataAt+128, 0)
	first.label("end").sys(sysExitGroup, 100)
	second.exit(func(g *guest) uint64 {
		sp := g.ctx.GPR[guestabi.RSP]
		switch {
		case sp%16 != 0:
			return 1
		case g.u64(sp) != 1 || g.cstr(g.u64(sp+8)) != "zero":
			return 2
		case g.u64(sp+16) != 0 || g.u64(sp+24) != 0: // argv and envp end
			return 3
		}
		return 55
	})
	w := newWorld(t, map[string]*script{"first": first, "second": second})
	wantStatus(t, w.run("/bin/first"), exited(55))
	if n, err := audit.Verify(&w.trail); err != nil || n != 4 { // exec, exec, exit, end
		t.Errorf("audit trail of %d lines: %v", n, err)
	}
}

func TestExecveRefusals(t *testing.T) {
	for _, tc := range []struct {
		name, path string
		content    string
		mode       uint32
		want       linux.Errno
	}{
		{"missing", "/bin/none", "", 0, linux.ENOENT},
		{"unknown hash", "/tmp-prog", "\x7fELF unknown", 0o755, linux.EACCES},
		{"text", "/text", "hello", 0o755, linux.ENOEXEC},
		{"not executable", "/bin2", "#!/bin/prog\n", 0o644, linux.EACCES},
		{"interpreter missing", "/script", "#!/none\n", 0o755, linux.ENOENT},
		{"directory", "/bin", "", 0, linux.EACCES},
		{"interpreter loop", "/loop", "#!/loop\n", 0o755, linux.ELOOP},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript().do(func(g *guest) { g.str(dataAt, tc.path); g.put64(dataAt+512, dataAt) })
			s.sys(sysExecve, dataAt, dataAt+512, 0)
			s.exit(func(g *guest) uint64 { return -g.rax() })
			w := newWorld(t, map[string]*script{"prog": s})
			if tc.mode != 0 {
				w.writeFile(w.caller(), tc.path, []byte(tc.content), tc.mode)
			}
			wantStatus(t, w.run("/bin/prog"), exited(int(tc.want)))
		})
	}
}

func TestScriptsRunTheirInterpreter(t *testing.T) {
	s := newScript().exit(func(g *guest) uint64 {
		sp := g.ctx.GPR[guestabi.RSP]
		var args []string
		for i := range g.u64(sp) {
			args = append(args, g.cstr(g.u64(sp+8+8*i)))
		}
		if got := strings.Join(args, "|"); got != "/bin/prog|-x y|/script|a|b" {
			fail("arguments %q", got)
		}
		return 0
	})
	w := newWorld(t, map[string]*script{"prog": s})
	w.writeFile(w.caller(), "/script", []byte("#! /bin/prog -x y \nbody\n"), 0o755)
	wantStatus(t, w.run("/script", "a", "b"), 0)
}

func TestVforkSharesMemory(t *testing.T) {
	s := newScript().sys(sysVfork).jumpIf("child", func(g *guest) bool { return g.rax() == 0 })
	s.exit(func(g *guest) uint64 { return g.u64(dataAt) })
	s.label("child").do(func(g *guest) { g.put64(dataAt, 33) }).sys(sysExitGroup, 0)
	wantStatus(t, runScript(t, s), exited(33))
}

func TestThreadsAndFutex(t *testing.T) {
	const flags = linux.CLONE_VM | linux.CLONE_FS | linux.CLONE_FILES | linux.CLONE_SIGHAND | linux.CLONE_THREAD |
		linux.CLONE_CHILD_CLEARTID | linux.CLONE_PARENT_SETTID | linux.CLONE_SETTLS
	s := newScript()
	s.sys(sysClone, flags, dataAt+0x8000, dataAt+32, dataAt+32, 0xabc000)
	s.jumpIf("thread", func(g *guest) bool { return g.rax() == 0 })
	s.label("join").jumpIf("joined", func(g *guest) bool { return g.u32(dataAt+32) == 0 })
	s.sysf(func(g *guest) (uint64, [6]uint64) {
		return sysFutex, [6]uint64{dataAt + 32, linux.FUTEX_WAIT, uint64(g.u32(dataAt + 32))}
	})
	s.jumpIf("join", func(*guest) bool { return true })
	s.label("joined").exit(func(g *guest) uint64 { return g.u64(dataAt) })
	s.label("thread").do(func(g *guest) {
		if g.ctx.FSBase != 0xabc000 || g.ctx.GPR[guestabi.RSP] != dataAt+0x8000 {
			fail("thread starts with FS base %#x, rsp %#x", g.ctx.FSBase, g.ctx.GPR[guestabi.RSP])
		}
	})
	s.sys(sysGetpid).do(func(g *guest) { g.put64(dataAt+8, g.rax()) })
	s.sys(sysGettid).do(func(g *guest) { g.put64(dataAt, 10*g.rax()+g.u64(dataAt+8)) })
	s.sys(sysExit, 5)
	wantStatus(t, runScript(t, s), exited(21)) // tid 2, pid 1
}

func TestSharedMemoryAcrossFork(t *testing.T) {
	s := newScript().sys(sysMmap, 0, 8192, 3, linux.MAP_SHARED|linux.MAP_ANONYMOUS, ^uint64(0), 0)
	s.do(func(g *guest) { g.put64(dataAt, g.rax()) })
	s.sys(sysFork).jumpIf("child", func(g *guest) bool { return g.rax() == 0 })
	s.sys(sysWait4, ^uint64(0), 0, 0, 0)
	s.exit(func(g *guest) uint64 { return g.u64(g.u64(dataAt) + 4096) })
	s.label("child").do(func(g *guest) { g.put64(g.u64(dataAt)+4096, 77) }).sys(sysExitGroup, 0)
	wantStatus(t, runScript(t, s), exited(77))
}

func TestOrphanGoesToInit(t *testing.T) {
	s := newScript().sys(sysFork).jumpIf("middle", func(g *guest) bool { return g.rax() == 0 })
	s.sys(sysWait4, ^uint64(0), 0, 0, 0) // the middle process
	s.sys(sysWait4, ^uint64(0), dataAt, 0, 0)
	s.exit(func(g *guest) uint64 { return uint64(g.u32(dataAt) >> 8) })
	s.label("middle").sys(sysFork).jumpIf("orphan", func(g *guest) bool { return g.rax() == 0 })
	s.sys(sysExitGroup, 0)
	s.label("orphan").do(func(g *guest) { g.put64(dataAt+8, 30_000_000) })
	s.sys(sysNanosleep, dataAt, 0).sys(sysGetppid)
	s.exit(func(g *guest) uint64 { return 40 + g.rax() })
	wantStatus(t, runScript(t, s), exited(41))
}

func TestInitExitKillsTheRest(t *testing.T) {
	s := newScript().sys(sysFork).jumpIf("child", func(g *guest) bool { return g.rax() == 0 })
	s.sys(sysExitGroup, 3)
	s.label("child").sys(sysPause).jumpIf("child", func(*guest) bool { return true })
	wantStatus(t, runScript(t, s), exited(3))
}

func TestPanicEndsOnlyItsTask(t *testing.T) {
	s := newScript().sys(sysFork).jumpIf("child", func(g *guest) bool { return g.rax() == 0 })
	s.sys(sysWait4, ^uint64(0), dataAt, 0, 0)
	s.exit(func(g *guest) uint64 { return uint64(g.u32(dataAt)) })
	s.label("child").do(func(*guest) { panic("a fault of ours") })
	w := newWorld(t, map[string]*script{"prog": s})
	wantStatus(t, w.run("/bin/prog"), exited(linux.SIGKILL))
	if !strings.Contains(w.trail.String(), `"event":"panic"`) {
		t.Errorf("no panic in the audit trail: %s", w.trail.String())
	}
}

func TestBadPCIsSIGSEGV(t *testing.T) {
	s := newScript().do(func(g *guest) { g.pc = 0x12345678 })
	wantStatus(t, runScript(t, s), linux.SIGSEGV)
}

func TestArchPrctlSetsFS(t *testing.T) {
	s := newScript().sys(sysArchPrctl, linux.ARCH_SET_FS, 0x7000).exit(func(g *guest) uint64 {
		return g.ctx.FSBase>>12 + g.rax()
	})
	wantStatus(t, runScript(t, s), exited(7))
}

func TestHostSignalKillsInit(t *testing.T) {
	s := newScript().label("loop").sys(sysPause).jumpIf("loop", func(*guest) bool { return true })
	w := newWorld(t, map[string]*script{"prog": s})
	if err := w.start("/bin/prog"); err != nil {
		t.Fatal(err)
	}
	if err := w.c.Signal(linux.SIGINT); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, w.c.Wait(), linux.SIGINT)
}

func TestStartErrors(t *testing.T) {
	w := newWorld(t, map[string]*script{"prog": newScript().sys(sysExitGroup, 0)})
	if err := w.start("/nothing"); linux.ErrnoOf(err) != linux.ENOENT {
		t.Errorf("starting what is not there: %v", err)
	}
}

func TestTrace(t *testing.T) {
	s := newScript().sys(sysGetpid).sys(sysKill, 99, linux.SIGTERM).sys(sysMunmap, 1, 2).sys(500, 1).sys(sysExitGroup, 0)
	w := newWorld(t, map[string]*script{"prog": s})
	wantStatus(t, w.run("/bin/prog"), 0)
	want := `[1] getpid() = 1
[1] kill(99, SIGTERM) = -1 ESRCH
[1] munmap(0x1, 2) = -1 EINVAL
[1] syscall_500(0x1, 0x0, 0x0, 0x0, 0x0, 0x0) = -1 ENOSYS
[1] exit_group(0) = ?`
	if got := strings.Join(w.lines, "\n"); got != want {
		t.Errorf("trace:\n%s\nwant:\n%s", got, want)
	}
}

func TestContainersAreSeparate(t *testing.T) {
	// Each forks and kills every process that it can see but init.
	s := newScript().sys(sysFork).jumpIf("child", func(g *guest) bool { return g.rax() == 0 })
	s.do(func(g *guest) { g.put64(dataAt, g.rax()) })
	s.sys(sysKill, ^uint64(0), linux.SIGKILL)
	s.sys(sysWait4, ^uint64(0), dataAt+8, 0, 0)
	s.exit(func(g *guest) uint64 { return g.u64(dataAt)<<4 | uint64(g.u32(dataAt+8)) })
	s.label("child").sys(sysPause).jumpIf("child", func(*guest) bool { return true })
	const containers = 8
	statuses := make(chan int, containers)
	for range containers {
		w := newWorld(t, map[string]*script{"prog": s})
		if err := w.start("/bin/prog"); err != nil {
			t.Fatal(err)
		}
		go func() { statuses <- w.c.Wait() }()
	}
	for range containers {
		if got := <-statuses; got != exited(2<<4|linux.SIGKILL) {
			t.Errorf("wait status %#x", got)
		}
	}
}

func TestKillEndsAContainer(t *testing.T) {
	s := newScript().sys(sysFork).sys(sysFork)
	s.label("loop").jumpIf("loop", func(*guest) bool { return true })
	w := newWorld(t, map[string]*script{"prog": s})
	if err := w.start("/bin/prog"); err != nil {
		t.Fatal(err)
	}
	w.c.Kill()
	wantStatus(t, w.c.Wait(), linux.SIGKILL)
	if left := w.c.ThreadGroups(); len(left) != 0 {
		t.Errorf("%d processes are left", len(left))
	}
}

func TestTaskLimit(t *testing.T) {
	// A fork bomb ends with EAGAIN.
	s := newScript().label("more").sys(sysFork).jumpIf("child", func(g *guest) bool { return g.rax() == 0 })
	s.jumpIf("more", func(g *guest) bool { return int64(g.rax()) > 0 })
	s.exit(func(g *guest) uint64 { return -g.rax() })
	s.label("child").sys(sysPause).jumpIf("child", func(*guest) bool { return true })
	w := newWorld(t, map[string]*script{"prog": s})
	wantStatus(t, w.run("/bin/prog"), exited(int(linux.EAGAIN)))
	if n := w.c.Forks(); n != maxTasks {
		t.Errorf("%d tasks were made, %d are allowed", n, maxTasks)
	}
}
