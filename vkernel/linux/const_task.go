package linux

// Flags of clone(2).
const (
	CSIGNAL              = 0xff
	CLONE_VM             = 0x100
	CLONE_FS             = 0x200
	CLONE_FILES          = 0x400
	CLONE_SIGHAND        = 0x800
	CLONE_PIDFD          = 0x1000
	CLONE_PTRACE         = 0x2000
	CLONE_VFORK          = 0x4000
	CLONE_PARENT         = 0x8000
	CLONE_THREAD         = 0x10000
	CLONE_NEWNS          = 0x20000
	CLONE_SYSVSEM        = 0x40000
	CLONE_SETTLS         = 0x80000
	CLONE_PARENT_SETTID  = 0x100000
	CLONE_CHILD_CLEARTID = 0x200000
	CLONE_DETACHED       = 0x400000
	CLONE_UNTRACED       = 0x800000
	CLONE_CHILD_SETTID   = 0x1000000
	CLONE_NEWCGROUP      = 0x2000000
	CLONE_NEWUTS         = 0x4000000
	CLONE_NEWIPC         = 0x8000000
	CLONE_NEWUSER        = 0x10000000
	CLONE_NEWPID         = 0x20000000
	CLONE_NEWNET         = 0x40000000
	CLONE_IO             = 0x80000000
)

// Options of wait4(2) and waitid(2).
const (
	WNOHANG     = 1
	WUNTRACED   = 2
	WSTOPPED    = 2
	WEXITED     = 4
	WCONTINUED  = 8
	WNOWAIT     = 0x1000000
	__WNOTHREAD = 0x20000000
	__WALL      = 0x40000000
	__WCLONE    = 0x80000000
	P_ALL       = 0
	P_PID       = 1
	P_PGID      = 2
	P_PIDFD     = 3

	READ_IMPLIES_EXEC = 0x0400000 // of personality(2): refused

	STICKY_TIMEOUTS = 0x4000000 // of personality(2): select writes no time back
)

// Resources of getrlimit(2).
const (
	RLIMIT_CPU        = 0
	RLIMIT_FSIZE      = 1
	RLIMIT_DATA       = 2
	RLIMIT_STACK      = 3
	RLIMIT_CORE       = 4
	RLIMIT_RSS        = 5
	RLIMIT_NPROC      = 6
	RLIMIT_NOFILE     = 7
	RLIMIT_MEMLOCK    = 8
	RLIMIT_AS         = 9
	RLIMIT_LOCKS      = 10
	RLIMIT_SIGPENDING = 11
	RLIMIT_MSGQUEUE   = 12
	RLIMIT_NICE       = 13
	RLIMIT_RTPRIO     = 14
	RLIMIT_RTTIME     = 15
	RLIM_NLIMITS      = 16
	RLIM_INFINITY     = 0xffffffffffffffff
)

// Whose usage getrusage(2) reports.
const (
	RUSAGE_SELF     = 0
	RUSAGE_CHILDREN = -1
	RUSAGE_THREAD   = 1
)

// Futex operations (futex(2)).
const (
	FUTEX_WAIT             = 0
	FUTEX_WAKE             = 1
	FUTEX_FD               = 2
	FUTEX_REQUEUE          = 3
	FUTEX_CMP_REQUEUE      = 4
	FUTEX_WAKE_OP          = 5
	FUTEX_LOCK_PI          = 6
	FUTEX_UNLOCK_PI        = 7
	FUTEX_TRYLOCK_PI       = 8
	FUTEX_WAIT_BITSET      = 9
	FUTEX_WAKE_BITSET      = 10
	FUTEX_WAIT_REQUEUE_PI  = 11
	FUTEX_CMP_REQUEUE_PI   = 12
	FUTEX_LOCK_PI2         = 13
	FUTEX_PRIVATE_FLAG     = 0x80
	FUTEX_CLOCK_REALTIME   = 0x100
	FUTEX_CMD_MASK         = -385
	FUTEX_WAITERS          = 0x80000000
	FUTEX_OWNER_DIED       = 0x40000000
	FUTEX_TID_MASK         = 0x3fffffff
	FUTEX_BITSET_MATCH_ANY = 0xffffffff
	FUTEX_OP_SET           = 0
	FUTEX_OP_ADD           = 1
	FUTEX_OP_OR            = 2
	FUTEX_OP_ANDN          = 3
	FUTEX_OP_XOR           = 4
	FUTEX_OP_OPARG_SHIFT   = 8
	FUTEX_OP_CMP_EQ        = 0
	FUTEX_OP_CMP_NE        = 1
	FUTEX_OP_CMP_LT        = 2
	FUTEX_OP_CMP_LE        = 3
	FUTEX_OP_CMP_GT        = 4
	FUTEX_OP_CMP_GE        = 5
)

