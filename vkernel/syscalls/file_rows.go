package syscalls

import (
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/strace"
)

// openFlags prints access mode and flags of open(2).
func openFlags(c *strace.Call, i int) string {
	mode := [...]string{"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"}[c.Args[i]&linux.O_ACCMODE]
	rest := *c
	rest.Args[i] &^= linux.O_ACCMODE
	if s := strace.FlagSet("",
		strace.Flag{Value: linux.O_CREAT, Name: "O_CREAT"}, strace.Flag{Value: linux.O_EXCL, Name: "O_EXCL"},
		strace.Flag{Value: linux.O_NOCTTY, Name: "O_NOCTTY"}, strace.Flag{Value: linux.O_TRUNC, Name: "O_TRUNC"},
		strace.Flag{Value: linux.O_APPEND, Name: "O_APPEND"}, strace.Flag{Value: linux.O_NONBLOCK, Name: "O_NONBLOCK"},
		strace.Flag{Value: linux.O_SYNC, Name: "O_SYNC"}, strace.Flag{Value: linux.O_DSYNC, Name: "O_DSYNC"},
		strace.Flag{Value: linux.O_DIRECT, Name: "O_DIRECT"}, strace.Flag{Value: linux.O_LARGEFILE, Name: "O_LARGEFILE"},
		strace.Flag{Value: linux.O_TMPFILE, Name: "O_TMPFILE"}, strace.Flag{Value: linux.O_DIRECTORY, Name: "O_DIRECTORY"},
		strace.Flag{Value: linux.O_NOFOLLOW, Name: "O_NOFOLLOW"}, strace.Flag{Value: linux.O_NOATIME, Name: "O_NOATIME"},
		strace.Flag{Value: linux.O_CLOEXEC, Name: "O_CLOEXEC"}, strace.Flag{Value: linux.O_PATH, Name: "O_PATH"})(&rest, i); s != "" {
		return mode + "|" + s
	}
	return mode
}

func atFlags(c *strace.Call, i int) string {
	return strace.FlagSet("0",
		strace.Flag{Value: linux.AT_SYMLINK_NOFOLLOW, Name: "AT_SYMLINK_NOFOLLOW"},
		strace.Flag{Value: linux.AT_EMPTY_PATH, Name: "AT_EMPTY_PATH"},
		strace.Flag{Value: linux.AT_NO_AUTOMOUNT, Name: "AT_NO_AUTOMOUNT"})(c, i)
}

func unlinkFlags(c *strace.Call, i int) string {
	return strace.FlagSet("0", strace.Flag{Value: linux.AT_REMOVEDIR, Name: "AT_REMOVEDIR"})(c, i)
}

func accessMode(c *strace.Call, i int) string {
	return strace.FlagSet("F_OK", strace.Flag{Value: linux.R_OK, Name: "R_OK"}, strace.Flag{Value: linux.W_OK, Name: "W_OK"},
		strace.Flag{Value: linux.X_OK, Name: "X_OK"})(c, i)
}

func seekWhence(c *strace.Call, i int) string {
	return strace.Enum(strace.Flag{Value: linux.SEEK_SET, Name: "SEEK_SET"}, strace.Flag{Value: linux.SEEK_CUR, Name: "SEEK_CUR"},
		strace.Flag{Value: linux.SEEK_END, Name: "SEEK_END"}, strace.Flag{Value: linux.SEEK_DATA, Name: "SEEK_DATA"},
		strace.Flag{Value: linux.SEEK_HOLE, Name: "SEEK_HOLE"})(c, i)
}

func fcntlCmd(c *strace.Call, i int) string {
	return strace.Enum(strace.Flag{Value: linux.F_DUPFD, Name: "F_DUPFD"}, strace.Flag{Value: linux.F_GETFD, Name: "F_GETFD"},
		strace.Flag{Value: linux.F_SETFD, Name: "F_SETFD"}, strace.Flag{Value: linux.F_GETFL, Name: "F_GETFL"},
		strace.Flag{Value: linux.F_SETFL, Name: "F_SETFL"}, strace.Flag{Value: linux.F_GETLK, Name: "F_GETLK"},
		strace.Flag{Value: linux.F_SETLK, Name: "F_SETLK"}, strace.Flag{Value: linux.F_SETLKW, Name: "F_SETLKW"},
		strace.Flag{Value: linux.F_DUPFD_CLOEXEC, Name: "F_DUPFD_CLOEXEC"},
		strace.Flag{Value: linux.F_GETPIPE_SZ, Name: "F_GETPIPE_SZ"}, strace.Flag{Value: linux.F_SETPIPE_SZ, Name: "F_SETPIPE_SZ"})(c, i)
}

