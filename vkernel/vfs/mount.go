package vfs

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"megabinary.dev/vkernel/linux"
)

// Path is a place in the tree: an inode seen through a mount.
type Path struct {
	Mount *Mount
	Inode Inode
}

// IsZero says whether p names nothing.
func (p Path) IsZero() bool { return p.Mount == nil }

// Dir returns the directory at p, or ENOTDIR.
func (p Path) Dir() (Dir, error) {
	d, ok := p.Inode.(Dir)
	if !ok {
		return nil, linux.ENOTDIR
	}
	return d, nil
}

// Location is a place and the directory entry that led there. Parent is nil for
// the root of a mount and for what has no name.
type Location struct {
	Path
	Parent Dir
	Name   string
	// Label stands for the path of what has none, such as pipe:[7].
	Label string
}

// Mount is one file system in the tree.
type Mount struct {
	ID       int
	FS       Filesystem
	Source   string // first field in /proc/mounts
	Options  string // file system's own options there, such as size=64k
	ReadOnly bool

	ns     *MountNamespace
	root   Dir
	parent *Mount // nil for the root mount
	point  Dir    // directory that the mount covers, in parent
}

// Root returns the mount's root directory.
func (m *Mount) Root() Path { return Path{m, m.root} }

// Namespace returns the namespace that the mount belongs to.
func (m *Mount) Namespace() *MountNamespace { return m.ns }

// DeviceOpener opens device nodes.
type DeviceOpener interface {
	// OpenDevice opens the device rdev; ENXIO if there is none.
	OpenDevice(rdev uint64, block bool, r OpenRequest) (File, error)
}

// MountNamespace is a tree of mounts.
type MountNamespace struct {
	devices DeviceOpener
	root    *Mount

	mu     sync.RWMutex
	mounts []*Mount // in mount order
	covers map[mountKey]*Mount
	nextID int
	hidden *Mount // of Hidden

	watches Watches
	locks   LockWaits

	anonIno atomic.Uint64
}

// AnonIno returns a new inode number for a pipe and its like, as pipefs and
// sockfs number theirs.
func (ns *MountNamespace) AnonIno() uint64 { return ns.anonIno.Add(1) }

// LockWaits returns who waits for locks on files of this namespace.
func (ns *MountNamespace) LockWaits() *LockWaits { return &ns.locks }

// Hidden returns a mount that no path leads to, for memfd_create(2); newFS makes
// its file system the first time.
func (ns *MountNamespace) Hidden(newFS func() Filesystem) *Mount {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.hidden == nil {
		ns.hidden = ns.newMount(newFS(), MountOptions{})
	}
	return ns.hidden
}

// mountKey names a directory of a mount.
type mountKey struct {
	mount *Mount
	ino   uint64
}

// MountOptions describes a mount.
type MountOptions struct {
	Source   string
	Options  string
	ReadOnly bool
}

// NewMountNamespace makes a namespace with fs as its root. Devices may be nil.
func NewMountNamespace(fs Filesystem, opts MountOptions, devices DeviceOpener) *MountNamespace {
	ns := &MountNamespace{devices: devices, covers: map[mountKey]*Mount{}, nextID: 2}
	ns.root = ns.newMount(fs, opts)
	ns.mounts = []*Mount{ns.root}
	return ns
}

func (ns *MountNamespace) newMount(fs Filesystem, opts MountOptions) *Mount {
	m := &Mount{ID: ns.nextID, FS: fs, Source: opts.Source, Options: opts.Options, ReadOnly: opts.ReadOnly,
		ns: ns, root: fs.Root()}
	if m.Source == "" {
		m.Source = fs.Type()
	}
	ns.nextID++
	return m
}

// Root returns the root of the tree.
func (ns *MountNamespace) Root() Path { return ns.root.Root() }

