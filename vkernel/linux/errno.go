// Package linux holds the constants and struct layouts of Linux's x86-64 ABI,
// with their Linux spelling, as a guest sees them. It depends on nothing.
package linux

import (
	"errors"
	"fmt"
)

// Errno is an error number as a guest sees it. Handlers return it bare, so that
// it compares with ==.
type Errno uint16

// Errnos that never reach a guest: the task's syscall exit turns them into a
// restarted call or EINTR (include/linux/errno.h).
const (
	ERESTARTSYS           Errno = 512 // restart if SA_RESTART or no handler ran
	ERESTARTNOINTR        Errno = 513 // always restart
	ERESTARTNOHAND        Errno = 514 // restart if no handler ran
	ENOIOCTLCMD           Errno = 515
	ERESTART_RESTARTBLOCK Errno = 516 // restart through restart_syscall(2)
)

// Error returns what strerror(3) says.
func (e Errno) Error() string {
	if int(e) < len(errnoTable) && errnoTable[e].text != "" {
		return errnoTable[e].text
	}
	return e.Name()
}

// Result is what rax holds after a system call that failed with e.
func (e Errno) Result() uint64 { return -uint64(e) }

// Name returns the errno's Linux name, such as ENOENT.
func (e Errno) Name() string {
	if int(e) < len(errnoTable) && errnoTable[e].name != "" {
		return errnoTable[e].name
	}
	switch e {
	case 0:
		return "0"
	case ERESTARTSYS:
		return "ERESTARTSYS"
	case ERESTARTNOINTR:
		return "ERESTARTNOINTR"
	case ERESTARTNOHAND:
		return "ERESTARTNOHAND"
	case ENOIOCTLCMD:
		return "ENOIOCTLCMD"
	case ERESTART_RESTARTBLOCK:
		return "ERESTART_RESTARTBLOCK"
	}
	return fmt.Sprintf("errno %d", uint16(e))
}

// ErrnoOf returns the errno in err's chain; EIO if there is none. It returns 0
// for nil.
func ErrnoOf(err error) Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(Errno); ok {
		return e
	}
	var e Errno
	if errors.As(err, &e) {
		return e
	}
	return EIO
}
