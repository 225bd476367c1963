//go:build unix

package bind

import (
	"errors"
	"io/fs"
	"syscall"

	"megabinary.dev/vkernel/linux"
)

// nonblock keeps open(2) from waiting for a FIFO's other end.
const nonblock = syscall.O_NONBLOCK

// hostStat fills in what only the host's stat has.
func hostStat(fi fs.FileInfo, st *linux.Stat) {
	if s, ok := fi.Sys().(*syscall.Stat_t); ok {
		st.Ino, st.Nlink, st.UID, st.GID = uint64(s.Ino), uint64(s.Nlink), s.Uid, s.Gid
		st.Blocks = int64(s.Blocks)
	}
}

// errnos lists the host's errnos whose numbers differ between systems.
var errnos = [...]struct {
	host  syscall.Errno
	guest linux.Errno
}{
	{syscall.EPERM, linux.EPERM}, {syscall.ENOENT, linux.ENOENT}, {syscall.EIO, linux.EIO}, {syscall.EACCES, linux.EACCES},
	{syscall.EEXIST, linux.EEXIST}, {syscall.EXDEV, linux.EXDEV}, {syscall.ENOTDIR, linux.ENOTDIR}, {syscall.EISDIR, linux.EISDIR},
	{syscall.EINVAL, linux.EINVAL}, {syscall.EMFILE, linux.EMFILE}, {syscall.ENFILE, linux.ENFILE}, {syscall.EFBIG, linux.EFBIG},
	{syscall.ENOSPC, linux.ENOSPC}, {syscall.EROFS, linux.EROFS}, {syscall.EMLINK, linux.EMLINK}, {syscall.ELOOP, linux.ELOOP},
	{syscall.ENAMETOOLONG, linux.ENAMETOOLONG}, {syscall.ENOTEMPTY, linux.ENOTEMPTY}, {syscall.EDQUOT, linux.EDQUOT},
	{syscall.EBUSY, linux.EBUSY}, {syscall.ENXIO, linux.ENXIO}, {syscall.EOPNOTSUPP, linux.EOPNOTSUPP}, {syscall.ETXTBSY, linux.ETXTBSY},
}

// hostErrno converts an errno of the host.
func hostErrno(err error) (linux.Errno, bool) {
	var e syscall.Errno
	if !errors.As(err, &e) {
		return 0, false
	}
	for _, m := range errnos {
		if m.host == e {
			return m.guest, true
		}
	}
	return linux.EIO, true
}
