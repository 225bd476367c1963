package linux

// Open flags (open(2)). O_LARGEFILE is the kernel's value: glibc defines it as 0.
const (
	O_RDONLY         = 0x0
	O_WRONLY         = 0x1
	O_RDWR           = 0x2
	O_ACCMODE        = 0x3
	O_CREAT          = 0x40
	O_EXCL           = 0x80
	O_NOCTTY         = 0x100
	O_TRUNC          = 0x200
	O_APPEND         = 0x400
	O_NONBLOCK       = 0x800
	O_DSYNC          = 0x1000
	FASYNC           = 0x2000
	O_ASYNC          = 0x2000
	O_DIRECT         = 0x4000
	O_LARGEFILE      = 0x8000
	O_DIRECTORY      = 0x10000
	O_NOFOLLOW       = 0x20000
	O_NOATIME        = 0x40000
	O_CLOEXEC        = 0x80000
	O_SYNC           = 0x101000
	O_PATH           = 0x200000
	VALID_OPEN_FLAGS = 0x7fffc3 // what openat2(2) knows
	O_TMPFILE        = 0x410000
)

// The at family's flags (openat(2) and its kin).
const (
	AT_FDCWD            = -100
	AT_SYMLINK_NOFOLLOW = 0x100
	AT_EACCESS          = 0x200
	AT_REMOVEDIR        = 0x200
	AT_SYMLINK_FOLLOW   = 0x400
	AT_NO_AUTOMOUNT     = 0x800
	AT_EMPTY_PATH       = 0x1000
	AT_EXECVE_CHECK     = 0x10000
	AT_STATX_SYNC_TYPE  = 0x6000
	AT_STATX_FORCE_SYNC = 0x2000
	AT_STATX_DONT_SYNC  = 0x4000
	AT_RECURSIVE        = 0x8000
)

// Mode bits (inode(7)).
const (
	S_IFMT   = 0170000
	S_IFSOCK = 0140000
	S_IFLNK  = 0120000
	S_IFREG  = 0100000
	S_IFBLK  = 060000
	S_IFDIR  = 040000
	S_IFCHR  = 020000
	S_IFIFO  = 010000
	S_ISUID  = 04000
	S_ISGID  = 02000
	S_ISVTX  = 01000
	S_IRWXU  = 0700
	S_IRUSR  = 0400
	S_IWUSR  = 0200
	S_IXUSR  = 0100
	S_IRWXG  = 070
	S_IRGRP  = 040
	S_IWGRP  = 020
	S_IXGRP  = 010
	S_IRWXO  = 07
	S_IROTH  = 04
	S_IWOTH  = 02
	S_IXOTH  = 01
)

// Types of directory entries (getdents64(2)).
const (
	DT_UNKNOWN = 0
	DT_FIFO    = 1
	DT_CHR     = 2
	DT_DIR     = 4
	DT_BLK     = 6
	DT_REG     = 8
	DT_LNK     = 10
	DT_SOCK    = 12
	DT_WHT     = 14
)

// Modes of access(2).
const (
	F_OK = 0
	X_OK = 1
	W_OK = 2
	R_OK = 4
)

// Origins of lseek(2).
const (
	SEEK_SET  = 0
	SEEK_CUR  = 1
	SEEK_END  = 2
	SEEK_DATA = 3
	SEEK_HOLE = 4
)

// Commands of fcntl(2).
const (
	F_DUPFD             = 0
	F_GETFD             = 1
	F_SETFD             = 2
	F_GETFL             = 3
	F_SETFL             = 4
	F_GETLK             = 5
	F_SETLK             = 6
	F_SETLKW            = 7
	F_SETOWN            = 8
	F_GETOWN            = 9
	F_SETSIG            = 10
	F_GETSIG            = 11
	F_SETOWN_EX         = 15
	F_GETOWN_EX         = 16
	F_OWNER_TID         = 0 // of struct f_owner_ex
	F_OWNER_PID         = 1
	F_OWNER_PGRP        = 2
	F_OFD_GETLK         = 36
	F_OFD_SETLK         = 37
	F_OFD_SETLKW        = 38
	F_SETLEASE          = 0x400
	F_GETLEASE          = 0x401
	F_NOTIFY            = 0x402
	F_DUPFD_CLOEXEC     = 0x406
	F_SETPIPE_SZ        = 0x407
	F_GETPIPE_SZ        = 0x408
	F_ADD_SEALS         = 0x409
	F_GET_SEALS         = 0x40a
	F_SEAL_SEAL         = 1
	F_SEAL_SHRINK       = 2
	F_SEAL_GROW         = 4
	F_SEAL_WRITE        = 8
	F_SEAL_FUTURE_WRITE = 0x10
	F_SEAL_EXEC         = 0x20
	FD_CLOEXEC          = 1
	F_RDLCK             = 0
	F_WRLCK             = 1
	F_UNLCK             = 2
)

