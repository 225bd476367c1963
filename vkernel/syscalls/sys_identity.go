package syscalls

import (
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// unchanged is the id that leaves an id as it is.
const unchanged = ^uint32(0)

// changeCreds replaces t's credentials by a changed copy and drops privileges
// that go with the change of user (cap_emulate_setxuid).
func changeCreds(t *kernel.Task, change func(*vfs.Creds)) error {
	old := t.Creds()
	n := old.Clone()
	change(n)
	wasRoot := old.UID == 0 || old.EUID == 0 || old.SUID == 0
	isRoot := n.UID == 0 || n.EUID == 0 || n.SUID == 0
	if wasRoot && !isRoot {
		if !t.KeepCaps() {
			n.Permitted, n.Effective = 0, 0
		}
		n.Ambient = 0
	}
	if old.EUID == 0 && n.EUID != 0 {
		n.Effective = 0
	}
	if old.EUID != 0 && n.EUID == 0 {
		n.Effective = n.Permitted
	}
	t.SetCreds(n)
	return nil
}

func getuid(t *kernel.Task, _ kernel.Args) (uint64, error)  { return uint64(t.Creds().UID), nil }
func geteuid(t *kernel.Task, _ kernel.Args) (uint64, error) { return uint64(t.Creds().EUID), nil }
func getgid(t *kernel.Task, _ kernel.Args) (uint64, error)  { return uint64(t.Creds().GID), nil }
func getegid(t *kernel.Task, _ kernel.Args) (uint64, error) { return uint64(t.Creds().EGID), nil }

// setuid implements setuid(2).
func setuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	id, c := a.Uint(0), t.Creds()
	switch {
	case id == unchanged:
		return 0, linux.EINVAL
	case c.HasCap(linux.CAP_SETUID):
		return 0, changeCreds(t, func(n *vfs.Creds) { n.UID, n.EUID, n.SUID, n.FSUID = id, id, id, id })
	case id == c.UID || id == c.SUID:
		return 0, changeCreds(t, func(n *vfs.Creds) { n.EUID, n.FSUID = id, id })
	}
	return 0, linux.EPERM
}

// setgid implements setgid(2).
func setgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	id, c := a.Uint(0), t.Creds()
	switch {
	case id == unchanged:
		return 0, linux.EINVAL
	case c.HasCap(linux.CAP_SETGID):
		return 0, changeCreds(t, func(n *vfs.Creds) { n.GID, n.EGID, n.SGID, n.FSGID = id, id, id, id })
	case id == c.GID || id == c.SGID:
		return 0, changeCreds(t, func(n *vfs.Creds) { n.EGID, n.FSGID = id, id })
	}
	return 0, linux.EPERM
}

// among reports whether id is one that an unprivileged caller may set.
func among(id uint32, allowed ...uint32) bool {
	if id == unchanged {
		return true
	}
	for _, v := range allowed {
		if id == v {
			return true
		}
	}
	return false
}

func assign(dst *uint32, id uint32) {
	if id != unchanged {
		*dst = id
	}
}

// setreuid implements setreuid(2).
func setreuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	r, e, c := a.Uint(0), a.Uint(1), t.Creds()
	if !c.HasCap(linux.CAP_SETUID) && (!among(r, c.UID, c.EUID) || !among(e, c.UID, c.EUID, c.SUID)) {
		return 0, linux.EPERM
	}
	return 0, changeCreds(t, func(n *vfs.Creds) {
		assign(&n.UID, r)
		assign(&n.EUID, e)
		if r != unchanged || e != unchanged && e != c.UID {
			n.SUID = n.EUID
		}
		n.FSUID = n.EUID
	})
}

// setregid implements setregid(2).
func setregid(t *kernel.Task, a kernel.Args) (uint64, error) {
	r, e, c := a.Uint(0), a.Uint(1), t.Creds()
	if !c.HasCap(linux.CAP_SETGID) && (!among(r, c.GID, c.EGID) || !among(e, c.GID, c.EGID, c.SGID)) {
		return 0, linux.EPERM
	}
	return 0, changeCreds(t, func(n *vfs.Creds) {
		assign(&n.GID, r)
		assign(&n.EGID, e)
		if r != unchanged || e != unchanged && e != c.GID {
			n.SGID = n.EGID
		}
		n.FSGID = n.EGID
	})
}

// setresuid implements setresuid(2).
func setresuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Creds()
	if !c.HasCap(linux.CAP_SETUID) {
		for i := range 3 {
			if !among(a.Uint(i), c.UID, c.EUID, c.SUID) {
				return 0, linux.EPERM
			}
		}
	}
	return 0, changeCreds(t, func(n *vfs.Creds) {
		assign(&n.UID, a.Uint(0))
		assign(&n.EUID, a.Uint(1))
		assign(&n.SUID, a.Uint(2))
		n.FSUID = n.EUID
	})
}

// setresgid implements setresgid(2).
func setresgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Creds()
	if !c.HasCap(linux.CAP_SETGID) {
		for i := range 3 {
			if !among(a.Uint(i), c.GID, c.EGID, c.SGID) {
				return 0, linux.EPERM
			}
		}
	}
	return 0, changeCreds(t, func(n *vfs.Creds) {
		assign(&n.GID, a.Uint(0))
		assign(&n.EGID, a.Uint(1))
		assign(&n.SGID, a.Uint(2))
		n.FSGID = n.EGID
	})
}

