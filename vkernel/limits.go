package vkernel

import (
	"io"
	"sync/atomic"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/kernel"
)

// addressSpace returns the size of a process's address space, bytes, in a
// container that may hold limit bytes. As on Linux, a program may map more than
// it may touch.
func addressSpace(limit uint64) uint64 {
	return min(max(limit, kernel.DefaultMemory), guestabi.MaxPages<<16)
}

// limitOutput bounds what goes to the host's streams.
func (v *VKernel) limitOutput(c *kernel.Container, spec Spec) (stdout, stderr io.Writer) {
	if spec.Output == 0 {
		return spec.Stdout, spec.Stderr
	}
	l := &outputLimit{max: int64(min(spec.Output, 1<<62)), exceeded: func() {
		v.cfg.Log.Warn("the output limit is used up: the container is killed", "container", spec.ID, "bytes", spec.Output)
		_ = c.Audit().Append(audit.Record{Event: "output", Verdict: "deny", Rule: "limit.output"}) // it ends anyway
		c.Kill()
	}}
	wrap := func(w io.Writer) io.Writer {
		if w == nil {
			return nil
		}
		return limitedWriter{w, l}
	}
	return wrap(spec.Stdout), wrap(spec.Stderr)
}

// outputLimit is what the streams of a container share.
type outputLimit struct {
	max      int64 // bytes
	written  atomic.Int64
	over     atomic.Bool
	exceeded func() // called once
}

type limitedWriter struct {
	w     io.Writer
	limit *outputLimit
}

// Write implements io.Writer. What is beyond the limit is dropped: nobody is left
// to miss it.
func (l limitedWriter) Write(p []byte) (int, error) {
	room := l.limit.max - (l.limit.written.Add(int64(len(p))) - int64(len(p)))
	if room >= int64(len(p)) {
		return l.w.Write(p)
	}
	n := 0
	var err error
	if room > 0 {
		n, err = l.w.Write(p[:room])
	}
	if !l.limit.over.Swap(true) {
		l.limit.exceeded()
	}
	if err != nil {
		return n, err
	}
	return len(p), nil
}
