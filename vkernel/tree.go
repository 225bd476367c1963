package vkernel

import (
	"fmt"
	"path"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/vkernel/fs/bind"
	"megabinary.dev/vkernel/fs/dev"
	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/fs/proc"
	"megabinary.dev/vkernel/fs/proc/taskview"
	"megabinary.dev/vkernel/fs/tty"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/syscalls"
	"megabinary.dev/vkernel/vfs"
)

// Device numbers of the file systems of a container, as stat(2) shows them.
const (
	rootDev = 1 + iota
	devDev
	procDev
	ptsDev
	cgroupDev
	bindDev = 64 // and up
)

// newTree makes the container's file systems: the image's layers below a
// writable layer in memory, and what is mounted on it.
func (v *VKernel) newTree(img *Image, c *Container, spec Spec) (*vfs.MountNamespace, error) {
	c.stdio = newStdio(spec)
	devices := &dev.Devices{}
	if t := c.stdio.terminal; t != nil {
		devices.Terminal = t
	}
	root := mem.New(mem.Options{Type: "overlay", Dev: rootDev, Base: img.tree, MaxBytes: int64(min(spec.Disk, 1<<62))})
	c.root = root
	ns := vfs.NewMountNamespace(root, vfs.MountOptions{Source: "overlay"}, devices)
	admin := &vfs.Caller{Creds: vfs.NewCreds(0, 0), Root: ns.Root(), Cwd: ns.Root()}
	if err := hide(admin); err != nil {
		return nil, err
	}
	if err := networkFiles(admin, spec); err != nil {
		return nil, err
	}
	devFS, err := dev.New(dev.Options{Dev: devDev, Terminal: c.stdio.terminal != nil})
	if err != nil {
		return nil, err
	}
	if err := mountAt(admin, ns, "/dev", devFS, vfs.MountOptions{}); err != nil {
		return nil, err
	}
	ptsFS, err := dev.NewPTS(dev.Options{Dev: ptsDev, Terminal: c.stdio.terminal != nil})
	if err != nil {
		return nil, err
	}
	first := 0
	if c.stdio.terminal != nil {
		first = 1
	}
	devices.PTYs = tty.NewPTYs(ptsFS.Keeper(), first)
	c.ptys = devices.PTYs
	if err := mountAt(admin, ns, "/dev/pts", ptsFS, vfs.MountOptions{Source: "devpts"}); err != nil {
		return nil, err
	}
	view := taskview.New(c.kernel, syscalls.UnameRelease, syscalls.UnameVersion)
	if err := mountAt(admin, ns, "/proc", proc.New(view, procDev), vfs.MountOptions{Source: "proc"}); err != nil {
		return nil, err
	}
	if err := mountCgroup(admin, ns, c); err != nil {
		return nil, err
	}
	for i, m := range spec.Mounts {
		fs, err := bind.New(m.Host, bindDev+uint64(i), m.ReadOnly)
		if err != nil {
			return nil, err
		}
		c.close = append(c.close, fs)
		if err := mountAt(admin, ns, m.Guest, fs, vfs.MountOptions{Source: m.Host, ReadOnly: m.ReadOnly}); err != nil {
			return nil, err
		}
	}
	return ns, nil
}

// hide removes what the rebuild has added, so that the guest sees its own image.
func hide(c *vfs.Caller) error {
	for _, file := range []string{artifact.PathMegabinary, artifact.PathExecMap} {
		if err := c.Unlink(vfs.Path{}, file); err != nil {
			return fmt.Errorf("hiding %s: %w", file, err)
		}
	}
	dir := path.Dir(artifact.PathMegabinary)
	if err := c.Rmdir(vfs.Path{}, dir); err != nil && linux.ErrnoOf(err) != linux.ENOTEMPTY {
		return fmt.Errorf("hiding %s: %w", dir, err)
	}
	return nil
}

// mountAt mounts fs on a directory, which is made if it is not there.
func mountAt(c *vfs.Caller, ns *vfs.MountNamespace, dir string, fs vfs.Filesystem, o vfs.MountOptions) error {
	at, err := makeDir(c, dir)
	if err != nil {
		return fmt.Errorf("mounting %s: %w", dir, err)
	}
	_, err = ns.Mount(at, fs, o)
	return err
}

// mountCgroup shows what the container is held to, where programs look for it. An
// image without /sys stays so.
func mountCgroup(admin *vfs.Caller, ns *vfs.MountNamespace, c *Container) error {
	if _, err := admin.Walk(vfs.Path{}, "/sys", true); err != nil {
		return nil
	}
	k := c.kernel
	fs := proc.NewCgroup(func() proc.Cgroup {
		u, l := k.Usage(), k.Limits()
		g := proc.Cgroup{MemoryMax: l.Memory, Memory: u.Memory, OOMKills: u.OOM, CPUs: l.CPUs, CPU: u.CPU, TasksMax: l.Tasks, Tasks: u.Tasks}
		for _, tg := range k.ThreadGroups() {
			g.PIDs = append(g.PIDs, tg.ID())
		}
		return g
	}, cgroupDev)
	return mountAt(admin, ns, "/sys/fs/cgroup", fs, vfs.MountOptions{Source: "cgroup", ReadOnly: true})
}