// Options of prctl(2) and arch_prctl(2).
const (
	PR_SET_PDEATHSIG        = 1
	PR_GET_PDEATHSIG        = 2
	PR_GET_DUMPABLE         = 3
	PR_SET_DUMPABLE         = 4
	PR_GET_KEEPCAPS         = 7
	PR_SET_KEEPCAPS         = 8
	PR_GET_TIMING           = 13
	PR_SET_TIMING           = 14
	PR_GET_TSC              = 25
	PR_CAP_AMBIENT          = 47
	PR_GET_SPECULATION_CTRL = 52
	PR_SET_NAME             = 15
	PR_GET_NAME             = 16
	PR_GET_SECCOMP          = 21
	PR_SET_SECCOMP          = 22
	PR_CAPBSET_READ         = 23
	PR_CAPBSET_DROP         = 24
	PR_GET_SECUREBITS       = 27
	PR_SET_SECUREBITS       = 28
	PR_SET_TIMERSLACK       = 29
	PR_GET_TIMERSLACK       = 30
	PR_SET_CHILD_SUBREAPER  = 36
	PR_GET_CHILD_SUBREAPER  = 37
	PR_SET_NO_NEW_PRIVS     = 38
	PR_GET_NO_NEW_PRIVS     = 39
	PR_SET_VMA              = 0x53564d41
	PR_SET_PTRACER          = 0x59616d61
	PR_SET_THP_DISABLE      = 41
	PR_GET_THP_DISABLE      = 42
	ARCH_SET_GS             = 0x1001
	ARCH_SET_FS             = 0x1002
	ARCH_GET_FS             = 0x1003
	ARCH_GET_GS             = 0x1004
	ARCH_GET_CPUID          = 0x1011
	ARCH_SET_CPUID          = 0x1012
	ARCH_CET_STATUS         = 0x3001
)

// Scheduling policies (sched(7)) and priorities.
const (
	SCHED_OTHER    = 0
	SCHED_FIFO     = 1
	SCHED_RR       = 2
	SCHED_BATCH    = 3
	SCHED_IDLE     = 5
	SCHED_DEADLINE = 6
	PRIO_PROCESS   = 0
	PRIO_PGRP      = 1
	PRIO_USER      = 2
)

// Tags of the auxiliary vector (getauxval(3)).
const (
	AT_NULL              = 0
	AT_IGNORE            = 1
	AT_EXECFD            = 2
	AT_PHDR              = 3
	AT_PHENT             = 4
	AT_PHNUM             = 5
	AT_PAGESZ            = 6
	AT_BASE              = 7
	AT_FLAGS             = 8
	AT_ENTRY             = 9
	AT_NOTELF            = 10
	AT_UID               = 11
	AT_EUID              = 12
	AT_GID               = 13
	AT_EGID              = 14
	AT_PLATFORM          = 15
	AT_HWCAP             = 16
	AT_CLKTCK            = 17
	AT_SECURE            = 23
	AT_BASE_PLATFORM     = 24
	AT_RANDOM            = 25
	AT_HWCAP2            = 26
	AT_EXECFN            = 31
	AT_SYSINFO_EHDR      = 33
	AT_RSEQ_FEATURE_SIZE = 27
	AT_RSEQ_ALIGN        = 28
	AT_MINSIGSTKSZ       = 51
)

// Capabilities (capabilities(7)).
const (
	CAP_CHOWN                   = 0
	CAP_DAC_OVERRIDE            = 1
	CAP_DAC_READ_SEARCH         = 2
	CAP_FOWNER                  = 3
	CAP_FSETID                  = 4
	CAP_KILL                    = 5
	CAP_SETGID                  = 6
	CAP_SETUID                  = 7
	CAP_SETPCAP                 = 8
	CAP_LINUX_IMMUTABLE         = 9
	CAP_NET_BIND_SERVICE        = 10
	CAP_NET_BROADCAST           = 11
	CAP_NET_ADMIN               = 12
	CAP_NET_RAW                 = 13
	CAP_IPC_LOCK                = 14
	CAP_IPC_OWNER               = 15
	CAP_SYS_MODULE              = 16
	CAP_SYS_RAWIO               = 17
	CAP_SYS_CHROOT              = 18
	CAP_SYS_PTRACE              = 19
	CAP_SYS_PACCT               = 20
	CAP_SYS_ADMIN               = 21
	CAP_SYS_BOOT                = 22
	CAP_SYS_NICE                = 23
	CAP_SYS_RESOURCE            = 24
	CAP_SYS_TIME                = 25
	CAP_SYS_TTY_CONFIG          = 26
	CAP_MKNOD                   = 27
	CAP_LEASE                   = 28
	CAP_AUDIT_WRITE             = 29
	CAP_AUDIT_CONTROL           = 30
	CAP_SETFCAP                 = 31
	CAP_LAST_CAP                = 40
	_LINUX_CAPABILITY_VERSION_1 = 0x19980330
	_LINUX_CAPABILITY_VERSION_2 = 0x20071026
	_LINUX_CAPABILITY_VERSION_3 = 0x20080522
)

// Flags of getrandom(2) and membarrier(2).
const (
	GRND_NONBLOCK        = 1
	GRND_RANDOM          = 2
	GRND_INSECURE        = 4
	MEMBARRIER_CMD_QUERY = 0
	NGROUPS_MAX          = 65536
)

// OOM_SCORE_ADJ_MIN is the oom_score_adj of a process that is never killed for
// want of memory.
const OOM_SCORE_ADJ_MIN = -1000
