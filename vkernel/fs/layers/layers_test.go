package layers

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/linux"
)

func makeTar(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := ""
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			// Linkname stands for the content in these tests.
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name, content string) tar.Header { return tar.Header{Name: name, Linkname: content} }
func folder(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}
}
func symlink(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
}
func hardlink(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}
}

func source(plain, blob []byte) Source {
	sum := sha256.Sum256(plain)
	return Source{DiffID: "sha256:" + hex.EncodeToString(sum[:]), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(blob)), nil
	}}
}

func openLayers(t testing.TB, tars ...[]byte) (*Tree, error) {
	t.Helper()
	var sources []Source
	for _, b := range tars {
		sources = append(sources, source(b, b))
	}
	tree, err := NewCache(t.TempDir(), Limits{}).Open(context.Background(), sources)
	if err == nil {
		t.Cleanup(func() { tree.Close() })
	}
	return tree, err
}

// list prints a tree: one line a name, with content or target.
func list(t *testing.T, tree *Tree) string {
	t.Helper()
	var lines []string
	var walk func(n *mem.BaseNode, at string)
	walk = func(n *mem.BaseNode, at string) {
		for _, e := range n.Entries {
			c := tree.Node(e.Ino)
			switch c.Mode & linux.S_IFMT {
			case linux.S_IFDIR:
				lines = append(lines, at+e.Name+"/")
				walk(c, at+e.Name+"/")
			case linux.S_IFLNK:
				lines = append(lines, at+e.Name+"->"+c.Target)
			case linux.S_IFREG:
				b := make([]byte, c.Size)
				if c.Size > 0 {
					if _, err := c.Content.ReadAt(b, 0); err != nil {
						t.Fatalf("reading %s: %v", e.Name, err)
					}
				}
				lines = append(lines, at+e.Name+"="+string(b))
			default:
				lines = append(lines, at+e.Name+"?")
			}
		}
	}
	walk(tree.Node(1), "")
	return strings.Join(lines, " ")
}

