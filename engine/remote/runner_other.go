//go:build !linux

package remote

import "os/exec"

// startBound starts cmd. Nothing but the process itself watches the engine.
func startBound(cmd *exec.Cmd, _ <-chan struct{}) error { return cmd.Start() }
