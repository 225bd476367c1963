//go:build unix

package egress

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// connPair returns two ends of a connection whose directions close one by one.
func connPair() (a, b net.Conn, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	fa, fb := os.NewFile(uintptr(fds[0]), "guest"), os.NewFile(uintptr(fds[1]), "broker")
	defer func() { _, _ = fa.Close(), fb.Close() }() // FileConn has its own
	a, err1 := net.FileConn(fa)
	b, err2 := net.FileConn(fb)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	return a, b, nil
}
