package syscalls

import (
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/strace"
)

// Kinds of argument that belong to one or two syscalls each.

func prot(c *strace.Call, i int) string {
	return strace.FlagSet("PROT_NONE",
		strace.Flag{Value: linux.PROT_READ, Name: "PROT_READ"}, strace.Flag{Value: linux.PROT_WRITE, Name: "PROT_WRITE"},
		strace.Flag{Value: linux.PROT_EXEC, Name: "PROT_EXEC"})(c, i)
}

func mapFlags(c *strace.Call, i int) string {
	return strace.FlagSet("0",
		strace.Flag{Value: linux.MAP_SHARED, Name: "MAP_SHARED"}, strace.Flag{Value: linux.MAP_PRIVATE, Name: "MAP_PRIVATE"},
		strace.Flag{Value: linux.MAP_FIXED, Name: "MAP_FIXED"}, strace.Flag{Value: linux.MAP_ANONYMOUS, Name: "MAP_ANONYMOUS"},
		strace.Flag{Value: linux.MAP_FIXED_NOREPLACE, Name: "MAP_FIXED_NOREPLACE"},
		strace.Flag{Value: linux.MAP_DENYWRITE, Name: "MAP_DENYWRITE"}, strace.Flag{Value: linux.MAP_NORESERVE, Name: "MAP_NORESERVE"},
		strace.Flag{Value: linux.MAP_STACK, Name: "MAP_STACK"}, strace.Flag{Value: linux.MAP_GROWSDOWN, Name: "MAP_GROWSDOWN"})(c, i)
}

func sigHow(c *strace.Call, i int) string {
	return strace.Enum(strace.Flag{Value: linux.SIG_BLOCK, Name: "SIG_BLOCK"},
		strace.Flag{Value: linux.SIG_UNBLOCK, Name: "SIG_UNBLOCK"}, strace.Flag{Value: linux.SIG_SETMASK, Name: "SIG_SETMASK"})(c, i)
}

func cloneFlags(c *strace.Call, i int) string {
	low := *c
	low.Args[i] &^= linux.CSIGNAL
	s := strace.FlagSet("",
		strace.Flag{Value: linux.CLONE_VM, Name: "CLONE_VM"}, strace.Flag{Value: linux.CLONE_FS, Name: "CLONE_FS"},
		strace.Flag{Value: linux.CLONE_FILES, Name: "CLONE_FILES"}, strace.Flag{Value: linux.CLONE_SIGHAND, Name: "CLONE_SIGHAND"},
		strace.Flag{Value: linux.CLONE_VFORK, Name: "CLONE_VFORK"}, strace.Flag{Value: linux.CLONE_PARENT, Name: "CLONE_PARENT"},
		strace.Flag{Value: linux.CLONE_THREAD, Name: "CLONE_THREAD"}, strace.Flag{Value: linux.CLONE_SYSVSEM, Name: "CLONE_SYSVSEM"},
		strace.Flag{Value: linux.CLONE_SETTLS, Name: "CLONE_SETTLS"},
		strace.Flag{Value: linux.CLONE_PARENT_SETTID, Name: "CLONE_PARENT_SETTID"},
		strace.Flag{Value: linux.CLONE_CHILD_CLEARTID, Name: "CLONE_CHILD_CLEARTID"},
		strace.Flag{Value: linux.CLONE_CHILD_SETTID, Name: "CLONE_CHILD_SETTID"})(&low, i)
	if sig := int(c.Args[i] & linux.CSIGNAL); sig != 0 {
		if s != "" {
			s += "|"
		}
		s += strace.SignalName(sig)
	}
	return s
}

func waitOptions(c *strace.Call, i int) string {
	return strace.FlagSet("0",
		strace.Flag{Value: linux.WNOHANG, Name: "WNOHANG"}, strace.Flag{Value: linux.WUNTRACED, Name: "WUNTRACED"},
		strace.Flag{Value: linux.WCONTINUED, Name: "WCONTINUED"})(c, i)
}

func rlimit(c *strace.Call, i int) string {
	names := [...]string{"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS",
		"SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"}
	if v := c.Args[i]; v < uint64(len(names)) {
		return "RLIMIT_" + names[v]
	}
	return strace.Hex(c, i)
}

func clockID(c *strace.Call, i int) string {
	names := [...]string{"REALTIME", "MONOTONIC", "PROCESS_CPUTIME_ID", "THREAD_CPUTIME_ID", "MONOTONIC_RAW",
		"REALTIME_COARSE", "MONOTONIC_COARSE", "BOOTTIME"}
	if v := c.Args[i]; v < uint64(len(names)) {
		return "CLOCK_" + names[v]
	}
	return strace.Int(c, i)
}

func archCode(c *strace.Call, i int) string {
	return strace.Enum(strace.Flag{Value: linux.ARCH_SET_FS, Name: "ARCH_SET_FS"}, strace.Flag{Value: linux.ARCH_GET_FS, Name: "ARCH_GET_FS"},
		strace.Flag{Value: linux.ARCH_SET_GS, Name: "ARCH_SET_GS"}, strace.Flag{Value: linux.ARCH_GET_GS, Name: "ARCH_GET_GS"})(c, i)
}

func futexOp(c *strace.Call, i int) string {
	names := [...]string{"WAIT", "WAKE", "FD", "REQUEUE", "CMP_REQUEUE", "WAKE_OP", "LOCK_PI", "UNLOCK_PI", "TRYLOCK_PI",
		"WAIT_BITSET", "WAKE_BITSET"}
	op := uint32(c.Args[i])
	cmd := op &^ (linux.FUTEX_PRIVATE_FLAG | linux.FUTEX_CLOCK_REALTIME)
	if cmd >= uint32(len(names)) {
		return strace.Hex(c, i)
	}
	s := "FUTEX_" + names[cmd]
	if op&linux.FUTEX_PRIVATE_FLAG != 0 {
		s += "_PRIVATE"
	}
	if op&linux.FUTEX_CLOCK_REALTIME != 0 {
		s += "|FUTEX_CLOCK_REALTIME"
	}
	return s
}
