// Package dev makes /dev: a small file system in memory with the usual nodes,
// and the devices behind them.
package dev

import (
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/fs/tty"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// Numbers of devices (Documentation/admin-guide/devices.txt).
var (
	Null    = linux.MakeDev(1, 3)
	Zero    = linux.MakeDev(1, 5)
	Full    = linux.MakeDev(1, 7)
	Random  = linux.MakeDev(1, 8)
	URandom = linux.MakeDev(1, 9)
	TTY     = linux.MakeDev(5, 0) // the caller's controlling terminal
	Console = linux.MakeDev(5, 1)
	PTMX    = linux.MakeDev(5, 2)
	PTS0    = linux.MakeDev(136, 0)
)

// Devices are the devices of one container. It implements vfs.DeviceOpener.
type Devices struct {
	// Terminal is the container's terminal, nil if it has none: /dev/console
	// and /dev/pts/0.
	Terminal vfs.File
	// PTYs makes the other pseudo-terminals; nil: there are none.
	PTYs *tty.PTYs
	// Rand is where random bytes come from; crypto/rand if nil.
	Rand io.Reader
}

// OpenDevice implements vfs.DeviceOpener.
func (d *Devices) OpenDevice(rdev uint64, block bool, r vfs.OpenRequest) (vfs.File, error) {
	if block {
		return nil, linux.ENXIO
	}
	switch rdev {
	case Null:
		return null{}, nil
	case Zero:
		return zero{}, nil
	case Full:
		return full{}, nil
	case Random, URandom:
		if d.Rand != nil {
			return random{d.Rand}, nil
		}
		return random{rand.Reader}, nil
	case Console, PTS0:
		if d.Terminal != nil {
			return d.Terminal, nil
		}
		if rdev == Console {
			return nil, linux.EIO
		}
	case PTMX:
		if d.PTYs != nil {
			return d.PTYs.OpenMaster(r.Caller)
		}
	case TTY:
		if r.Caller == nil || r.Caller.TTY == nil {
			return nil, linux.ENXIO
		}
		return r.Caller.TTY()
	}
	if d.PTYs != nil {
		if f, ok, err := d.PTYs.OpenSlave(rdev, r.Caller); ok {
			return f, err
		}
	}
	return nil, linux.ENXIO
}

// device is what the simple devices share: any offset is as good as another.
type device struct{}

func (device) SeekEnd() (int64, error)                { return 0, nil }
func (device) ReadAt([]byte, int64) (int, error)      { return 0, nil }
func (device) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (device) Release()                               {}

type null struct{ device }

type zero struct{ device }

func (zero) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

type full struct{ zero }

func (full) WriteAt(p []byte, _ int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return 0, linux.ENOSPC
}

type random struct{ source io.Reader }

// maxRandom is how much one read returns, as for /dev/urandom. Bytes.
const maxRandom = 32<<20 - 1

func (random) SeekEnd() (int64, error)                { return 0, nil }
func (random) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (random) Release()                               {}

func (r random) ReadAt(p []byte, _ int64) (int, error) {
	p = p[:min(len(p), maxRandom)]
	if _, err := io.ReadFull(r.source, p); err != nil {
		return 0, linux.EIO
	}
	return len(p), nil
}

// Ioctl answers RNDGETENTCNT.
func (random) Ioctl(t vfs.IoctlTask, req uint32, arg uint64) (uint64, error) {
	if req != linux.RNDGETENTCNT {
		return 0, linux.EINVAL
	}
	return 0, t.CopyOut(arg, []byte{0, 1, 0, 0}) // 256 bits
}

// Options of /dev.
type Options struct {
	Dev uint64           // st_dev
	Now func() time.Time // time.Now if nil
	// Terminal says that /dev/console (in /dev) and 0 (in /dev/pts) are to be
	// there.
	Terminal bool
	TTYUID   uint32 // owner of the terminal
}

// New makes the file system for /dev.
func New(o Options) (*mem.FS, error) {
	fs := mem.New(mem.Options{Type: "tmpfs", Dev: o.Dev, Mode: 0o755, MaxBytes: 64 << 20, Now: o.Now})
	root := fs.Root()
	nodes := []struct {
		name string
		rdev uint64
	}{{"null", Null}, {"zero", Zero}, {"full", Full}, {"random", Random}, {"urandom", URandom}, {"tty", TTY}}
	for _, n := range nodes {
		if _, err := root.Create(n.name, vfs.NewInode{Mode: linux.S_IFCHR | 0o666, Rdev: n.rdev}); err != nil {
			return nil, fmt.Errorf("making /dev/%s: %w", n.name, err)
		}
	}
	links := [][2]string{{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"}}
	for _, l := range links {
		if _, err := root.Create(l[0], vfs.NewInode{Mode: linux.S_IFLNK | 0o777, Target: l[1]}); err != nil {
			return nil, fmt.Errorf("making /dev/%s: %w", l[0], err)
		}
	}
	if _, err := root.Create("shm", vfs.NewInode{Mode: linux.S_IFDIR | 0o1777}); err != nil {
		return nil, fmt.Errorf("making /dev/shm: %w", err)
	}
	if _, err := root.Create("pts", vfs.NewInode{Mode: linux.S_IFDIR | 0o755}); err != nil {
		return nil, fmt.Errorf("making /dev/pts: %w", err)
	}
	if !o.Terminal {
		return fs, nil
	}
	if _, err := root.Create("console", vfs.NewInode{Mode: linux.S_IFCHR | 0o620, UID: o.TTYUID, GID: 5, Rdev: Console}); err != nil {
		return nil, fmt.Errorf("making /dev/console: %w", err)
	}
	return fs, nil
}

// NewPTS makes the file system for /dev/pts, whose further names PTYs makes.
func NewPTS(o Options) (*mem.FS, error) {
	fs := mem.New(mem.Options{Type: "devpts", Magic: linux.DEVPTS_SUPER_MAGIC, Dev: o.Dev, Mode: 0o755, MaxBytes: 16 << 20, Fixed: true, Now: o.Now})
	root := fs.Keeper()
	if _, err := root.Create("ptmx", vfs.NewInode{Mode: linux.S_IFCHR | 0o666, Rdev: PTMX}); err != nil {
		return nil, fmt.Errorf("making /dev/pts/ptmx: %w", err)
	}
	if !o.Terminal {
		return fs, nil
	}
	if _, err := root.Create("0", vfs.NewInode{Mode: linux.S_IFCHR | 0o620, UID: o.TTYUID, GID: 5, Rdev: PTS0}); err != nil {
		return nil, fmt.Errorf("making /dev/pts/0: %w", err)
	}
	return fs, nil
}
