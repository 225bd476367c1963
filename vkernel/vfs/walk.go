package vfs

import (
	"strings"

	"megabinary.dev/vkernel/linux"
)

// maxLinks is how many symlinks one walk may follow (MAXSYMLINKS).
const maxLinks = 40

// walked is where a path walk ended.
type walked struct {
	parent Path     // directory of the last component; zero if that is no name
	name   string   // last component; empty for "/", "." and ".."
	dots   string   // the last component if it is "." or "..", "/" for the root
	loc    Location // what is there; zero if nothing is
	slash  bool     // the path ended with a slash
}

func (w *walked) exists() bool { return !w.loc.Path.IsZero() }

// lastLink says what to do with a symlink as last component.
type lastLink int

const (
	noFollow lastLink = iota // follow it only if a slash comes after
	follow                   // follow it
	keepLink                 // never follow it: the call changes the name itself
)

func followIf(f bool) lastLink {
	if f {
		return follow
	}
	return noFollow
}

// resolve walks path from at, which is c.Cwd if zero. The last component need
// not exist.
func (c *Caller) resolve(at Path, path string, last lastLink) (walked, error) {
	if path == "" {
		return walked{}, linux.ENOENT
	}
	if len(path) >= linux.PATH_MAX {
		return walked{}, linux.ENAMETOOLONG
	}
	if at.IsZero() {
		at = c.Cwd
	}
	c.links, c.base = 0, at
	if c.Resolve&linux.RESOLVE_IN_ROOT != 0 {
		c.Root = at // a Caller is made per call
	}
	w, err := c.walk(at, path, last)
	if err == nil {
		err = c.guardWalk(&w)
	}
	if err != nil {
		return walked{}, err
	}
	return w, nil
}

func (c *Caller) walk(at Path, path string, lastly lastLink) (walked, error) {
	if path[0] == '/' {
		if err := c.mayCross(at, c.Root, c.Resolve&linux.RESOLVE_BENEATH != 0); err != nil {
			return walked{}, err
		}
		at = c.Root
		path = strings.TrimLeft(path, "/")
		if path == "" {
			return walked{dots: "/", loc: Location{Path: at}, slash: true}, nil
		}
	}
	for {
		name, rest, slash := cutComponent(path)
		last := rest == ""
		w, err := c.step(at, name, !last || lastly == follow || lastly == noFollow && slash)
		if err != nil {
			return walked{}, err
		}
		if last {
			w.slash = w.slash || slash
			if _, ok := w.loc.Inode.(Dir); slash && lastly != keepLink && w.exists() && !ok {
				return walked{}, linux.ENOTDIR
			}
			return w, nil
		}
		if !w.exists() {
			return walked{}, linux.ENOENT
		}
		if _, ok := w.loc.Inode.(Dir); !ok {
			return walked{}, linux.ENOTDIR
		}
		at, path = w.loc.Path, rest
	}
}

// cutComponent splits a path that does not begin with a slash.
func cutComponent(path string) (name, rest string, slash bool) {
	i := strings.IndexByte(path, '/')
	if i < 0 {
		return path, "", false
	}
	return path[:i], strings.TrimLeft(path[i:], "/"), true
}

// step looks up one component of directory at.
func (c *Caller) step(at Path, name string, followLink bool) (walked, error) {
	dir, err := at.Dir()
	if err != nil {
		return walked{}, err
	}
	if err := c.checkDir(dir, MayExec); err != nil {
		return walked{}, err
	}
	switch name {
	case ".":
		return walked{dots: name, loc: Location{Path: at}}, nil
	case "..":
		up, err := parentOf(at, c.Root)
		if err != nil {
			return walked{}, err
		}
		if err := c.mayCross(at, up, c.Resolve&linux.RESOLVE_BENEATH != 0 && sameInode(at, c.base)); err != nil {
			return walked{}, err
		}
		return walked{dots: name, loc: Location{Path: up}}, nil
	}
	if len(name) > linux.NAME_MAX {
		return walked{}, linux.ENAMETOOLONG
	}
	w := walked{parent: at, name: name}
	inode, err := dir.Lookup(name)
	if err == linux.ENOENT {
		return w, nil
	}
	if err != nil {
		return walked{}, err
	}
	if link, ok := inode.(Symlink); ok && followLink {
		return c.followLink(at, link)
	}
	w.loc = Location{Path: at.Mount.ns.into(Path{at.Mount, inode}), Parent: dir, Name: name}
	return w, c.mayCross(at, w.loc.Path, false)
}

// followLink walks a symlink that was found in directory at.
func (c *Caller) followLink(at Path, link Symlink) (walked, error) {
	if c.links++; c.links > maxLinks || c.Resolve&linux.RESOLVE_NO_SYMLINKS != 0 {
		return walked{}, linux.ELOOP
	}
	if m, ok := link.(MagicLink); ok {
		if c.Resolve&linux.RESOLVE_NO_MAGICLINKS != 0 {
			return walked{}, linux.ELOOP
		}
		if c.Resolve&(linux.RESOLVE_BENEATH|linux.RESOLVE_IN_ROOT) != 0 {
			return walked{}, linux.EXDEV
		}
		loc, err := m.Follow(c)
		if err != nil {
			return walked{}, err
		}
		return walked{dots: "magic", loc: loc}, c.mayCross(at, loc.Path, false)
	}
	target, err := link.Readlink(c)
	if err != nil {
		return walked{}, err
	}
	if target == "" {
		return walked{}, linux.ENOENT
	}
	return c.walk(at, target, follow)
}

// mayCross applies RESOLVE_NO_XDEV to a step, and RESOLVE_BENEATH if the step
// leaves the tree.
func (c *Caller) mayCross(from, to Path, leaves bool) error {
	if leaves || c.Resolve&linux.RESOLVE_NO_XDEV != 0 && from.Mount != to.Mount {
		return linux.EXDEV
	}
	return nil
}

func (c *Caller) checkDir(dir Dir, want uint32) error {
	st, err := dir.Stat()
	if err != nil {
		return err
	}
	return c.Creds.CheckAccess(&st, want)
}

// Walk returns what path names, seen from at (zero: the working directory).
func (c *Caller) Walk(at Path, path string, followLast bool) (Location, error) {
	w, err := c.resolve(at, path, followIf(followLast))
	if err != nil {
		return Location{}, err
	}
	if !w.exists() {
		return Location{}, linux.ENOENT
	}
	return w.loc, nil
}

// WalkDir is Walk for a directory that the caller may search, as chdir(2) needs
// it.
func (c *Caller) WalkDir(at Path, path string) (Path, error) {
	loc, err := c.Walk(at, path, true)
	if err != nil {
		return Path{}, err
	}
	return loc.Path, c.CheckSearch(loc.Path)
}

// CheckSearch says whether p is a directory that the caller may search.
func (c *Caller) CheckSearch(p Path) error {
	dir, err := p.Dir()
	if err != nil {
		return err
	}
	return c.checkDir(dir, MayExec)
}

// Access implements access(2): want is MayRead and so on. The caller has put
// the ids to check in c.Creds.
func (c *Caller) Access(p Path, want uint32) error {
	st, err := p.Inode.Stat()
	if err != nil {
		return err
	}
	if want&MayWrite != 0 && p.Mount != nil && p.Mount.ReadOnly {
		switch st.Mode & linux.S_IFMT {
		case linux.S_IFREG, linux.S_IFDIR, linux.S_IFLNK:
			return linux.EROFS
		}
	}
	return c.Creds.CheckAccess(&st, want)
}
