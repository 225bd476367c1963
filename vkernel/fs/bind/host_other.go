//go:build !unix

package bind

import (
	"io/fs"

	"megabinary.dev/vkernel/linux"
)

const nonblock = 0

func hostStat(fs.FileInfo, *linux.Stat) {}

func hostErrno(error) (linux.Errno, bool) { return 0, false }