func copyOutIDs(t *kernel.Task, a kernel.Args, ids ...uint32) (uint64, error) {
	for i, id := range ids {
		if err := t.CopyOut(a.Addr(i), le.AppendUint32(nil, id)); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// getresuid implements getresuid(2).
func getresuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Creds()
	return copyOutIDs(t, a, c.UID, c.EUID, c.SUID)
}

// getresgid implements getresgid(2).
func getresgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Creds()
	return copyOutIDs(t, a, c.GID, c.EGID, c.SGID)
}

// setfsuid implements setfsuid(2), which returns the old id and no error.
func setfsuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	id, c := a.Uint(0), t.Creds()
	old := uint64(c.FSUID)
	if id != unchanged && (c.HasCap(linux.CAP_SETUID) || among(id, c.UID, c.EUID, c.SUID, c.FSUID)) {
		return old, changeCreds(t, func(n *vfs.Creds) { n.FSUID = id })
	}
	return old, nil
}

// setfsgid implements setfsgid(2), which returns the old id and no error.
func setfsgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	id, c := a.Uint(0), t.Creds()
	old := uint64(c.FSGID)
	if id != unchanged && (c.HasCap(linux.CAP_SETGID) || among(id, c.GID, c.EGID, c.SGID, c.FSGID)) {
		return old, changeCreds(t, func(n *vfs.Creds) { n.FSGID = id })
	}
	return old, nil
}

// getgroups implements getgroups(2).
func getgroups(t *kernel.Task, a kernel.Args) (uint64, error) {
	groups, size := t.Creds().Groups, int(a.Int(0))
	if size < 0 {
		return 0, linux.EINVAL
	}
	if size == 0 {
		return uint64(len(groups)), nil
	}
	if size < len(groups) {
		return 0, linux.EINVAL
	}
	var b []byte
	for _, g := range groups {
		b = le.AppendUint32(b, g)
	}
	return uint64(len(groups)), t.CopyOut(a.Addr(1), b)
}

// setgroups implements setgroups(2).
func setgroups(t *kernel.Task, a kernel.Args) (uint64, error) {
	if !t.Creds().HasCap(linux.CAP_SETGID) {
		return 0, linux.EPERM
	}
	n := a.Uint(0)
	if n > linux.NGROUPS_MAX {
		return 0, linux.EINVAL
	}
	b := make([]byte, 4*n)
	if err := t.CopyIn(a.Addr(1), b); err != nil {
		return 0, err
	}
	groups := make([]uint32, n)
	for i := range groups {
		groups[i] = le.Uint32(b[4*i:])
	}
	return 0, changeCreds(t, func(c *vfs.Creds) { c.Groups = groups })
}

// Versions of capget(2)'s header (linux/capability.h).
const (
	capVersion1 = 0x1998_0330
	capVersion2 = 0x2007_1026
	capVersion3 = 0x2008_0522
)

// capHeader reads the header of capget and capset and returns how many words
// each set has. An unknown version is answered with the one to use.
func capHeader(t *kernel.Task, addr uint64) (words, pid int, err error) {
	var b [8]byte
	if err := t.CopyIn(addr, b[:]); err != nil {
		return 0, 0, err
	}
	pid = int(int32(le.Uint32(b[4:])))
	switch le.Uint32(b[:]) {
	case capVersion1:
		return 1, pid, nil
	case capVersion2, capVersion3:
		return 2, pid, nil
	}
	if err := t.CopyOut(addr, le.AppendUint32(nil, capVersion3)); err != nil {
		return 0, 0, err
	}
	return 0, 0, linux.EINVAL
}

// capget implements capget(2).
func capget(t *kernel.Task, a kernel.Args) (uint64, error) {
	words, pid, err := capHeader(t, a.Addr(0))
	if err != nil {
		if err == linux.EINVAL && a.Addr(1) == 0 {
			return 0, nil // a query of the version
		}
		return 0, err
	}
	c := t.Creds()
	if pid != 0 && pid != t.TID() {
		other := t.Container().Task(pid)
		if pid < 0 {
			return 0, linux.EINVAL
		}
		if other == nil {
			return 0, linux.ESRCH
		}
		c = other.Creds()
	}
	if a.Addr(1) == 0 {
		return 0, nil
	}
	var b []byte
	for i := range words {
		for _, set := range [3]uint64{c.Effective, c.Permitted, c.Inheritable} {
			b = le.AppendUint32(b, uint32(set>>(32*i)))
		}
	}
	return 0, t.CopyOut(a.Addr(1), b)
}

// capset implements capset(2).
func capset(t *kernel.Task, a kernel.Args) (uint64, error) {
	words, pid, err := capHeader(t, a.Addr(0))
	if err != nil {
		return 0, err
	}
	if pid != 0 && pid != t.TID() {
		return 0, linux.EPERM
	}
	b := make([]byte, 12*words)
	if err := t.CopyIn(a.Addr(1), b); err != nil {
		return 0, err
	}
	var sets [3]uint64
	for i := range words {
		for j := range sets {
			sets[j] |= uint64(le.Uint32(b[12*i+4*j:])) << (32 * i)
		}
	}
	effective, permitted, inheritable := sets[0], sets[1], sets[2]
	c := t.Creds()
	if effective&^permitted != 0 || permitted&^c.Permitted != 0 ||
		inheritable&^(c.Inheritable|c.Permitted) != 0 || inheritable&^(c.Inheritable|c.Bounding) != 0 {
		return 0, linux.EPERM
	}
	n := c.Clone()
	n.Effective, n.Permitted, n.Inheritable = effective, permitted, inheritable
	n.Ambient &= permitted & inheritable
	t.SetCreds(n)
	return 0, nil
}