func ioctlRequest(c *strace.Call, i int) string {
	return strace.Enum(strace.Flag{Value: linux.TCGETS, Name: "TCGETS"}, strace.Flag{Value: linux.TCSETS, Name: "TCSETS"},
		strace.Flag{Value: linux.TCSETSW, Name: "TCSETSW"}, strace.Flag{Value: linux.TCSETSF, Name: "TCSETSF"},
		strace.Flag{Value: linux.TIOCGWINSZ, Name: "TIOCGWINSZ"}, strace.Flag{Value: linux.TIOCSWINSZ, Name: "TIOCSWINSZ"},
		strace.Flag{Value: linux.TIOCGPGRP, Name: "TIOCGPGRP"}, strace.Flag{Value: linux.TIOCSPGRP, Name: "TIOCSPGRP"},
		strace.Flag{Value: linux.TIOCSCTTY, Name: "TIOCSCTTY"}, strace.Flag{Value: linux.TIOCNOTTY, Name: "TIOCNOTTY"},
		strace.Flag{Value: linux.TIOCGPTN, Name: "TIOCGPTN"}, strace.Flag{Value: linux.TIOCSPTLCK, Name: "TIOCSPTLCK"},
		strace.Flag{Value: linux.TIOCGPTPEER, Name: "TIOCGPTPEER"},
		strace.Flag{Value: linux.FIONREAD, Name: "FIONREAD"}, strace.Flag{Value: linux.FIONBIO, Name: "FIONBIO"},
		strace.Flag{Value: linux.FIOCLEX, Name: "FIOCLEX"}, strace.Flag{Value: linux.FIONCLEX, Name: "FIONCLEX"},
		strace.Flag{Value: linux.FIOASYNC, Name: "FIOASYNC"})(c, i)
}

