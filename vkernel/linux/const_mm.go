package linux

// Memory protection (mmap(2)).
const (
	MLOCK_ONFAULT  = 1
	MCL_CURRENT    = 1
	MCL_FUTURE     = 2
	MCL_ONFAULT    = 4
	PROT_NONE      = 0
	PROT_READ      = 1
	PROT_WRITE     = 2
	PROT_EXEC      = 4
	PROT_GROWSDOWN = 0x1000000
	PROT_GROWSUP   = 0x2000000
)

// Flags of mmap(2).
const (
	MAP_SHARED          = 1
	MAP_PRIVATE         = 2
	MAP_SHARED_VALIDATE = 3
	MAP_TYPE            = 15
	MAP_FIXED           = 16
	MAP_ANONYMOUS       = 32
	MAP_GROWSDOWN       = 0x100
	MAP_DENYWRITE       = 0x800
	MAP_EXECUTABLE      = 0x1000
	MAP_LOCKED          = 0x2000
	MAP_NORESERVE       = 0x4000
	MAP_POPULATE        = 0x8000
	MAP_NONBLOCK        = 0x10000
	MAP_STACK           = 0x20000
	MAP_HUGETLB         = 0x40000
	MAP_SYNC            = 0x80000
	MAP_FIXED_NOREPLACE = 0x100000
	MAP_32BIT           = 0x40
)

// Flags of mremap(2) and msync(2).
const (
	MREMAP_MAYMOVE   = 1
	MREMAP_FIXED     = 2
	MREMAP_DONTUNMAP = 4
	MS_ASYNC         = 1
	MS_INVALIDATE    = 2
	MS_SYNC          = 4
)

// Advice of madvise(2) and posix_fadvise(2).
const (
	MADV_NORMAL        = 0
	MADV_RANDOM        = 1
	MADV_SEQUENTIAL    = 2
	MADV_WILLNEED      = 3
	MADV_DONTNEED      = 4
	MADV_FREE          = 8
	MADV_REMOVE        = 9
	MADV_DONTFORK      = 10
	MADV_DOFORK        = 11
	MADV_MERGEABLE     = 12
	MADV_UNMERGEABLE   = 13
	MADV_HUGEPAGE      = 14
	MADV_NOHUGEPAGE    = 15
	MADV_DONTDUMP      = 16
	MADV_DODUMP        = 17
	MADV_WIPEONFORK    = 18
	MADV_KEEPONFORK    = 19
	MADV_COLD          = 20
	MADV_PAGEOUT       = 21
	POSIX_FADV_NORMAL  = 0
	POSIX_FADV_NOREUSE = 5
)
