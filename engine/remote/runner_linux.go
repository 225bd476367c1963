package remote

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startBound starts cmd such that the system kills it when the engine dies. A
// module that hangs can stop all of a process's goroutines, the one that watches
// the engine too.
//
// The kernel means the thread that started the process, so this one stays until
// reaped is closed.
func startBound(cmd *exec.Cmd, reaped <-chan struct{}) error {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-reaped
		}
	}()
	return <-started
}
