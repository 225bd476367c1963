package vkernel

import (
	"io"

	"megabinary.dev/vkernel/fs/tty"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// stdio is what a container's first three descriptors lead to.
type stdio struct {
	files    [3]vfs.File
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
		for i := range s.files {
			s.files[i], s.flags[i] = s.terminal, linux.O_RDWR
		}
		return s
	}
	s.files = [3]vfs.File{nullFile{}, nullFile{}, nullFile{}}
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

// table returns a descriptor table with the three files.
func (s *stdio) table() (*vfs.FDTable, error) {
	t := vfs.NewFDTable()
	for i, f := range s.files {
		loc := vfs.Location{}
		if s.terminal != nil {
			loc.Label = "/dev/pts/0"
		}
		if _, err := t.Add(vfs.NewFileDescription(f, loc, s.flags[i]), 0, false, 3); err != nil {
			t.DecRef()
			return nil, err
		}
	}
	return t, nil
}

// pump feeds the host's keyboard to the terminal until the input ends. It
// outlives the container if the host's stream never ends.
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
				return
			}
		}
	}()
}

// nullFile is /dev/null.
type nullFile struct{}

func (nullFile) ReadAt([]byte, int64) (int, error)      { return 0, nil }
func (nullFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nullFile) Release()                               {}
func (nullFile) Describe() string                       { return "/dev/null" }

// Stat implements fstat(2).
func (nullFile) Stat() (linux.Stat, error) {
	return linux.Stat{Mode: linux.S_IFCHR | 0o666, Nlink: 1, Rdev: linux.MakeDev(1, 3), Blksize: 4096}, nil
}
