package vfs

import "strings"

// MayMove is asked of a Caller's Guard, together with MayWrite, for a name that
// goes or that another one joins: with a directory, all below it moves.
const MayMove = 8

// guard asks c.Guard about what was found at l. What has no name in the tree,
// such as a pipe, is nobody's business.
func (c *Caller) guard(l Location, want uint32) error {
	if c.Guard == nil || l.Mount == nil || l.Label != "" {
		return nil
	}
	name, _ := strings.CutSuffix(PathOf(l, l.Mount.ns.Root()), " (deleted)")
	if !strings.HasPrefix(name, "/") {
		return nil
	}
	return c.Guard(name, want)
}

// CheckGuard asks about a use that opens nothing: MayRead to run a program,
// MayWrite to connect to a socket.
func (c *Caller) CheckGuard(l Location, want uint32) error { return c.guard(l, want) }

// guardName asks about a name in a directory, which need not exist.
func (c *Caller) guardName(dir Path, name string, want uint32) error {
	if c.Guard == nil || dir.Mount == nil {
		return nil
	}
	at, err := PathOfDir(dir, dir.Mount.ns.Root())
	if err != nil || !strings.HasPrefix(at, "/") {
		return err
	}
	return c.Guard(strings.TrimSuffix(at, "/")+"/"+name, want)
}

// guardWalk asks whether the end of a walk may be found.
func (c *Caller) guardWalk(w *walked) error {
	switch {
	case c.Guard == nil || w.dots == "magic":
		return nil
	case w.exists():
		return c.guard(w.loc, 0)
	}
	return c.guardName(w.parent, w.name, 0)
}
