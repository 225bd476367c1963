package layers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/linux"
)

// Tree is the merged tree of an image's layers. It implements mem.Base and is
// safe for concurrent use.
type Tree struct {
	nodes []mem.BaseNode // nodes[ino-1]
	files []*os.File
	space uint64
}

// ContentSpace implements mem.Spaced.
func (t *Tree) ContentSpace() uint64 { return t.space }

// Node implements mem.Base.
func (t *Tree) Node(ino uint64) *mem.BaseNode {
	if ino == 0 || ino > uint64(len(t.nodes)) {
		return nil
	}
	return &t.nodes[ino-1]
}

// MaxIno implements mem.Base.
func (t *Tree) MaxIno() uint64 { return uint64(len(t.nodes)) }

// Close closes the layers. Nothing may be read afterwards.
func (t *Tree) Close() error {
	var errs []error
	for _, f := range t.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// builder merges layers, lowest first.
type builder struct {
	limits Limits
	root   *buildNode
	files  []*os.File
	count  int // entries so far
}

// buildNode is an inode while layers are merged. Hard links share one.
type buildNode struct {
	rec      record
	file     *os.File
	children map[string]*buildNode // of a directory

	ino   uint64
	nlink uint32
}

func (n *buildNode) isDir() bool  { return n.rec.mode&linux.S_IFMT == linux.S_IFDIR }
func (n *buildNode) isLink() bool { return n.rec.mode&linux.S_IFMT == linux.S_IFLNK }

func newBuilder(limits Limits) *builder {
	return &builder{limits: limits, root: newBuildDir()}
}

func newBuildDir() *buildNode {
	return &buildNode{rec: record{mode: linux.S_IFDIR | 0o755}, children: map[string]*buildNode{}}
}

func (b *builder) close() {
	for _, f := range b.files {
		f.Close()
	}
}

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
)

// add puts a layer over what is there. Its whiteouts come first, because they
// hide what lower layers have, wherever in the tar they stand.
func (b *builder) add(layer int, ix *index) error {
	if b.count += len(ix.entries); b.count > b.limits.Entries {
		return &LimitError{fmt.Sprintf("layers have more than %d entries", b.limits.Entries)}
	}
	var file *os.File
	if layer < len(b.files) {
		file = b.files[layer]
	}
	for i := range ix.entries {
		if err := b.whiteout(ix.entries[i].path); err != nil {
			return fmt.Errorf("entry %q: %w", shorten(ix.entries[i].path), err)
		}
	}
	for i := range ix.entries {
		r := &ix.entries[i]
		if strings.HasPrefix(path.Base(r.path), whiteoutPrefix) {
			continue
		}
		if err := b.place(r, file); err != nil {
			return fmt.Errorf("entry %q: %w", shorten(r.path), err)
		}
	}
	return nil
}

func (b *builder) whiteout(name string) error {
	base := path.Base(name)
	if !strings.HasPrefix(base, whiteoutPrefix) {
		return nil
	}
	dir, err := b.dir(path.Dir(name), false)
	if err != nil || dir == nil {
		return err // a whiteout in a directory that is not there hides nothing
	}
	if base == opaqueMarker {
		clear(dir.children)
		return nil
	}
	hidden := strings.TrimPrefix(base, whiteoutPrefix)
	if hidden == "" || hidden == "." || hidden == ".." {
		return errors.New("whiteout names no file")
	}
	if strings.HasPrefix(hidden, whiteoutPrefix) {
		return nil // .wh..wh.plnk and its like are aufs's own business
	}
	delete(dir.children, hidden)
	return nil
}

var (
	errLoop   = errors.New("its directory lies behind too many symlinks")
	errNotDir = errors.New("its directory is not a directory")
)

// dir returns the directory at a clean relative path, following symlinks as a
// chroot would. With make, it makes what is missing; else it returns nil then.
func (b *builder) dir(name string, make bool) (*buildNode, error) {
	links := 0
	return b.walkDir([]*buildNode{b.root}, name, make, &links)
}

// walkDir walks from the last of trail, the directories from the root on.
func (b *builder) walkDir(trail []*buildNode, name string, make bool, links *int) (*buildNode, error) {
	trail, err := b.walkTrail(trail, name, make, links)
	if err != nil || trail == nil {
		return nil, err
	}
	return trail[len(trail)-1], nil
}

