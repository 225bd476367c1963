package layers

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/linux"
)

// Map returns the bytes of the regular file at an absolute path, of at most
// limit bytes, without following symlinks, and what gives them up: they are
// those of the layer's file, mapped, where the host can do that. The error for a
// file that is not there is linux.ENOENT.
func (t *Tree) Map(path string, limit int64) ([]byte, func() error, error) {
	node := t.Node(1)
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		i, ok := slices.BinarySearchFunc(node.Entries, name, func(e mem.BaseEntry, n string) int { return strings.Compare(e.Name, n) })
		if !ok {
			return nil, nil, linux.ENOENT
		}
		node = t.Node(node.Entries[i].Ino)
	}
	if node.Mode&linux.S_IFMT != linux.S_IFREG {
		return nil, nil, linux.ENOENT
	}
	if node.Size > limit {
		return nil, nil, fmt.Errorf("its %d bytes are more than the %d allowed", node.Size, limit)
	}
	nothing := func() error { return nil }
	if node.Size == 0 {
		return nil, nothing, nil
	}
	if r, ok := node.Content.(*fileRange); ok {
		if b, unmap, err := mapFile(r.file, r.off, int(node.Size)); err == nil {
			return b, unmap, nil
		}
	}
	b := make([]byte, node.Size)
	if _, err := io.ReadFull(io.NewSectionReader(node.Content, 0, node.Size), b); err != nil {
		return nil, nil, fmt.Errorf("reading it: %w", err)
	}
	return b, nothing, nil
}
