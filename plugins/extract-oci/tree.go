package extractoci

import (
	"archive/tar"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"megabinary.dev/sdk/artifact"
)

// The types of artifact.FileEntry.
const (
	typeFile    = "file"
	typeDir     = "dir"
	typeSymlink = "symlink"
	typeChar    = "char"
	typeBlock   = "block"
	typeFIFO    = "fifo"
)

// maxName limits a path's length in bytes, as Linux does.
const maxName = 4096

// maxSymlinks limits how many links one path may go through, as Linux does.
const maxSymlinks = 40

// maxTreeDepth limits how deep symbolic links may let a tree grow.
const maxTreeDepth = 1024

// splitName cuts an entry's name into components. Absolute names are taken from
// the root, as container runtimes do; those with ".." are refused.
func splitName(name string, maxDepth int) ([]string, error) {
	if len(name) > maxName {
		return nil, fmt.Errorf("its name has %d bytes, more than %d", len(name), maxName)
	}
	if strings.ContainsRune(name, 0) {
		return nil, errors.New("its name holds a NUL byte")
	}
	var parts []string
	for _, part := range strings.Split(name, "/") {
		switch part {
		case "", ".":
		case "..":
			return nil, errors.New(`its name holds "..", which could leave the root`)
		default:
			parts = append(parts, part)
		}
	}
	if len(parts) > maxDepth {
		return nil, fmt.Errorf("its name is %d components deep, more than the %d allowed (maxDepth)", len(parts), maxDepth)
	}
	return parts, nil
}

// entryOf converts a tar header, without path, digest and layer.
func entryOf(h *tar.Header) (artifact.FileEntry, error) {
	e := artifact.FileEntry{Mode: uint32(h.Mode & 0o7777), UID: h.Uid, GID: h.Gid}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		e.Type, e.Size = typeFile, h.Size
	case tar.TypeDir:
		e.Type = typeDir
	case tar.TypeSymlink:
		e.Type, e.Target = typeSymlink, h.Linkname
		if h.Linkname == "" || len(h.Linkname) > maxName || strings.ContainsRune(h.Linkname, 0) {
			return e, errors.New("a symbolic link with an empty or impossible target")
		}
	case tar.TypeChar:
		e.Type = typeChar
	case tar.TypeBlock:
		e.Type = typeBlock
	case tar.TypeFifo:
		e.Type = typeFIFO
	default:
		return e, fmt.Errorf("tar type %q is not known", h.Typeflag)
	}
	const prefix = "SCHILY.xattr."
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, prefix); ok {
			if e.Xattrs == nil {
				e.Xattrs = make(map[string]string)
			}
			e.Xattrs[name] = base64.StdEncoding.EncodeToString([]byte(value))
		}
	}
	return e, nil
}

// node is one name of the merged file system. Several names of one inode are
// several nodes with the same entry.
type node struct {
	entry    artifact.FileEntry
	children map[string]*node // type dir
	layer    int              // that last wrote it
}

// tree is the file system that the layers up to now make.
type tree struct {
	root *node
}

// Permissions of directories that no layer has an entry for.
const impliedMode = 0o755

func newDir(layer int) *node {
	return &node{entry: artifact.FileEntry{Type: typeDir, Mode: impliedMode, Layer: layer}, children: make(map[string]*node), layer: layer}
}

func newTree() *tree { return &tree{root: newDir(0)} }

// dir returns the directory at parts, following symbolic links inside of the
// root as a container would, and makes what is missing.
func (t *tree) dir(parts []string, layer int, create bool) (*node, error) {
	links := 0
	at := []*node{t.root} // the way from the root
	todo := slices.Clone(parts)
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..": // of a link's target; at the root it stays there
			at = at[:max(1, len(at)-1)]
			continue
		}
		here := at[len(at)-1]
		next := here.children[part]
		switch {
		case next == nil && !create:
			return nil, nil
		case next == nil:
			next = newDir(layer)
			here.children[part] = next
		case next.entry.Type == typeSymlink:
			if links++; links > maxSymlinks {
				return nil, fmt.Errorf("its directory goes through more than %d symbolic links", maxSymlinks)
			}
			if strings.HasPrefix(next.entry.Target, "/") {
				at = at[:1]
			}
			todo = append(strings.Split(next.entry.Target, "/"), todo...)
			continue
		case next.entry.Type != typeDir:
			return nil, fmt.Errorf("%q on its way is a %s, not a directory", part, next.entry.Type)
		}
		if at = append(at, next); len(at) > maxTreeDepth {
			return nil, fmt.Errorf("its directory is more than %d levels deep", maxTreeDepth)
		}
	}
	return at[len(at)-1], nil
}