func (b *builder) walkTrail(trail []*buildNode, name string, make bool, links *int) ([]*buildNode, error) {
	for _, part := range strings.Split(name, "/") {
		switch part {
		case "", ".":
			continue
		case "..":
			trail = trail[:max(1, len(trail)-1)]
			continue
		}
		if len(trail) > 1024 {
			return nil, errLoop
		}
		cur := trail[len(trail)-1]
		next := cur.children[part]
		switch {
		case next == nil && !make:
			return nil, nil
		case next == nil:
			if b.count++; b.count > b.limits.Entries {
				return nil, &LimitError{fmt.Sprintf("layers have more than %d entries", b.limits.Entries)}
			}
			next = newBuildDir()
			cur.children[part] = next
		case next.isLink():
			if *links++; *links > 40 {
				return nil, errLoop
			}
			if strings.HasPrefix(next.rec.link, "/") {
				trail = trail[:1]
			}
			var err error
			if trail, err = b.walkTrail(slices.Clone(trail), next.rec.link, make, links); err != nil || trail == nil {
				return nil, err
			}
			continue
		case !next.isDir():
			if !make {
				return nil, nil
			}
			return nil, errNotDir
		}
		trail = append(trail, next)
	}
	return trail, nil
}

func (b *builder) place(r *record, file *os.File) error {
	if r.path == "." {
		if r.mode&linux.S_IFMT != linux.S_IFDIR {
			return errors.New("the root is not a directory")
		}
		b.root.rec = *r
		return nil
	}
	dir, err := b.dir(path.Dir(r.path), true)
	if err != nil {
		return err
	}
	name := path.Base(r.path)
	if r.mode == 0 {
		return b.hardLink(dir, name, r)
	}
	old := dir.children[name]
	if r.mode&linux.S_IFMT == linux.S_IFDIR {
		if old == nil || !old.isDir() {
			old = newBuildDir()
			dir.children[name] = old
		}
		old.rec = *r
		return nil
	}
	dir.children[name] = &buildNode{rec: *r, file: file}
	return nil
}

func (b *builder) hardLink(dir *buildNode, name string, r *record) error {
	from, err := b.dir(path.Dir(r.link), false)
	if err != nil {
		return err
	}
	var target *buildNode
	if from != nil {
		target = from.children[path.Base(r.link)]
	}
	switch {
	case target == nil:
		return fmt.Errorf("hard link to %q, which is not there", shorten(r.link))
	case target.isDir():
		return fmt.Errorf("hard link to the directory %q", shorten(r.link))
	}
	dir.children[name] = target
	return nil
}

// fileRange is a regular file's content in a tar.
type fileRange struct {
	file *os.File
	off  int64
}

func (r *fileRange) ReadAt(p []byte, off int64) (int, error) { return r.file.ReadAt(p, r.off+off) }

var _ io.ReaderAt = (*fileRange)(nil)

// tree numbers the inodes depth first, in the order of names, so that the same
// layers give the same numbers.
func (b *builder) tree() *Tree {
	t := &Tree{files: b.files, space: mem.NewSpace()}
	b.root.ino = 1
	t.nodes = append(t.nodes, mem.BaseNode{})
	order := []*buildNode{b.root}
	t.number(b.root, 1, "", &order)
	for i, n := range order {
		fillNode(&t.nodes[i], n)
	}
	return t
}

// number fills in what depends on the place in the tree.
func (t *Tree) number(dir *buildNode, parent uint64, name string, order *[]*buildNode) {
	at := dir.ino - 1
	dir.nlink = 2
	t.nodes[at].Parent, t.nodes[at].Name = parent, name
	names := make([]string, 0, len(dir.children))
	for n := range dir.children {
		names = append(names, n)
	}
	slices.Sort(names)
	entries := make([]mem.BaseEntry, len(names))
	for i, n := range names {
		child := dir.children[n]
		if child.ino == 0 {
			t.nodes = append(t.nodes, mem.BaseNode{})
			child.ino = uint64(len(t.nodes))
			*order = append(*order, child)
		}
		if child.isDir() {
			dir.nlink++
			t.number(child, dir.ino, n, order)
		} else {
			child.nlink++
		}
		entries[i] = mem.BaseEntry{Name: n, Ino: child.ino, Type: linux.DirentType(child.rec.mode)}
	}
	t.nodes[at].Entries = entries
}

func fillNode(n *mem.BaseNode, b *buildNode) {
	r := &b.rec
	n.Ino, n.Mode, n.UID, n.GID, n.Nlink, n.Rdev, n.Mtime = b.ino, r.mode, r.uid, r.gid, b.nlink, r.rdev, r.mtime
	if len(r.xattrs) > 0 {
		n.Xattrs = map[string]string{}
		for _, x := range r.xattrs {
			n.Xattrs[x[0]] = x[1]
		}
	}
	switch r.mode & linux.S_IFMT {
	case linux.S_IFLNK:
		n.Target, n.Size = r.link, int64(len(r.link))
	case linux.S_IFREG:
		n.Size = r.size
		if r.size > 0 {
			n.Content = &fileRange{b.file, r.offset}
		}
	}
}
