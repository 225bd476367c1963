// Package syscalls holds THE table of syscalls, and one handler for each row.
// To add a syscall: one row here, one handler in sys_<area>.go, one test beside
// it; docs/adding-a-syscall.md shows how.
package syscalls

import (
	"sync"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/strace"
)

// Handler executes a syscall. Its error is a bare linux.Errno.
type Handler func(t *kernel.Task, a kernel.Args) (uint64, error)

// Level says how much of a syscall is there.
type Level string

// The levels.
const (
	Full    Level = "full"
	Partial Level = "partial"
	Stub    Level = "stub"
)

// Row is all that is known of one syscall.
type Row struct {
	Number  int
	Name    string
	Handler Handler
	Args    []strace.Kind
	Level   Level
	Note    string // what is missing; never empty unless Level is Full

	noReturn bool // traced before it runs
}

func full(name string, h Handler, args ...strace.Kind) Row {
	return Row{Name: name, Handler: h, Args: args, Level: Full}
}

func partial(note, name string, h Handler, args ...strace.Kind) Row {
	return Row{Name: name, Handler: h, Args: args, Level: Partial, Note: note}
}

func stub(note, name string, h Handler, args ...strace.Kind) Row {
	return Row{Name: name, Handler: h, Args: args, Level: Stub, Note: note}
}

// MaxNumber bounds the numbers of syscalls in the table.
const MaxNumber = 512

// Table returns the table, indexed by number; a row without a handler is a
// syscall that is not implemented. The caller must not change it.
var Table = sync.OnceValue(func() *[MaxNumber]Row {
	var t [MaxNumber]Row
	for _, part := range []map[int]Row{rows(), fileRows()} {
		for nr, r := range part {
			if t[nr].Handler != nil {
				panic("BUG: two rows for syscall " + r.Name)
			}
			r.Number = nr
			t[nr] = r
		}
	}
	return &t
})

// noReturn marks a row of a call that does not come back.
func noReturn(r Row) Row {
	r.noReturn = true
	return r
}