// Operations of flock(2).
const (
	LOCK_SH = 1
	LOCK_EX = 2
	LOCK_NB = 4
	LOCK_UN = 8
)

// Flags of renameat2(2).
const (
	RENAME_NOREPLACE = 1
	RENAME_EXCHANGE  = 2
	RENAME_WHITEOUT  = 4
)

// Modes of fallocate(2).
const (
	FALLOC_FL_KEEP_SIZE      = 1
	FALLOC_FL_PUNCH_HOLE     = 2
	FALLOC_FL_COLLAPSE_RANGE = 8
	FALLOC_FL_ZERO_RANGE     = 16
	FALLOC_FL_INSERT_RANGE   = 32
	FALLOC_FL_UNSHARE_RANGE  = 0x40
)

// Bits of statx(2).
const (
	STATX_TYPE            = 1
	STATX_MODE            = 2
	STATX_NLINK           = 4
	STATX_UID             = 8
	STATX_GID             = 16
	STATX_ATIME           = 32
	STATX_MTIME           = 0x40
	STATX_CTIME           = 0x80
	STATX_INO             = 0x100
	STATX_SIZE            = 0x200
	STATX_BLOCKS          = 0x400
	STATX_BASIC_STATS     = 0x7ff
	STATX_BTIME           = 0x800
	STATX_ALL             = 0xfff
	STATX_ATTR_COMPRESSED = 4
	STATX_ATTR_IMMUTABLE  = 16
	STATX_ATTR_APPEND     = 32
	STATX_MNT_ID          = 0x1000
	STATX__RESERVED       = 0x80000000
)

// Flags of xattr(7) calls.
const (
	XATTR_CREATE   = 1
	XATTR_REPLACE  = 2
	XATTR_NAME_MAX = 255
	XATTR_SIZE_MAX = 65536
	XATTR_LIST_MAX = 65536
)

// Flags of memfd_create(2), close_range(2), eventfd(2), epoll_create1(2).
const (
	MFD_CLOEXEC         = 1
	MFD_ALLOW_SEALING   = 2
	MFD_HUGETLB         = 4
	EFD_SEMAPHORE       = 1
	EFD_CLOEXEC         = 0x80000
	EFD_NONBLOCK        = 0x800
	EPOLL_CLOEXEC       = 0x80000
	EPOLL_CTL_ADD       = 1
	EPOLL_CTL_DEL       = 2
	EPOLL_CTL_MOD       = 3
	CLOSE_RANGE_UNSHARE = 2
	CLOSE_RANGE_CLOEXEC = 4
	MFD_EXEC            = 0x10
	MFD_NOEXEC_SEAL     = 0x8
)

// Events of poll(2) and epoll(7).
const (
	POLLIN         = 1
	POLLPRI        = 2
	POLLOUT        = 4
	POLLERR        = 8
	POLLHUP        = 16
	POLLNVAL       = 32
	POLLRDNORM     = 0x40
	POLLRDBAND     = 0x80
	POLLWRNORM     = 0x100
	POLLWRBAND     = 0x200
	POLLMSG        = 0x400
	POLLRDHUP      = 0x2000
	EPOLLONESHOT   = 0x40000000
	EPOLLET        = 0x80000000
	EPOLLWAKEUP    = 0x20000000
	EPOLLEXCLUSIVE = 0x10000000
)

// Flags of mount(2) and statfs(2).
const (
	MS_RDONLY  = 1
	MS_NOSUID  = 2
	MS_NODEV   = 4
	MS_NOEXEC  = 8
	MS_REMOUNT = 32
	MS_BIND    = 0x1000
	ST_RDONLY  = 1
	ST_NOSUID  = 2
)

// File system types as statfs(2) reports them.
const (
	TMPFS_MAGIC           = 0x1021994
	PROC_SUPER_MAGIC      = 0x9fa0
	CGROUP2_SUPER_MAGIC   = 0x63677270
	OVERLAYFS_SUPER_MAGIC = 0x794c7630
	PIPEFS_MAGIC          = 0x50495045
	SOCKFS_MAGIC          = 0x534f434b
	DEVPTS_SUPER_MAGIC    = 0x1cd1
	EXT4_SUPER_MAGIC      = 0xef53
	ANON_INODE_FS_MAGIC   = 0x9041934
	SYSFS_MAGIC           = 0x62656572
)

// Limits of names and of I/O.
const (
	PATH_MAX     = 4096
	NAME_MAX     = 255
	PIPE_BUF     = 4096
	IOV_MAX      = 1024
	LINK_MAX     = 127
	MAX_RW_COUNT = 0x7ffff000
)

// Flags of struct open_how (openat2(2)).
const (
	RESOLVE_NO_XDEV       = 1
	RESOLVE_NO_MAGICLINKS = 2
	RESOLVE_NO_SYMLINKS   = 4
	RESOLVE_BENEATH       = 8
	RESOLVE_IN_ROOT       = 16
	RESOLVE_CACHED        = 32
)
