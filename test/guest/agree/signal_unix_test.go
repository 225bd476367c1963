package agree

import (
	"os"
	"syscall"
)

// signalOf returns the signal that killed a process.
func signalOf(s *os.ProcessState) syscall.Signal {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return w.Signal()
	}
	return 0
}
