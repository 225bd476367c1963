package linux

// System V IPC (svipc(7)) and POSIX message queues.
const (
	IPC_PRIVATE = 0
	IPC_CREAT   = 0o1000
	IPC_EXCL    = 0o2000
	IPC_NOWAIT  = 0o4000
	IPC_RMID    = 0
	IPC_SET     = 1
	IPC_STAT    = 2
	IPC_INFO    = 3

	MSG_STAT     = 11
	MSG_INFO     = 12
	MSG_STAT_ANY = 13
	MSG_NOERROR  = 0o10000
	MSG_EXCEPT   = 0o20000
	MSG_COPY     = 0o40000
	MSGMAX       = 8192
	MSGMNB       = 16384
	MSGMNI       = 32000

	GETPID       = 11
	GETVAL       = 12
	GETALL       = 13
	GETNCNT      = 14
	GETZCNT      = 15
	SETVAL       = 16
	SETALL       = 17
	SEM_STAT     = 18
	SEM_INFO     = 19
	SEM_STAT_ANY = 20
	SEM_UNDO     = 0x1000
	SEMMSL       = 32000
	SEMMNI       = 32000
	SEMOPM       = 500
	SEMVMX       = 32767

	SHM_LOCK     = 11
	SHM_UNLOCK   = 12
	SHM_STAT     = 13
	SHM_INFO     = 14
	SHM_STAT_ANY = 15
	SHM_RDONLY   = 0o10000
	SHM_RND      = 0o20000
	SHM_REMAP    = 0o40000
	SHM_EXEC     = 0o100000
	SHM_HUGETLB  = 0o4000
	SHM_DEST     = 0o1000
	SHM_LOCKED   = 0o2000
	SHMMNI       = 4096

	MQ_QUEUES_MAX       = 256
	MQ_MSG_DEFAULT      = 10
	MQ_MSG_MAX          = 10
	MQ_MSGSIZE_DEFAULT  = 8192
	MQ_MSGSIZE_MAX      = 8192
	MQ_HARD_MSG_MAX     = 65536
	MQ_HARD_MSGSIZE_MAX = 16 << 20
	MQ_PRIO_MAX         = 32768
	SizeofMqAttr        = 64

	SizeofIPCPerm = 48
	SizeofMsqidDS = 120
	SizeofSemidDS = 104
	SizeofShmidDS = 112
	SizeofSembuf  = 6
)
