package mem

import (
	"maps"
	"slices"
	"sort"

	"megabinary.dev/vkernel/linux"
)

// node is what an inode is at one time. A node belongs to the layer that made
// it; in any other it is frozen.
type node struct {
	owner               *layer // nil: of the base
	ino                 uint64
	mode, uid, gid      uint32
	nlink               uint32
	anonymous           bool // from O_TMPFILE: may get a first name
	rdev                uint64
	atime, mtime, ctime linux.Timespec
	version             uint64 // of the content; 0 is the base's
	size                int64
	target              string            // of a symlink
	xattrs              map[string]string // nil if none
	seals               uint32            // F_SEAL_...

	data content // of a regular file

	// Of a directory:
	parent uint64
	name   string
	names  *names
}

func (n *node) isDir() bool { return n.mode&linux.S_IFMT == linux.S_IFDIR }

func nodeOfBase(b *BaseNode) *node {
	n := &node{ino: b.Ino, mode: b.Mode, uid: b.UID, gid: b.GID, nlink: b.Nlink, rdev: b.Rdev, atime: b.Mtime,
		mtime: b.Mtime, ctime: b.Mtime, size: b.Size, target: b.Target, xattrs: b.Xattrs}
	switch b.Mode & linux.S_IFMT {
	case linux.S_IFDIR:
		n.size = 4096
		n.parent, n.name = b.Parent, b.Name
		n.names = &names{base: b.Entries}
	case linux.S_IFREG:
		n.data = content{base: b.Content, baseSize: b.Size}
	}
	return n
}

// thaw returns a copy that layer may change.
func (n *node) thaw(owner *layer) *node {
	c := *n
	c.owner = owner
	c.xattrs = maps.Clone(n.xattrs)
	c.data = n.data.clone()
	if n.names != nil {
		c.names = n.names.clone()
	}
	return &c
}

func (n *node) find(name string) (entry, bool) {
	if n.names == nil {
		return entry{}, false
	}
	return n.names.find(name)
}

// entry is a name in a directory. Cookies grow in the order of creation, so
// that a directory that is changed while it is listed shows every entry that
// stays exactly once.
type entry struct {
	name   string
	ino    uint64
	cookie int64
	kind   uint8 // linux.DT_...
}

// firstCookie is the cookie of the first entry behind "." (1) and ".." (2).
const firstCookie = 3

// names are the entries of a directory: those of the base as they are, until
// the first change.
type names struct {
	base []BaseEntry // sorted by name; nil once changed

	index map[string]int // position in list
	list  []entry        // by cookie; removed entries have no name
	dead  int            // removed entries in list
	next  int64          // next cookie
}

func newNames() *names { return &names{index: map[string]int{}, next: firstCookie} }

func (s *names) len() int {
	if s.index == nil {
		return len(s.base)
	}
	return len(s.index)
}

func (s *names) clone() *names {
	c := &names{index: make(map[string]int, s.len()), next: s.next}
	if s.index == nil {
		c.next = int64(len(s.base)) + firstCookie
		c.list = make([]entry, len(s.base))
		for i := range s.base {
			c.list[i] = s.baseEntry(i)
			c.index[s.base[i].Name] = i
		}
		return c
	}
	c.list = make([]entry, 0, len(s.index))
	for _, e := range s.list {
		if e.name != "" {
			c.index[e.name] = len(c.list)
			c.list = append(c.list, e)
		}
	}
	return c
}

func (s *names) baseEntry(i int) entry {
	b := &s.base[i]
	return entry{b.Name, b.Ino, int64(i) + firstCookie, b.Type}
}

func (s *names) find(name string) (entry, bool) {
	if s.index == nil {
		i, ok := sort.Find(len(s.base), func(i int) int {
			switch b := s.base[i].Name; {
			case name < b:
				return -1
			case name > b:
				return 1
			}
			return 0
		})
		if !ok {
			return entry{}, false
		}
		return s.baseEntry(i), true
	}
	i, ok := s.index[name]
	if !ok {
		return entry{}, false
	}
	return s.list[i], true
}

// add and remove need a set that was cloned.
func (s *names) add(name string, ino uint64, kind uint8) {
	s.index[name] = len(s.list)
	s.list = append(s.list, entry{name, ino, s.next, kind})
	s.next++
}

func (s *names) remove(name string) {
	i, ok := s.index[name]
	if !ok {
		panic("BUG: mem: removing a name that is not there")
	}
	delete(s.index, name)
	s.list[i] = entry{cookie: s.list[i].cookie}
	if s.dead++; s.dead > 32 && s.dead > len(s.list)/2 {
		s.list = slices.DeleteFunc(s.list, func(e entry) bool { return e.name == "" })
		s.dead = 0
		for i, e := range s.list {
			s.index[e.name] = i
		}
	}
}

// after returns up to max entries whose cookies are greater than cookie.
func (s *names) after(cookie int64, max int) []entry {
	var out []entry
	if s.index == nil {
		for i := int(cookie - firstCookie + 1); i < len(s.base) && len(out) < max; i++ {
			if i >= 0 {
				out = append(out, s.baseEntry(i))
			}
		}
		return out
	}
	i := sort.Search(len(s.list), func(i int) bool { return s.list[i].cookie > cookie })
	for ; i < len(s.list) && len(out) < max; i++ {
		if s.list[i].name != "" {
			out = append(out, s.list[i])
		}
	}
	return out
}