// rows is the table's content but for files, which fileRows has; sorted by
// number.
func rows() map[int]Row {
	return map[int]Row{
		9:   full("mmap", mmap, strace.Addr, strace.Size, prot, mapFlags, strace.FD, strace.Hex),
		10:  partial("Protection is kept and reported; guest code itself is not stopped.", "mprotect", mprotect, strace.Addr, strace.Size, prot),
		11:  full("munmap", munmap, strace.Addr, strace.Size),
		12:  full("brk", brk, strace.Addr),
		13:  full("rt_sigaction", rtSigaction, strace.Signal, strace.Addr, strace.Addr, strace.Size),
		14:  full("rt_sigprocmask", rtSigprocmask, sigHow, strace.SigSet, strace.OutSigSet, strace.Size),
		15:  full("rt_sigreturn", rtSigreturn),
		24:  full("sched_yield", schedYield),
		25:  partial("MREMAP_DONTUNMAP is not there.", "mremap", mremap, strace.Addr, strace.Size, strace.Size, strace.Hex, strace.Addr),
		26:  full("msync", msync, strace.Addr, strace.Size, strace.Hex),
		27:  full("mincore", mincore, strace.Addr, strace.Size, strace.Addr),
		28:  full("madvise", madvise, strace.Addr, strace.Size, strace.Int),
		29:  partial("No huge pages.", "shmget", shmget, strace.Int, strace.Size, strace.Octal),
		30:  partial("No SHM_EXEC.", "shmat", shmat, strace.Int, strace.Addr, strace.Octal),
		31:  full("shmctl", shmctl, strace.Int, strace.Int, strace.Addr),
		34:  full("pause", pause),
		35:  full("nanosleep", nanosleep, strace.Timespec, strace.Addr),
		36:  full("getitimer", getitimer, strace.Int, strace.Addr),
		37:  full("alarm", alarm, strace.Int),
		38:  full("setitimer", setitimer, strace.Int, strace.Addr, strace.Addr),
		39:  full("getpid", getpid),
		56:  partial("No namespaces, no pidfd.", "clone", clone, cloneFlags, strace.Addr, strace.Addr, strace.Addr, strace.Hex),
		57:  full("fork", fork),
		58:  full("vfork", vfork),
		59:  full("execve", execve, strace.Path, strace.Argv, strace.Envp),
		60:  noReturn(full("exit", exit, strace.Int)),
		61:  full("wait4", wait4, strace.Int, strace.WaitStatus, waitOptions, strace.Addr),
		62:  full("kill", kill, strace.Int, strace.Signal),
		63:  full("uname", uname, strace.Addr),
		64:  full("semget", semget, strace.Int, strace.Int, strace.Octal),
		65:  full("semop", semop, strace.Int, strace.Addr, strace.Size),
		66:  full("semctl", semctl, strace.Int, strace.Int, strace.Int, strace.Hex),
		67:  full("shmdt", shmdt, strace.Addr),
		68:  full("msgget", msgget, strace.Int, strace.Octal),
		69:  full("msgsnd", msgsnd, strace.Int, strace.Addr, strace.Size, strace.Octal),
		70:  full("msgrcv", msgrcv, strace.Int, strace.Addr, strace.Size, strace.Int, strace.Octal),
		71:  full("msgctl", msgctl, strace.Int, strace.Int, strace.Addr),
		96:  full("gettimeofday", gettimeofday, strace.OutTimeval, strace.Addr),
		97:  full("getrlimit", getrlimit, rlimit, strace.Addr),
		98:  partial("CPU time is approximated by wall time outside of blocking calls; no page faults or I/O.", "getrusage", getrusage, strace.Int, strace.Addr),
		99:  full("sysinfo", sysinfo, strace.Addr),
		100: partial("CPU time is approximated; system time is 0.", "times", times, strace.Addr),
		101: stub("EPERM: no process may be traced.", "ptrace", notPermitted, strace.Int, strace.Int, strace.Addr, strace.Addr),
		102: full("getuid", getuid),
		103: stub("EPERM: the host's log is not the guest's.", "syslog", notPermitted, strace.Int, strace.Addr, strace.Int),
		104: full("getgid", getgid),
		105: full("setuid", setuid, strace.Int),
		106: full("setgid", setgid, strace.Int),
		107: full("geteuid", geteuid),
		108: full("getegid", getegid),
		109: full("setpgid", setpgid, strace.Int, strace.Int),
		110: full("getppid", getppid),
		111: full("getpgrp", getpgrp),
		112: full("setsid", setsid),
		113: full("setreuid", setreuid, strace.Int, strace.Int),
		114: full("setregid", setregid, strace.Int, strace.Int),
		115: full("getgroups", getgroups, strace.Int, strace.Addr),
		116: full("setgroups", setgroups, strace.Int, strace.Addr),
		117: full("setresuid", setresuid, strace.Int, strace.Int, strace.Int),
		118: full("getresuid", getresuid, strace.OutInt, strace.OutInt, strace.OutInt),
		119: full("setresgid", setresgid, strace.Int, strace.Int, strace.Int),
		120: full("getresgid", getresgid, strace.OutInt, strace.OutInt, strace.OutInt),
		121: full("getpgid", getpgid, strace.Int),
		122: full("setfsuid", setfsuid, strace.Int),
		123: full("setfsgid", setfsgid, strace.Int),
		124: full("getsid", getsid, strace.Int),
		125: full("capget", capget, strace.Addr, strace.Addr),
		126: full("capset", capset, strace.Addr, strace.Addr),
		127: full("rt_sigpending", rtSigpending, strace.OutSigSet, strace.Size),
		128: full("rt_sigtimedwait", rtSigtimedwait, strace.SigSet, strace.Addr, strace.Timespec, strace.Size),
		129: full("rt_sigqueueinfo", rtSigqueueinfo, strace.Int, strace.Signal, strace.Addr),
		130: full("rt_sigsuspend", rtSigsuspend, strace.SigSet, strace.Size),
		131: full("sigaltstack", sigaltstack, strace.Addr, strace.Addr),
		135: partial("It is kept; only STICKY_TIMEOUTS has an effect.", "personality", personality, strace.Hex),
		136: full("ustat", ustat, strace.Hex, strace.Addr),
		139: full("sysfs", sysfsCall, strace.Int, strace.Hex, strace.Hex),
		140: full("getpriority", getpriority, strace.Int, strace.Int),
		141: partial("The value is kept and has no effect.", "setpriority", setpriority, strace.Int, strace.Int, strace.Int),
		142: partial("Priority 0 only.", "sched_setparam", schedSetparam, strace.Int, strace.Addr),
		143: full("sched_getparam", schedGetparam, strace.Int, strace.Addr),
		144: partial("SCHED_OTHER, SCHED_BATCH and SCHED_IDLE, which have no effect.", "sched_setscheduler", schedSetscheduler, strace.Int, strace.Int, strace.Addr),
		145: partial("Always SCHED_OTHER.", "sched_getscheduler", schedGetscheduler, strace.Int),
		146: full("sched_get_priority_max", schedPriority(99), strace.Int),
		147: full("sched_get_priority_min", schedPriority(1), strace.Int),
		148: full("sched_rr_get_interval", schedRRGetInterval, strace.Int, strace.Addr),
		149: partial("It is counted, limited and reported; the host's pages are not locked.", "mlock", mlock, strace.Addr, strace.Size),
		150: partial("It is counted, limited and reported; the host's pages are not locked.", "munlock", munlock, strace.Addr, strace.Size),
		151: partial("It is counted, limited and reported; the host's pages are not locked.", "mlockall", mlockall, strace.Hex),
		152: partial("It is counted, limited and reported; the host's pages are not locked.", "munlockall", munlockall),
		153: full("vhangup", vhangup),
		157: partial("No seccomp filters, no checkpoint and restore, no tagged addresses.", "prctl", prctl, strace.Int, strace.Hex, strace.Hex, strace.Hex, strace.Hex),
		158: full("arch_prctl", archPrctl, archCode, strace.Hex),
		159: partial("The clock can be read only.", "adjtimex", adjtimex, strace.Addr),
		160: full("setrlimit", setrlimit, rlimit, strace.Addr),
		164: stub("EPERM: the clock is the host's.", "settimeofday", settimeofday, strace.Addr, strace.Addr),
		170: full("sethostname", sethostname, strace.Str, strace.Size),
		171: full("setdomainname", setdomainname, strace.Str, strace.Size),
		186: full("gettid", gettid),
		200: full("tkill", tkill, strace.Int, strace.Signal),
		201: full("time", timeCall, strace.Addr),
		202: partial("Priorities are not inherited; no FUTEX_WAIT_REQUEUE_PI; a lock whose owner ended may not be passed on.", "futex", futex, strace.Addr, futexOp, strace.Int, strace.Addr, strace.Addr, strace.Hex),
		203: partial("The mask is kept and has no effect.", "sched_setaffinity", schedSetaffinity, strace.Int, strace.Size, strace.Addr),
		204: full("sched_getaffinity", schedGetaffinity, strace.Int, strace.Size, strace.Addr),
		206: full("io_setup", ioSetup, strace.Int, strace.Addr),
		207: full("io_destroy", ioDestroy, strace.Hex),
		208: full("io_getevents", ioGetevents, strace.Hex, strace.Long, strace.Long, strace.Addr, strace.Timespec),
		209: partial("A request is done before the call returns; no IOCB_CMD_POLL.", "io_submit", ioSubmit, strace.Hex, strace.Long, strace.Addr),
		210: full("io_cancel", ioCancel, strace.Hex, strace.Addr, strace.Addr),
		216: stub("EINVAL: use mmap.", "remap_file_pages", remapFilePages, strace.Addr, strace.Size, strace.Hex, strace.Size, strace.Hex),
		218: full("set_tid_address", setTIDAddress, strace.Addr),
		219: full("restart_syscall", restartSyscall),
		220: full("semtimedop", semtimedop, strace.Int, strace.Addr, strace.Size, strace.Timespec),
		222: full("timer_create", timerCreate, clockID, strace.Addr, strace.OutInt),
		223: partial("Timers on CLOCK_REALTIME do not follow steps of the clock.", "timer_settime", timerSettime, strace.Int, strace.Hex, strace.Addr, strace.Addr),
		224: full("timer_gettime", timerGettime, strace.Int, strace.Addr),
		225: full("timer_getoverrun", timerGetoverrun, strace.Int),
		226: full("timer_delete", timerDelete, strace.Int),
		227: stub("EPERM: the clock is the host's.", "clock_settime", clockSettime, clockID, strace.Timespec),
		228: full("clock_gettime", clockGettime, clockID, strace.OutTimespec),
		229: full("clock_getres", clockGetres, clockID, strace.OutTimespec),
		230: full("clock_nanosleep", clockNanosleep, clockID, strace.Hex, strace.Timespec, strace.Addr),
		231: noReturn(full("exit_group", exitGroup, strace.Int)),
		234: full("tgkill", tgkill, strace.Int, strace.Int, strace.Signal),
		240: full("mq_open", mqOpen, strace.Str, openFlags, strace.Octal, strace.Addr),
		241: full("mq_unlink", mqUnlink, strace.Str),
		242: full("mq_timedsend", mqTimedsend, strace.FD, strace.Buf, strace.Size, strace.Int, strace.Timespec),
		243: full("mq_timedreceive", mqTimedreceive, strace.FD, strace.OutBuf, strace.Size, strace.Addr, strace.Timespec),
		244: partial("A process that ends without closing its descriptors stays registered.", "mq_notify", mqNotify, strace.FD, strace.Addr),
		245: full("mq_getsetattr", mqGetsetattr, strace.FD, strace.Addr, strace.Addr),
		247: full("waitid", waitid, strace.Int, strace.Int, strace.Addr, strace.Hex, strace.Addr),
		251: partial("The value is kept and has no effect.", "ioprio_set", ioprioSet, strace.Int, strace.Int, strace.Hex),
		252: full("ioprio_get", ioprioGet, strace.Int, strace.Int),
		272: stub("EPERM: a container makes no namespaces.", "unshare", unshare, strace.Hex),
		273: full("set_robust_list", setRobustList, strace.Addr, strace.Size),
		274: partial("The caller's own.", "get_robust_list", getRobustList, strace.Int, strace.Addr, strace.Addr),
		297: full("rt_tgsigqueueinfo", rtTgsigqueueinfo, strace.Int, strace.Int, strace.Signal, strace.Addr),
		302: full("prlimit64", prlimit64, strace.Int, rlimit, strace.Addr, strace.Addr),
		305: partial("The clock can be read only.", "clock_adjtime", clockAdjtime, clockID, strace.Addr),
		308: stub("EPERM: a container makes no namespaces.", "setns", setns, strace.FD, strace.Hex),
		309: partial("The first CPU that the thread may run on.", "getcpu", getcpu, strace.Addr, strace.Addr, strace.Addr),
		310: full("process_vm_readv", processVMReadv, strace.Int, strace.Addr, strace.Size, strace.Addr, strace.Size, strace.Hex),
		311: full("process_vm_writev", processVMWritev, strace.Int, strace.Addr, strace.Size, strace.Addr, strace.Size, strace.Hex),
		312: partial("What differs has no order.", "kcmp", kcmp, strace.Int, strace.Int, strace.Int, strace.Hex, strace.Hex),
		314: partial("As sched_setscheduler.", "sched_setattr", schedSetattr, strace.Int, strace.Addr, strace.Hex),
		315: partial("Always SCHED_OTHER.", "sched_getattr", schedGetattr, strace.Int, strace.Addr, strace.Size, strace.Hex),
		318: full("getrandom", getrandom, strace.OutBuf, strace.Size, strace.Hex),
		322: full("execveat", execveat, strace.DirFD, strace.Path, strace.Argv, strace.Envp, strace.Hex),
		324: partial("No restartable sequences.", "membarrier", membarrier, strace.Int, strace.Hex),
		325: partial("It is counted, limited and reported; the host's pages are not locked.", "mlock2", mlock2, strace.Addr, strace.Size, strace.Hex),
		329: partial("No keys: the key is -1.", "pkey_mprotect", pkeyMprotect, strace.Addr, strace.Size, prot, strace.Int),
		333: full("io_pgetevents", ioPgetevents, strace.Hex, strace.Long, strace.Long, strace.Addr, strace.Timespec, strace.Addr),
		334: stub("ENOSYS: C libraries do without.", "rseq", notImplemented, strace.Addr, strace.Hex, strace.Hex, strace.Hex),
		424: full("pidfd_send_signal", pidfdSendSignal, strace.FD, strace.Signal, strace.Addr, strace.Hex),
		434: partial("No threads.", "pidfd_open", pidfdOpen, strace.Int, strace.Hex),
		435: partial("No namespaces, no pidfd, no set_tid, no cgroup.", "clone3", clone3, strace.Addr, strace.Size),
		438: full("pidfd_getfd", pidfdGetfd, strace.FD, strace.FD, strace.Hex),
		451: full("cachestat", cachestat, strace.FD, strace.Addr, strace.Addr, strace.Hex),
		458: partial("All mounts are taken for children of the root.", "listmount", listmount, strace.Addr, strace.Addr, strace.Size, strace.Hex),
		461: full("lsm_list_modules", lsmListModules, strace.Addr, strace.Addr, strace.Hex),
		462: full("mseal", mseal, strace.Addr, strace.Size, strace.Hex),
		468: stub("EOPNOTSUPP: no file system has these attributes.", "file_getattr", fileAttr, strace.DirFD, strace.Path, strace.Addr, strace.Size, atFlags),
		469: stub("EOPNOTSUPP: no file system has these attributes.", "file_setattr", fileAttr, strace.DirFD, strace.Path, strace.Addr, strace.Size, atFlags),
	}
}