// put adds or replaces an entry. A directory over a directory keeps what is in it.
func (t *tree) put(parts []string, entry artifact.FileEntry, layer int) error {
	if len(parts) == 0 {
		if entry.Type != typeDir {
			return fmt.Errorf("the root is a %s", entry.Type)
		}
		t.root.entry, t.root.layer = entry, layer
		return nil
	}
	dir, err := t.dir(parts[:len(parts)-1], layer, true)
	if err != nil {
		return err
	}
	name := parts[len(parts)-1]
	n := &node{entry: entry, layer: layer}
	if entry.Type == typeDir {
		n.children = make(map[string]*node)
		if old := dir.children[name]; old != nil && old.entry.Type == typeDir {
			n.children = old.children
		}
	}
	dir.children[name] = n
	return nil
}

// link adds another name for what target names. A link to a symbolic link is
// that link.
func (t *tree) link(parts, target []string, layer int) error {
	if len(parts) == 0 || len(target) == 0 {
		return errors.New("a hard link of or to the root")
	}
	dir, err := t.dir(target[:len(target)-1], layer, false)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", strings.Join(target, "/"), err)
	}
	var old *node
	if dir != nil {
		old = dir.children[target[len(target)-1]]
	}
	if old == nil {
		return fmt.Errorf("a hard link to %q, which does not exist", strings.Join(target, "/"))
	}
	if old.entry.Type == typeDir {
		return fmt.Errorf("a hard link to %q, which is a directory", strings.Join(target, "/"))
	}
	entry := old.entry
	entry.Layer = layer
	return t.put(parts, entry, layer)
}

// The names of whiteouts.
const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh." // aufs' own files, and the opaque mark
	whiteoutOpaque = ".wh..wh..opq"
)

// whiteout handles an entry that removes what lower layers have. It says
// whether the entry was one.
func (t *tree) whiteout(parts []string, layer int) (bool, error) {
	for _, part := range parts[:max(0, len(parts)-1)] {
		if strings.HasPrefix(part, whiteoutPrefix) {
			return strings.HasPrefix(part, whiteoutMeta), nil // below .wh..wh.plnk and the like
		}
	}
	if len(parts) == 0 {
		return false, nil
	}
	name := parts[len(parts)-1]
	removed, ok := strings.CutPrefix(name, whiteoutPrefix)
	if !ok {
		return false, nil
	}
	if strings.HasPrefix(name, whiteoutMeta) && name != whiteoutOpaque {
		return true, nil
	}
	if removed == "" || removed == "." || removed == ".." {
		return true, fmt.Errorf("a whiteout of %q", removed)
	}
	dir, err := t.dir(parts[:len(parts)-1], layer, name == whiteoutOpaque)
	if err != nil || dir == nil {
		return true, err
	}
	if name == whiteoutOpaque {
		removeLower(dir, layer)
		return true, nil
	}
	if n := dir.children[removed]; n != nil && !keep(n, layer) {
		delete(dir.children, removed)
	}
	return true, nil
}

// removeLower removes what lower layers have in a directory.
func removeLower(dir *node, layer int) {
	for name, n := range dir.children {
		if !keep(n, layer) {
			delete(dir.children, name)
		}
	}
}

// keep says whether a node, or anything in it, is this layer's own; it removes
// from it what is not.
func keep(n *node, layer int) bool {
	if n.children == nil {
		return n.layer == layer
	}
	removeLower(n, layer)
	return n.layer == layer || len(n.children) > 0
}

// entries returns all entries, sorted by path.
func (t *tree) entries() []artifact.FileEntry {
	var all []artifact.FileEntry
	var walk func(name string, n *node)
	walk = func(name string, n *node) {
		entry := n.entry
		entry.Path = name
		all = append(all, entry)
		for _, child := range slices.Sorted(maps.Keys(n.children)) {
			walk(path.Join(name, child), n.children[child])
		}
	}
	walk("/", t.root)
	slices.SortFunc(all, func(a, b artifact.FileEntry) int { return strings.Compare(a.Path, b.Path) })
	return all
}
