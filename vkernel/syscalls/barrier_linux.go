package syscalls

import (
	"megabinary.dev/vkernel/linux"

	"golang.org/x/sys/unix"
)

// barrier makes every thread of this process pass a memory barrier.
func barrier() error {
	const registerPrivate, private = 16, 8
	for _, cmd := range []uintptr{registerPrivate, private} {
		if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, cmd, 0, 0); errno != 0 {
			return linux.EINVAL // a host without
		}
	}
	return nil
}
