package vkernel

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// maxAccounts bounds /etc/passwd and /etc/group, in bytes.
const maxAccounts = 1 << 20

// lookupUser reads docker's --user: "", UID, UID:GID, name or name:group, with
// names from the image's /etc/passwd and /etc/group. It returns the home
// directory, too.
func lookupUser(c *vfs.Caller, user string) (creds *vfs.Creds, home string, err error) {
	name, group, hasGroup := strings.Cut(user, ":")
	if name == "" {
		name = "0"
	}
	passwd := accounts(c.Root, "/etc/passwd")
	var uid, gid uint32
	home = "/"
	id, idErr := strconv.ParseUint(name, 10, 31)
	uid = uint32(id)
	found := false
	for _, f := range passwd {
		if len(f) < 6 || f[0] != name && (idErr != nil || f[2] != name) {
			continue
		}
		u, err1 := strconv.ParseUint(f[2], 10, 31)
		g, err2 := strconv.ParseUint(f[3], 10, 31)
		if err1 == nil && err2 == nil {
			uid, gid, found = uint32(u), uint32(g), true
			name = f[0]
			if f[5] != "" {
				home = f[5]
			}
			break
		}
	}
	if !found && idErr != nil {
		return nil, "", fmt.Errorf("unable to find user %s: no matching entries in passwd file", name)
	}
	if !found && uid == 0 {
		home = "/root"
	}
	var extra []uint32
	groups := accounts(c.Root, "/etc/group")
	if hasGroup {
		if gid, err = lookupGroup(groups, group); err != nil {
			return nil, "", err
		}
	} else {
		extra = memberships(groups, name, gid)
	}
	return vfs.NewCreds(uid, gid, extra...), home, nil
}

func lookupGroup(groups [][]string, group string) (uint32, error) {
	id, idErr := strconv.ParseUint(group, 10, 31)
	for _, f := range groups {
		if len(f) >= 3 && f[0] == group {
			if g, err := strconv.ParseUint(f[2], 10, 31); err == nil {
				return uint32(g), nil
			}
		}
	}
	if idErr != nil {
		return 0, fmt.Errorf("unable to find group %s: no matching entries in group file", group)
	}
	return uint32(id), nil
}

// memberships returns the groups that list name, gid not among them.
func memberships(groups [][]string, name string, gid uint32) []uint32 {
	var ids []uint32
	for _, f := range groups {
		if len(f) < 4 {
			continue
		}
		g, err := strconv.ParseUint(f[2], 10, 31)
		if err != nil || uint32(g) == gid {
			continue
		}
		for _, member := range strings.Split(f[3], ",") {
			if member == name {
				ids = append(ids, uint32(g))
				break
			}
		}
	}
	return ids
}

// accounts returns the lines of an account file, split at colons; none if the
// image has no such file.
func accounts(root vfs.Path, file string) [][]string {
	b, err := readFile(root, file, maxAccounts)
	if err != nil {
		return nil
	}
	var lines [][]string
	for _, line := range strings.Split(string(b), "\n") {
		if line != "" && line[0] != '#' {
			lines = append(lines, strings.Split(line, ":"))
		}
	}
	return lines
}

// makeDir returns the directory at p, which is made with its parents if it is
// not there.
func makeDir(c *vfs.Caller, p string) (vfs.Path, error) {
	p = path.Clean("/" + p)
	at := "/"
	for _, name := range strings.Split(strings.Trim(p, "/"), "/") {
		if name == "" {
			continue
		}
		at = path.Join(at, name)
		if err := c.Mkdir(vfs.Path{}, at, 0o755); err != nil && linux.ErrnoOf(err) != linux.EEXIST {
			return vfs.Path{}, err
		}
	}
	return c.WalkDir(vfs.Path{}, p)
}
