package vfs

import (
	"slices"

	"megabinary.dev/vkernel/linux"
)

// AllCaps has the bit of every capability.
const AllCaps uint64 = 1<<(linux.CAP_LAST_CAP+1) - 1

// Creds are a task's credentials (credentials(7), capabilities(7)). They are
// never changed in place: a change is a copy.
type Creds struct {
	UID, EUID, SUID, FSUID uint32
	GID, EGID, SGID, FSGID uint32
	Groups                 []uint32

	Permitted, Effective, Inheritable, Bounding, Ambient uint64

	SecureBits uint32
}

// NewCreds returns the credentials of a user; uid 0 has every capability.
func NewCreds(uid, gid uint32, groups ...uint32) *Creds {
	c := &Creds{UID: uid, EUID: uid, SUID: uid, FSUID: uid, GID: gid, EGID: gid, SGID: gid, FSGID: gid,
		Groups: groups, Bounding: AllCaps}
	if uid == 0 {
		c.Permitted, c.Effective = AllCaps, AllCaps
	}
	return c
}

// Clone returns a copy to change.
func (c *Creds) Clone() *Creds {
	d := *c
	d.Groups = slices.Clone(c.Groups)
	return &d
}

// HasCap says whether a capability (linux.CAP_...) is effective.
func (c *Creds) HasCap(n uint) bool { return c.Effective>>n&1 != 0 }

// InGroup says whether gid is the file system group or a supplementary one.
func (c *Creds) InGroup(gid uint32) bool { return c.FSGID == gid || slices.Contains(c.Groups, gid) }

// Permission bits, as access(2) has them.
const (
	MayExec  = linux.X_OK
	MayWrite = linux.W_OK
	MayRead  = linux.R_OK
)

// CheckAccess applies generic_permission: owner, group, others, then the
// capabilities that override.
func (c *Creds) CheckAccess(st *linux.Stat, want uint32) error {
	perm := st.Mode & 7
	switch {
	case c.FSUID == st.UID:
		perm = st.Mode >> 6 & 7
	case c.InGroup(st.GID):
		perm = st.Mode >> 3 & 7
	}
	if perm&want == want {
		return nil
	}
	dir := st.Mode&linux.S_IFMT == linux.S_IFDIR
	if c.HasCap(linux.CAP_DAC_OVERRIDE) && (want&MayExec == 0 || dir || st.Mode&0o111 != 0) {
		return nil
	}
	if c.HasCap(linux.CAP_DAC_READ_SEARCH) && (want == MayRead || dir && want&MayWrite == 0) {
		return nil
	}
	return linux.EACCES
}

// isOwner says whether c may change what only the owner may change.
func (c *Creds) isOwner(st *linux.Stat) bool {
	return c.FSUID == st.UID || c.HasCap(linux.CAP_FOWNER)
}
