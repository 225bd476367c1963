package vkernel

import (
	"fmt"
	"io"

	"megabinary.dev/vkernel/fs/tty"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// stdio is what a container's first three descriptors lead to.
type stdio struct {
	files    [3]vfs.File // nil: /dev/null
	flags    [3]uint32
	terminal *tty.TTY // nil: none
	in       io.Reader
}

// stdioDev is st_dev of the streams of the host.
const stdioDev = 13

// newStdio wraps the host's streams of a spec. With a terminal, all three lead
// to it, as with docker.
func newStdio(spec Spec) *stdio {
	s := &stdio{flags: [3]uint32{linux.O_RDONLY, linux.O_WRONLY, linux.O_WRONLY}}
	if spec.TTY {
		out := spec.Stdout
		if out == nil {
			out = io.Discard
		}
		s.terminal, s.in = tty.New(out), spec.Stdin
		if spec.Winsize != (linux.Winsize{}) {
			s.terminal.Resize(spec.Winsize)
		}
		s.flags = [3]uint32{linux.O_RDWR, linux.O_RDWR, linux.O_RDWR}
		return s
	}
	if spec.Stdin != nil {
		s.files[0] = tty.NewStream(spec.Stdin, nil, 1, stdioDev)
	}
	if spec.Stdout != nil {
		s.files[1] = tty.NewStream(nil, spec.Stdout, 2, stdioDev)
	}
	if spec.Stderr != nil {
		s.files[2] = tty.NewStream(nil, spec.Stderr, 3, stdioDev)
	}
	return s
}

// table returns a descriptor table with the three files. What has a name in the
// guest's /dev is opened by it.
func (s *stdio) table(c *vfs.Caller) (*vfs.FDTable, error) {
	t := vfs.NewFDTable()
	for i, f := range s.files {
		var d *vfs.FileDescription
		var err error
		switch {
		case s.terminal != nil:
			d, err = c.Open(vfs.Path{}, "/dev/pts/0", s.flags[i], 0)
		case f == nil:
			d, err = c.Open(vfs.Path{}, "/dev/null", s.flags[i], 0)
		default:
			d = vfs.NewFileDescription(f, vfs.Location{}, s.flags[i])
		}
		if err == nil {
			_, err = t.Add(d, 0, false, 3)
		}
		if err != nil {
			t.DecRef()
			return nil, fmt.Errorf("opening descriptor %d: %w", i, err)
		}
	}
	return t, nil
}

// pump feeds the host's keyboard to the terminal until the input ends, and with it
// the guest's. It outlives the container if the host's stream never ends.
func (s *stdio) pump() {
	if s.terminal == nil || s.in == nil {
		return
	}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := s.in.Read(b)
			if n > 0 {
				s.terminal.Input(b[:n])
			}
			if err != nil {
				s.terminal.EndInput()
				return
			}
		}
	}()
}