// Mount puts fs over the directory at.
func (ns *MountNamespace) Mount(at Path, fs Filesystem, opts MountOptions) (*Mount, error) {
	dir, err := at.Dir()
	if err != nil {
		return nil, fmt.Errorf("mounting %s: %w", fs.Type(), err)
	}
	st, err := dir.Stat()
	if err != nil {
		return nil, fmt.Errorf("mounting %s: %w", fs.Type(), err)
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	m := ns.newMount(fs, opts)
	m.parent, m.point = at.Mount, dir
	ns.mounts = append(ns.mounts, m)
	ns.covers[mountKey{at.Mount, st.Ino}] = m
	return m, nil
}

// Mounts returns the mounts in the order in which they were made.
func (ns *MountNamespace) Mounts() []*Mount {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return append([]*Mount(nil), ns.mounts...)
}

// into returns the root of the mounts that cover p, or p.
func (ns *MountNamespace) into(p Path) Path {
	dir, ok := p.Inode.(Dir)
	if !ok {
		return p
	}
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	if len(ns.covers) == 0 {
		return p
	}
	for {
		st, err := dir.Stat()
		if err != nil {
			return p
		}
		m := ns.covers[mountKey{p.Mount, st.Ino}]
		if m == nil {
			return p
		}
		dir = m.root
		p = m.Root()
	}
}

// isMountPoint says whether something is mounted over inode ino of m.
func (ns *MountNamespace) isMountPoint(m *Mount, ino uint64) bool {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.covers[mountKey{m, ino}] != nil
}

// parentOf returns the directory above p as ".." has it; root stops the climb.
func parentOf(p, root Path) (Path, error) {
	for {
		dir, err := p.Dir()
		if err != nil {
			return Path{}, err
		}
		if sameInode(p, root) {
			return p, nil
		}
		if sameInode(p, p.Mount.Root()) {
			if p.Mount.parent == nil {
				return p, nil
			}
			p = Path{p.Mount.parent, p.Mount.point}
			continue
		}
		up, _ := dir.Parent()
		if up == nil {
			return Path{}, linux.ENOENT
		}
		return p.Mount.ns.into(Path{p.Mount, up}), nil
	}
}

// sameInode says whether a and b are the same place.
func sameInode(a, b Path) bool {
	if a.Mount != b.Mount {
		return false
	}
	if a.Inode == b.Inode {
		return true
	}
	sa, err1 := a.Inode.Stat()
	sb, err2 := b.Inode.Stat()
	return err1 == nil && err2 == nil && sa.Ino == sb.Ino
}

// PathOfDir returns the absolute path of directory p below root, as getcwd(2)
// has it: with "(unreachable)" in front if p is not below root, and ENOENT if
// it was removed.
func PathOfDir(p, root Path) (string, error) {
	var names []string
	for !sameInode(p, root) {
		if sameInode(p, p.Mount.Root()) {
			if p.Mount.parent == nil {
				return "(unreachable)/" + joinReversed(names), nil
			}
			p = Path{p.Mount.parent, p.Mount.point}
			continue
		}
		dir, err := p.Dir()
		if err != nil {
			return "", err
		}
		up, name := dir.Parent()
		if up == nil {
			return "", linux.ENOENT
		}
		names = append(names, name)
		p = Path{p.Mount, up}
	}
	return "/" + joinReversed(names), nil
}

func joinReversed(names []string) string {
	var b strings.Builder
	for i := len(names) - 1; i >= 0; i-- {
		b.WriteString(names[i])
		if i > 0 {
			b.WriteByte('/')
		}
	}
	return b.String()
}

// PathOf returns the path of l below root as /proc/PID/fd shows it: with
// " (deleted)" behind it if the name is gone or names something else.
func PathOf(l Location, root Path) string {
	if l.Label != "" {
		return l.Label
	}
	if l.Path.IsZero() {
		return ""
	}
	if _, ok := l.Inode.(Dir); ok {
		if s, err := PathOfDir(l.Path, root); err == nil {
			return s
		}
	}
	if l.Parent == nil {
		return "/" + l.Name + " (deleted)"
	}
	dir, err := PathOfDir(Path{l.Mount, l.Parent}, root)
	if err != nil {
		return "/" + l.Name + " (deleted)"
	}
	full := strings.TrimSuffix(dir, "/") + "/" + l.Name
	now, err := l.Parent.Lookup(l.Name)
	if err != nil || !sameInode(l.Path, Path{l.Mount, now}) {
		return full + " (deleted)"
	}
	return full
}

// ParentID returns the ID of the mount that m is mounted on; 1 for the root, as
// mountinfo has it.
func (m *Mount) ParentID() int {
	if m.parent == nil {
		return 1
	}
	return m.parent.ID
}