// fileRows is the part of the table that deals with files, sorted by number.
func fileRows() map[int]Row {
	return map[int]Row{
		0:   full("read", read, strace.FD, strace.OutBuf, strace.Size),
		1:   full("write", write, strace.FD, strace.Buf, strace.Size),
		2:   full("open", open, strace.Path, openFlags, strace.Octal),
		3:   full("close", closeFD, strace.FD),
		4:   full("stat", stat, strace.Path, strace.Addr),
		5:   full("fstat", fstat, strace.FD, strace.Addr),
		6:   full("lstat", lstat, strace.Path, strace.Addr),
		7:   full("poll", poll, strace.Addr, strace.Int, strace.Int),
		8:   full("lseek", lseek, strace.FD, strace.Long, seekWhence),
		16:  partial("Terminals (not TIOCVHANGUP, TIOCCONS, line disciplines other than N_TTY), pipes, sockets, FIO*.", "ioctl", ioctl, strace.FD, ioctlRequest, strace.Hex),
		17:  full("pread64", pread64, strace.FD, strace.OutBuf, strace.Size, strace.Long),
		18:  full("pwrite64", pwrite64, strace.FD, strace.Buf, strace.Size, strace.Long),
		19:  full("readv", readv, strace.FD, strace.Addr, strace.Int),
		20:  full("writev", writev, strace.FD, strace.Addr, strace.Int),
		21:  full("access", access, strace.Path, accessMode),
		22:  full("pipe", pipe1, strace.PipeFDs),
		23:  full("select", selectFDs, strace.Int, strace.Addr, strace.Addr, strace.Addr, strace.Addr),
		32:  full("dup", dup, strace.FD),
		33:  full("dup2", dup2, strace.FD, strace.FD),
		40:  full("sendfile", sendfile, strace.FD, strace.FD, strace.Addr, strace.Size),
		41:  partial("No raw or packet sockets.", "socket", newSocket, strace.Int, strace.Hex, strace.Int),
		42:  full("connect", connect, strace.FD, strace.Addr, strace.Int),
		43:  full("accept", accept, strace.FD, strace.Addr, strace.Addr),
		44:  partial("No urgent data.", "sendto", sendto, strace.FD, strace.Buf, strace.Size, strace.Hex, strace.Addr, strace.Int),
		45:  partial("No urgent data; no error queue.", "recvfrom", recvfrom, strace.FD, strace.OutBuf, strace.Size, strace.Hex, strace.Addr, strace.Addr),
		46:  partial("No urgent data; SCM_RIGHTS and SCM_CREDENTIALS.", "sendmsg", sendmsg, strace.FD, strace.Addr, strace.Hex),
		47:  partial("No urgent data; no error queue.", "recvmsg", recvmsg, strace.FD, strace.Addr, strace.Hex),
		48:  full("shutdown", shutdown, strace.FD, strace.Int),
		49:  full("bind", bind, strace.FD, strace.Addr, strace.Int),
		50:  full("listen", listen, strace.FD, strace.Int),
		51:  full("getsockname", socketName(false), strace.FD, strace.Addr, strace.Addr),
		52:  full("getpeername", socketName(true), strace.FD, strace.Addr, strace.Addr),
		53:  full("socketpair", socketpair, strace.Int, strace.Hex, strace.Int, strace.PipeFDs),
		54:  partial("Some options are kept and have no effect.", "setsockopt", setsockopt, strace.FD, strace.Int, strace.Int, strace.Addr, strace.Int),
		55:  full("getsockopt", getsockopt, strace.FD, strace.Int, strace.Int, strace.Addr, strace.Addr),
		72:  partial("No leases or signals on I/O.", "fcntl", fcntl, strace.FD, fcntlCmd, strace.Hex),
		73:  full("flock", flock, strace.FD, strace.Hex),
		74:  full("fsync", syncFile, strace.FD),
		75:  full("fdatasync", syncFile, strace.FD),
		76:  full("truncate", truncate, strace.Path, strace.Long),
		77:  full("ftruncate", ftruncate, strace.FD, strace.Long),
		78:  full("getdents", getdents, strace.FD, strace.Addr, strace.Size),
		79:  full("getcwd", getcwd, strace.OutStr, strace.Size),
		80:  full("chdir", chdir, strace.Path),
		81:  full("fchdir", fchdir, strace.FD),
		82:  full("rename", rename, strace.Path, strace.Path),
		83:  full("mkdir", mkdir, strace.Path, strace.Octal),
		84:  full("rmdir", rmdir, strace.Path),
		85:  full("creat", creat, strace.Path, strace.Octal),
		86:  full("link", link, strace.Path, strace.Path),
		87:  full("unlink", unlink, strace.Path),
		88:  full("symlink", symlink, strace.Path, strace.Path),
		89:  full("readlink", readlink, strace.Path, strace.OutBuf, strace.Size),
		90:  full("chmod", chmod, strace.Path, strace.Octal),
		91:  full("fchmod", fchmod, strace.FD, strace.Octal),
		92:  full("chown", chown, strace.Path, strace.Int, strace.Int),
		93:  full("fchown", fchown, strace.FD, strace.Int, strace.Int),
		94:  full("lchown", lchown, strace.Path, strace.Int, strace.Int),
		95:  full("umask", umask, strace.Octal),
		132: full("utime", utime, strace.Path, strace.Addr),
		133: full("mknod", mknod, strace.Path, strace.Octal, strace.Hex),
		137: full("statfs", statfs, strace.Path, strace.Addr),
		138: full("fstatfs", fstatfs, strace.FD, strace.Addr),
		155: stub("EPERM: a container's mounts are the host's business.", "pivot_root", mountDenied, strace.Path, strace.Path),
		161: full("chroot", chroot, strace.Path),
		162: full("sync", syncAll),
		165: stub("EPERM: a container's mounts are the host's business.", "mount", mountDenied, strace.Path, strace.Path, strace.Path, strace.Hex, strace.Addr),
		166: stub("EPERM: a container's mounts are the host's business.", "umount2", mountDenied, strace.Path, strace.Hex),
		187: full("readahead", readahead, strace.FD, strace.Long, strace.Size),
		188: full("setxattr", setxattr(0), strace.Path, strace.Path, strace.Buf, strace.Size, strace.Hex),
		189: full("lsetxattr", setxattr(1), strace.Path, strace.Path, strace.Buf, strace.Size, strace.Hex),
		190: full("fsetxattr", setxattr(2), strace.FD, strace.Path, strace.Buf, strace.Size, strace.Hex),
		191: full("getxattr", getxattr(0), strace.Path, strace.Path, strace.OutBuf, strace.Size),
		192: full("lgetxattr", getxattr(1), strace.Path, strace.Path, strace.OutBuf, strace.Size),
		193: full("fgetxattr", getxattr(2), strace.FD, strace.Path, strace.OutBuf, strace.Size),
		194: full("listxattr", listxattr(0), strace.Path, strace.OutBuf, strace.Size),
		195: full("llistxattr", listxattr(1), strace.Path, strace.OutBuf, strace.Size),
		196: full("flistxattr", listxattr(2), strace.FD, strace.OutBuf, strace.Size),
		197: full("removexattr", removexattr(0), strace.Path, strace.Path),
		198: full("lremovexattr", removexattr(1), strace.Path, strace.Path),
		199: full("fremovexattr", removexattr(2), strace.FD, strace.Path),
		213: full("epoll_create", epollCreate, strace.Int),
		217: full("getdents64", getdents64, strace.FD, strace.Addr, strace.Size),
		221: full("fadvise64", fadvise64, strace.FD, strace.Long, strace.Size, strace.Int),
		232: full("epoll_wait", epollWait, strace.FD, strace.Addr, strace.Int, strace.Int),
		233: full("epoll_ctl", epollCtl, strace.FD, strace.Int, strace.FD, strace.Addr),
		235: full("utimes", utimes, strace.Path, strace.Addr),
		253: partial("There is no limit of instances.", "inotify_init", inotifyInit),
		254: partial("After a rename, an open file's events still bear its old name; no limit of watches.", "inotify_add_watch", inotifyAddWatch, strace.FD, strace.Path, strace.Hex),
		255: full("inotify_rm_watch", inotifyRmWatch, strace.FD, strace.Int),
		257: full("openat", openat, strace.DirFD, strace.Path, openFlags, strace.Octal),
		258: full("mkdirat", mkdirat, strace.DirFD, strace.Path, strace.Octal),
		259: full("mknodat", mknodat, strace.DirFD, strace.Path, strace.Octal, strace.Hex),
		260: full("fchownat", fchownat, strace.DirFD, strace.Path, strace.Int, strace.Int, atFlags),
		261: full("futimesat", futimesat, strace.DirFD, strace.Path, strace.Addr),
		262: full("newfstatat", newfstatat, strace.DirFD, strace.Path, strace.Addr, atFlags),
		263: full("unlinkat", unlinkat, strace.DirFD, strace.Path, unlinkFlags),
		264: full("renameat", renameat, strace.DirFD, strace.Path, strace.DirFD, strace.Path),
		265: full("linkat", linkat, strace.DirFD, strace.Path, strace.DirFD, strace.Path, strace.Hex),
		266: full("symlinkat", symlinkat, strace.Path, strace.DirFD, strace.Path),
		267: full("readlinkat", readlinkat, strace.DirFD, strace.Path, strace.OutBuf, strace.Size),
		268: full("fchmodat", fchmodat, strace.DirFD, strace.Path, strace.Octal),
		269: full("faccessat", faccessat, strace.DirFD, strace.Path, accessMode),
		270: full("pselect6", pselect6, strace.Int, strace.Addr, strace.Addr, strace.Addr, strace.Timespec, strace.Addr),
		271: full("ppoll", ppoll, strace.Addr, strace.Int, strace.Timespec, strace.SigSet, strace.Size),
		275: partial("Bytes are copied.", "splice", splice, strace.FD, strace.Addr, strace.FD, strace.Addr, strace.Size, strace.Hex),
		276: partial("It never waits for input.", "tee", tee, strace.FD, strace.FD, strace.Size, strace.Hex),
		277: full("sync_file_range", syncFileRange, strace.FD, strace.Long, strace.Long, strace.Hex),
		278: full("vmsplice", vmsplice, strace.FD, strace.Addr, strace.Size, strace.Hex),
		280: full("utimensat", utimensat, strace.DirFD, strace.Path, strace.Addr, atFlags),
		281: full("epoll_pwait", epollPwait, strace.FD, strace.Addr, strace.Int, strace.Int, strace.SigSet, strace.Size),
		282: full("signalfd", signalfd, strace.FD, strace.SigSet, strace.Size),
		283: full("timerfd_create", timerfdCreate, strace.Int, strace.Hex),
		284: full("eventfd", eventfd, strace.Int),
		285: partial("No collapsing or inserting; space is not reserved.", "fallocate", fallocate, strace.FD, strace.Hex, strace.Long, strace.Long),
		286: partial("TFD_TIMER_CANCEL_ON_SET is ignored.", "timerfd_settime", timerfdSettime, strace.FD, strace.Hex, strace.Addr, strace.Addr),
		287: full("timerfd_gettime", timerfdGettime, strace.FD, strace.Addr),
		288: full("accept4", accept4, strace.FD, strace.Addr, strace.Addr, strace.Hex),
		289: full("signalfd4", signalfd4, strace.FD, strace.SigSet, strace.Size, strace.Hex),
		290: full("eventfd2", eventfd2, strace.Int, strace.Hex),
		291: full("epoll_create1", epollCreate1, strace.Hex),
		292: full("dup3", dup3, strace.FD, strace.FD, openFlags),
		293: partial("O_DIRECT keeps no packets apart.", "pipe2", pipe2, strace.PipeFDs, openFlags),
		294: partial("There is no limit of instances.", "inotify_init1", inotifyInit1, strace.Hex),
		295: full("preadv", preadv, strace.FD, strace.Addr, strace.Int, strace.Long),
		296: full("pwritev", pwritev, strace.FD, strace.Addr, strace.Int, strace.Long),
		299: full("recvmmsg", recvmmsg, strace.FD, strace.Addr, strace.Int, strace.Hex, strace.Addr),
		303: partial("No open_by_handle_at.", "name_to_handle_at", nameToHandleAt, strace.DirFD, strace.Path, strace.Addr, strace.Addr, strace.Hex),
		306: full("syncfs", syncfs, strace.FD),
		307: full("sendmmsg", sendmmsg, strace.FD, strace.Addr, strace.Int, strace.Hex),
		316: partial("No RENAME_WHITEOUT.", "renameat2", renameat2, strace.DirFD, strace.Path, strace.DirFD, strace.Path, strace.Hex),
		319: partial("No huge pages.", "memfd_create", memfdCreate, strace.Path, strace.Hex),
		326: full("copy_file_range", copyFileRange, strace.FD, strace.Addr, strace.FD, strace.Addr, strace.Size, strace.Hex),
		327: partial("No flags.", "preadv2", preadv2, strace.FD, strace.Addr, strace.Int, strace.Long, strace.Hex),
		328: partial("No flags.", "pwritev2", pwritev2, strace.FD, strace.Addr, strace.Int, strace.Long, strace.Hex),
		332: partial("No birth time.", "statx", statx, strace.DirFD, strace.Path, atFlags, strace.Hex, strace.Addr),
		436: partial("CLOSE_RANGE_UNSHARE only without CLONE_FILES.", "close_range", closeRange, strace.Int, strace.Int, strace.Hex),
		437: partial("RESOLVE_CACHED opens what is not cached, too.", "openat2", openat2, strace.DirFD, strace.Path, strace.Addr, strace.Size),
		439: full("faccessat2", faccessat2, strace.DirFD, strace.Path, accessMode, atFlags),
		441: full("epoll_pwait2", epollPwait2, strace.FD, strace.Addr, strace.Int, strace.Timespec, strace.SigSet, strace.Size),
		452: full("fchmodat2", fchmodat2, strace.DirFD, strace.Path, strace.Octal, atFlags),
	}
}