func TestMerge(t *testing.T) {
	for _, tc := range []struct {
		name   string
		layers [][]tar.Header
		want   string
	}{
		{"one layer", [][]tar.Header{{folder("a/"), file("a/f", "1"), file("./b", "2"), file("/c", "3")}}, "a/ a/f=1 b=2 c=3"},
		{"upper wins", [][]tar.Header{{file("a", "1")}, {file("a", "2")}}, "a=2"},
		{"last duplicate wins", [][]tar.Header{{file("a", "1"), file("a", "2")}}, "a=2"},
		{"missing parents", [][]tar.Header{{file("x/y/z", "1")}}, "x/ x/y/ x/y/z=1"},
		{"directory keeps children", [][]tar.Header{{file("d/f", "1")}, {folder("d")}}, "d/ d/f=1"},
		{"file replaces directory", [][]tar.Header{{file("d/f", "1")}, {file("d", "2")}}, "d=2"},
		{"directory replaces symlink", [][]tar.Header{{folder("e"), symlink("d", "e")}, {folder("d"), file("d/f", "1")}}, "d/ d/f=1 e/"},
		{"whiteout", [][]tar.Header{{file("a", "1"), file("b", "2")}, {file(".wh.a", "")}}, "b=2"},
		{"whiteout spares the same layer", [][]tar.Header{{file("a", "1")}, {file("a", "2"), file(".wh.a", "")}}, "a=2"},
		{"opaque", [][]tar.Header{{file("d/a", "1"), file("d/e/f", "1")}, {file("d/b", "2"), file("d/.wh..wh..opq", "")}}, "d/ d/b=2"},
		{"whiteout of nothing", [][]tar.Header{{file("a", "1")}, {file("x/.wh.y", "")}}, "a=1"},
		{"hard link", [][]tar.Header{{file("a", "1"), hardlink("b", "a")}}, "a=1 b=1"},
		{"hard link to a lower layer", [][]tar.Header{{file("a", "1")}, {hardlink("b", "/a")}}, "a=1 b=1"},
		{"parent is a symlink", [][]tar.Header{{folder("usr/bin"), symlink("bin", "usr/bin")}, {file("bin/x", "1")}}, "bin->usr/bin usr/ usr/bin/ usr/bin/x=1"},
		{"symlink cannot lead out", [][]tar.Header{{symlink("up", "../../.."), file("up/x", "1")}}, "up->../../.. x=1"},
		{"absolute symlink stays inside", [][]tar.Header{{symlink("l", "/tmp"), file("l/x", "1")}}, "l->/tmp tmp/ tmp/x=1"},
		{"case matters", [][]tar.Header{{file("a", "1"), file("A", "2")}}, "A=2 a=1"},
		{"long name", [][]tar.Header{{file(strings.Repeat("d/", 120)+"f", "1")}}, ""},
		{"fifo", [][]tar.Header{{{Name: "p", Typeflag: tar.TypeFifo}}}, "p?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var tars [][]byte
			for _, l := range tc.layers {
				tars = append(tars, makeTar(t, l...))
			}
			tree, err := openLayers(t, tars...)
			if err != nil {
				t.Fatal(err)
			}
			if got := list(t, tree); got != tc.want && tc.want != "" {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		headers    []tar.Header
	}{
		{"dotdot", "leads out of the layer", []tar.Header{file("../x", "1")}},
		{"dotdot inside", "leads out of the layer", []tar.Header{file("a/../../x", "1")}},
		{"hard link out", "leads out of the layer", []tar.Header{hardlink("a", "../../etc/passwd")}},
		{"hard link to nothing", "which is not there", []tar.Header{hardlink("a", "b")}},
		{"hard link to a directory", "to the directory", []tar.Header{folder("d"), hardlink("a", "d")}},
		{"whiteout of dotdot", "whiteout names no file", []tar.Header{file(".wh...", "")}},
		{"file as directory", "not a directory", []tar.Header{file("a", "1"), file("a/b", "1")}},
		{"symlink loop", "too many symlinks", []tar.Header{symlink("a", "b"), symlink("b", "a"), file("a/x", "1")}},
		{"long part", "longer than 255", []tar.Header{file(strings.Repeat("n", 256), "1")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tree, err := openLayers(t, makeTar(t, tc.headers...)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("tree %v, error %v; want %q", tree != nil, err, tc.want)
			}
		})
	}
}

func TestAttributes(t *testing.T) {
	tree, err := openLayers(t, makeTar(t,
		tar.Header{Name: "su", Linkname: "x", Mode: 0o4755, Uid: 7, Gid: 8, PAXRecords: map[string]string{"SCHILY.xattr.user.k": "v"}},
		hardlink("su2", "su"),
		tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666},
		folder("d"), folder("d/e")))
	if err != nil {
		t.Fatal(err)
	}
	root := tree.Node(1)
	find := func(name string) *mem.BaseNode {
		i := slices.IndexFunc(root.Entries, func(e mem.BaseEntry) bool { return e.Name == name })
		return tree.Node(root.Entries[i].Ino)
	}
	su := find("su")
	if su.Mode != linux.S_IFREG|0o4755 || su.UID != 7 || su.GID != 8 || su.Nlink != 2 || su.Xattrs["user.k"] != "v" {
		t.Errorf("su is %+v", su)
	}
	if find("su2") != su {
		t.Error("hard links are two inodes")
	}
	if d := find("null"); d.Rdev != linux.MakeDev(1, 3) || d.Mode&linux.S_IFMT != linux.S_IFCHR {
		t.Errorf("null is %+v", d)
	}
	if d := find("d"); d.Nlink != 3 || root.Nlink != 3 {
		t.Errorf("d has %d links, the root %d", d.Nlink, root.Nlink)
	}
}

func TestCompressedAndCached(t *testing.T) {
	plain := makeTar(t, file("f", "hello"))
	var gz, zs bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(plain)
	w.Close()
	z, _ := zstd.NewWriter(&zs)
	z.Write(plain)
	z.Close()
	for _, blob := range [][]byte{gz.Bytes(), zs.Bytes(), plain} {
		dir := t.TempDir()
		src := source(plain, blob)
		opened := 0
		open := src.Open
		src.Open = func() (io.ReadCloser, error) { opened++; return open() }
		for range 2 {
			tree, err := NewCache(dir, Limits{}).Open(context.Background(), []Source{src})
			if err != nil {
				t.Fatal(err)
			}
			if got := list(t, tree); got != "f=hello" {
				t.Errorf("got %s", got)
			}
			tree.Close()
		}
		if opened != 1 {
			t.Errorf("blob was opened %d times", opened)
		}
	}
}

func TestDamagedCacheIsMended(t *testing.T) {
	plain := makeTar(t, file("f", "hello"))
	src, dir := source(plain, plain), t.TempDir()
	c := NewCache(dir, Limits{})
	tree, err := c.Open(context.Background(), []Source{src})
	if err != nil {
		t.Fatal(err)
	}
	tree.Close()
	idx := filepath.Join(dir, "layers", strings.TrimPrefix(src.DiffID, "sha256:")+".idx")
	raw, _ := os.ReadFile(idx)
	raw[len(raw)-1] ^= 1
	os.WriteFile(idx, raw, 0o644)
	tree, err = c.Open(context.Background(), []Source{src})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if got := list(t, tree); got != "f=hello" {
		t.Errorf("got %s", got)
	}
}

func TestWrongDigest(t *testing.T) {
	plain := makeTar(t, file("f", "hello"))
	src := source([]byte("something else"), plain)
	dir := t.TempDir()
	_, err := NewCache(dir, Limits{}).Open(context.Background(), []Source{src})
	var de *DigestError
	if !errors.As(err, &de) || de.Want != src.DiffID {
		t.Fatalf("error %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "layers", "*"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBombs(t *testing.T) {
	plain := makeTar(t, file("f", strings.Repeat("\x00", 1<<20)))
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(plain)
	w.Close()
	var le *LimitError
	_, err := NewCache(t.TempDir(), Limits{LayerBytes: 1 << 19}).Open(context.Background(), []Source{source(plain, gz.Bytes())})
	if !errors.As(err, &le) {
		t.Errorf("bytes: error %v", err)
	}
	var many []tar.Header
	for i := range 100 {
		many = append(many, file(fmt.Sprint(i), ""))
	}
	plain = makeTar(t, many...)
	_, err = NewCache(t.TempDir(), Limits{Entries: 50}).Open(context.Background(), []Source{source(plain, plain)})
	if !errors.As(err, &le) {
		t.Errorf("entries: error %v", err)
	}
}

func TestCancelled(t *testing.T) {
	plain := makeTar(t, file("f", "hello"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := NewCache(t.TempDir(), Limits{}).Open(ctx, []Source{source(plain, plain)}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestTruncatedTar(t *testing.T) {
	plain := makeTar(t, file("f", strings.Repeat("x", 5000)))[:2048]
	if _, err := openLayers(t, plain); err == nil {
		t.Error("a truncated layer was taken")
	}
}

func FuzzTar(f *testing.F) {
	f.Add(makeTar(f, folder("a/"), file("a/f", "1"), symlink("l", "a"), hardlink("h", "a/f"), file("l/x", ""), file(".wh.y", "")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		limits := Limits{Entries: 1000}.withDefaults()
		ix, err := indexTar(bytes.NewReader(raw), int64(len(raw)), limits)
		if err != nil {
			return
		}
		again, err := decodeIndex(ix.encode(), limits)
		if err != nil {
			t.Fatalf("index does not survive encoding: %v", err)
		}
		b := newBuilder(limits)
		if b.add(0, again) == nil {
			b.tree()
		}
	})
}

func FuzzIndex(f *testing.F) {
	raw := makeTar(f, folder("a/"), file("a/f", "1"), symlink("l", "a"))
	ix, err := indexTar(bytes.NewReader(raw), int64(len(raw)), Limits{}.withDefaults())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ix.encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		if ix, err := decodeIndex(raw, Limits{Entries: 1000}.withDefaults()); err == nil {
			b := newBuilder(Limits{}.withDefaults())
			if b.add(0, ix) == nil {
				b.tree()
			}
		}
	})
}
