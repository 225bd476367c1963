package extractoci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/stagepb"
)

// entry is one tar entry of a test's layer.
type entry struct {
	name, body string
	kind       byte // 0: a file
	link       string
	mode       int64
	uid        int
	xattrs     map[string]string
}

func tarOf(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Uid: e.uid, Size: int64(len(e.body)), Format: tar.FormatPAX}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		for key, value := range e.xattrs {
			h.PAXRecords = map[string]string{"SCHILY.xattr." + key: value}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return stage.DigestPrefix + hex.EncodeToString(sum[:])
}

// testImage is an image under construction; its fields may be spoiled.
type testImage struct {
	t         testing.TB
	dir       string
	inputs    []stage.Descriptor
	arch      string
	diffIDs   []string
	layers    []stage.Descriptor
	config    string
	noConfig  bool
	manifests int
}

func newImage(t testing.TB) *testImage {
	return &testImage{t: t, dir: t.TempDir(), arch: "amd64", config: "{}", manifests: 1}
}

func (i *testImage) put(mediaType string, b []byte) stage.Descriptor {
	i.t.Helper()
	d := stage.Descriptor{MediaType: mediaType, Digest: digestOf(b), Size: int64(len(b))}
	i.write(d.Digest, b)
	i.inputs = append(i.inputs, d)
	return d
}

func (i *testImage) write(digest string, b []byte) {
	i.t.Helper()
	in := filepath.Join(i.dir, "in")
	if err := os.MkdirAll(in, 0o755); err != nil {
		i.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(in, strings.TrimPrefix(digest, stage.DigestPrefix)), b, 0o644); err != nil {
		i.t.Fatal(err)
	}
}

func (i *testImage) layer(mediaType string, plain, compressed []byte) {
	i.diffIDs = append(i.diffIDs, digestOf(plain))
	i.layers = append(i.layers, i.put(mediaType, compressed))
}

// result is what one run gave.
type result struct {
	rootFS  artifact.RootFS
	elf     map[string]string // path -> content
	failure string
}

// run runs the stage over the image.
func (i *testImage) run() result {
	i.t.Helper()
	config := mustJSON(i.t, map[string]any{"architecture": i.arch, "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": i.diffIDs}})
	c := stage.Descriptor{MediaType: artifact.MediaOCIConfig, Digest: digestOf(config), Size: int64(len(config))}
	if !i.noConfig {
		c = i.put(artifact.MediaOCIConfig, config)
	}
	for n := range i.manifests {
		i.put(artifact.MediaOCIManifest, append(mustJSON(i.t, map[string]any{"schemaVersion": 2, "config": c, "layers": i.layers}), bytes.Repeat([]byte(" "), n)...))
	}
	out := filepath.Join(i.dir, "out")
	if err := os.MkdirAll(out, 0o755); err != nil {
		i.t.Fatal(err)
	}
	req := &stagepb.RunRequest{Stage: "extract-oci", Config: []byte(i.config), In: filepath.Join(i.dir, "in"), Out: out}
	for _, d := range i.inputs {
		req.Inputs = append(req.Inputs, stage.DescriptorToWire(d))
	}
	r := result{elf: make(map[string]string)}
	stage.Execute(context.Background(), []stage.Stage{Stage()}, req, func(e *stagepb.Event) {
		switch of := e.Of.(type) {
		case *stagepb.Event_Failure:
			r.failure = of.Failure.GetMessage()
		case *stagepb.Event_Result:
			for _, o := range of.Result.GetOutputs() {
				b, err := os.ReadFile(filepath.Join(out, o.GetFile()))
				if err != nil {
					i.t.Fatal(err)
				}
				if o.GetMediaType() == artifact.MediaRootFS {
					if err := json.Unmarshal(b, &r.rootFS); err != nil {
						i.t.Fatal(err)
					}
					continue
				}
				r.elf[o.GetAnnotations()[artifact.AnnotationPath]] = string(b)
			}
		}
	})
	if strings.Contains(r.failure, "panic:") {
		i.t.Fatalf("the stage panicked: %s", r.failure)
	}
	return r
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// runLayers runs the stage over gzipped layers.
func runLayers(t testing.TB, layers ...[]entry) result {
	t.Helper()
	i := newImage(t)
	for _, l := range layers {
		plain := tarOf(t, l)
		i.layer(artifact.MediaOCILayerGzip, plain, gzipped(t, plain))
	}
	return i.run()
}

// tree prints a file system on one line: path, then =content's first letters or
// ->target.
func (r result) tree() string {
	var all []string
	for _, f := range r.rootFS.Files {
		if f.Path == "/" {
			continue
		}
		s := f.Path
		switch f.Type {
		case typeDir:
			s += "/"
		case typeSymlink:
			s += "->" + f.Target
		case typeFile:
			s += fmt.Sprintf("#%d", f.Size)
		default:
			s += "(" + f.Type + ")"
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

func dir(name string) entry          { return entry{name: name, kind: tar.TypeDir, mode: 0o755} }
func file(name, body string) entry   { return entry{name: name, body: body} }
func symlink(name, to string) entry  { return entry{name: name, kind: tar.TypeSymlink, link: to} }
func hardlink(name, to string) entry { return entry{name: name, kind: tar.TypeLink, link: to} }

func TestMerge(t *testing.T) {
	long := strings.Repeat("n", 200)
	for _, c := range []struct {
		name   string
		layers [][]entry
		want   string
	}{
		{"an empty image", nil, ""},
		{"an empty layer", [][]entry{{}}, ""},
		{"plain files and implied directories", [][]entry{{file("a", "1"), file("d/e/f", "22")}}, "/a#1 /d/ /d/e/ /d/e/f#2"},
		{"an absolute name is taken from the root", [][]entry{{file("/etc/x", "1"), file("./y", "1")}}, "/etc/ /etc/x#1 /y#1"},
		{"a file over a file", [][]entry{{file("a", "1")}, {file("a", "22")}}, "/a#2"},
		{"the last of duplicates wins", [][]entry{{file("a", "1"), file("a", "333")}}, "/a#3"},
		{"names that differ in case stay apart", [][]entry{{file("a", "1"), file("A", "22")}}, "/A#2 /a#1"},
		{"a directory over a directory keeps its files", [][]entry{{file("d/a", "1")}, {dir("d")}}, "/d/ /d/a#1"},
		{"a file over a directory", [][]entry{{file("d/a", "1")}, {file("d", "1")}}, "/d#1"},
		{"a directory over a link", [][]entry{{dir("d"), file("d/a", "1"), symlink("l", "d")}, {dir("l")}}, "/d/ /d/a#1 /l/"},
		{"a whiteout", [][]entry{{file("a", "1"), file("b", "1")}, {file(".wh.a", "")}}, "/b#1"},
		{"a whiteout of a directory", [][]entry{{file("d/e/a", "1")}, {file(".wh.d", "")}}, ""},
		{"a whiteout of nothing", [][]entry{{file("a", "1")}, {file(".wh.x", ""), file("no/.wh.y", "")}}, "/a#1"},
		{"a whiteout does not hide its own layer's file", [][]entry{{file("a", "1")}, {file("a", "22"), file(".wh.a", "")}}, "/a#2"},
		{"nor one that follows it", [][]entry{{file("a", "1")}, {file(".wh.a", ""), file("a", "22")}}, "/a#2"},
		{"a whiteout and a directory of one layer", [][]entry{{file("d/old", "1")}, {dir("d"), file("d/new", "1"), file(".wh.d", "")}}, "/d/ /d/new#1"},
		{"an opaque directory", [][]entry{{file("d/a", "1"), file("d/e/b", "1")}, {dir("d"), file("d/.wh..wh..opq", ""), file("d/c", "1")}}, "/d/ /d/c#1"},
		{"the opaque mark last", [][]entry{{file("d/a", "1")}, {file("d/c", "1"), file("d/.wh..wh..opq", "")}}, "/d/ /d/c#1"},
		{"an opaque root", [][]entry{{file("a", "1")}, {file(".wh..wh..opq", ""), file("b", "1")}}, "/b#1"},
		{"aufs' own files", [][]entry{{file(".wh..wh.aufs", "x"), file(".wh..wh.plnk/1.2", "x"), file("a", "1")}}, "/a#1"},
		{"a hard link", [][]entry{{file("a", "333"), hardlink("b", "a")}}, "/a#3 /b#3"},
		{"a hard link to a lower layer", [][]entry{{file("a", "333")}, {hardlink("d/b", "/a")}}, "/a#3 /d/ /d/b#3"},
		{"a hard link to a link", [][]entry{{symlink("l", "x"), hardlink("m", "l")}}, "/l->x /m->x"},
		{"a parent that is a link", [][]entry{{dir("usr/lib"), symlink("lib", "usr/lib")}, {file("lib/a", "1")}}, "/lib->usr/lib /usr/ /usr/lib/ /usr/lib/a#1"},
		{"a parent that is an absolute link", [][]entry{{dir("usr/lib"), symlink("x/lib", "/usr/lib"), file("x/lib/a", "1")}}, "/usr/ /usr/lib/ /usr/lib/a#1 /x/ /x/lib->/usr/lib"},
		{"a parent link that climbs stays in the root", [][]entry{{symlink("l", "../../../../tmp"), file("l/a", "1")}}, "/l->../../../../tmp /tmp/ /tmp/a#1"},
		{"writing through a link to /etc stays in the image", [][]entry{{symlink("l", "/etc"), file("l/passwd", "1")}}, "/etc/ /etc/passwd#1 /l->/etc"},
		{"links in /dev", [][]entry{{symlink("dev/stdout", "/proc/self/fd/1")}}, "/dev/ /dev/stdout->/proc/self/fd/1"},
		{"devices and pipes", [][]entry{{{name: "dev/null", kind: tar.TypeChar}, {name: "dev/sda", kind: tar.TypeBlock}, {name: "p", kind: tar.TypeFifo}}}, "/dev/ /dev/null(char) /dev/sda(block) /p(fifo)"},
		{"a long name", [][]entry{{file(long+"/"+long, "1")}}, "/" + long + "/ /" + long + "/" + long + "#1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := runLayers(t, c.layers...)
			if r.failure != "" || r.tree() != c.want {
				t.Errorf("got %q, failure %q\nwant %q", r.tree(), r.failure, c.want)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	r := runLayers(t,
		[]entry{{name: ".", kind: tar.TypeDir, mode: 0o700}, {name: "bin/su", body: "x", mode: 0o4755, uid: 7, xattrs: map[string]string{"security.capability": "\x01\x02"}}},
		[]entry{{name: "tmp", kind: tar.TypeDir, mode: 0o1777}})
	want := `[{"path":"/","type":"dir","mode":448,"uid":0,"gid":0,"layer":0},` +
		`{"path":"/bin","type":"dir","mode":493,"uid":0,"gid":0,"layer":0},` +
		`{"path":"/bin/su","type":"file","mode":2541,"uid":7,"gid":0,"size":1,"digest":"` + digestOf([]byte("x")) + `","layer":0,"kind":"data","xattrs":{"security.capability":"AQI="}},` +
		`{"path":"/tmp","type":"dir","mode":1023,"uid":0,"gid":0,"layer":1}]`
	if got := string(mustJSON(t, r.rootFS.Files)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if l := r.rootFS.Layers; len(l) != 2 || l[0].DiffID == "" || l[0].Digest == "" || r.rootFS.OS != "linux" {
		t.Errorf("the root file system is %+v", r.rootFS)
	}
}

func TestHostileEntries(t *testing.T) {
	loop := []entry{symlink("a", "b"), symlink("b", "a"), file("a/x", "1")}
	for _, c := range []struct {
		name   string
		layers [][]entry
		want   string
	}{
		{"a name that climbs", [][]entry{{file("a", "1")}, {file("../../etc/passwd", "x")}}, `layer 1 (sha256:`},
		{"a name that climbs, named", [][]entry{{file("../../etc/passwd", "x")}}, `entry "../../etc/passwd": its name holds ".."`},
		{"a name that climbs in between", [][]entry{{file("a/../../b", "x")}}, `its name holds ".."`},
		{"a hard link out of the tree", [][]entry{{hardlink("x", "../../etc/passwd")}}, `hard link to "../../etc/passwd"`},
		{"a hard link to nothing", [][]entry{{hardlink("x", "etc/passwd")}}, `a hard link to "etc/passwd", which does not exist`},
		{"a hard link through a link", [][]entry{{symlink("l", "/etc"), hardlink("x", "l/shadow")}}, "does not exist"},
		{"a hard link to a directory", [][]entry{{dir("d"), hardlink("x", "d")}}, "which is a directory"},
		{"a hard link to the root", [][]entry{{hardlink("x", "/")}}, "of or to the root"},
		{"a whiteout of ..", [][]entry{{file(".wh...", "")}}, `a whiteout of ".."`},
		{"a whiteout of .", [][]entry{{file("d/.wh..", "")}}, `a whiteout of "."`},
		{"a whiteout of nothing at all", [][]entry{{file(".wh.", "")}}, `a whiteout of ""`},
		{"a file as a directory", [][]entry{{file("a", "1"), file("a/b", "1")}}, `"a" on its way is a file, not a directory`},
		{"a loop of links", [][]entry{loop}, "more than 40 symbolic links"},
		{"a root that is a file", [][]entry{{{name: "./", kind: tar.TypeSymlink, link: "/x"}}}, "the root is a symlink"},
		{"a link to nothing", [][]entry{{symlink("l", "")}}, "empty or impossible target"},
		{"a tar type of no one", [][]entry{{{name: "x", kind: 'Z'}}}, "tar type 'Z' is not known"},
		{"a deep name", [][]entry{{file(strings.Repeat("d/", 200)+"f", "1")}}, "components deep"},
		{"a very long name", [][]entry{{file(strings.Repeat("n", 5000), "1")}}, "bytes, more than 4096"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := runLayers(t, c.layers...); !strings.Contains(r.failure, c.want) {
				t.Errorf("failure %q, want %q", r.failure, c.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	zeros := strings.Repeat("\x00", 80<<20)
	for _, c := range []struct {
		name, config, want string
		entries            []entry
	}{
		{"a bomb by ratio", `{}`, "a decompression bomb: ", []entry{file("zeros", zeros)}},
		{"a bomb by bytes", `{"maxBytes":1000000}`, "the image grows beyond the 1000000 bytes allowed (maxBytes)", []entry{file("zeros", zeros[:2<<20])}},
		{"too many entries", `{"maxEntries":2}`, `entry "c": more than the 2 entries allowed`, []entry{file("a", ""), file("b", ""), file("c", "")}},
		{"too deep", `{"maxDepth":2}`, "(maxDepth)", []entry{file("a/b/c", "")}},
		{"an unknown key", `{"maxEntires":2}`, "maxEntires", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := newImage(t)
			i.config = c.config
			plain := tarOf(t, c.entries)
			i.layer(artifact.MediaOCILayerGzip, plain, gzipped(t, plain))
			if r := i.run(); !strings.Contains(r.failure, c.want) {
				t.Errorf("failure %q, want %q", r.failure, c.want)
			}
		})
	}
}

func TestCompression(t *testing.T) {
	plain := tarOf(t, []entry{file("a", "1")})
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for mediaType, b := range map[string][]byte{
		artifact.MediaOCILayer:        plain,
		artifact.MediaOCILayerGzip:    gzipped(t, plain),
		artifact.MediaOCILayerZstd:    encoder.EncodeAll(plain, nil),
		artifact.MediaDockerLayerGzip: plain, // docker's media types lie
	} {
		i := newImage(t)
		i.layer(mediaType, plain, b)
		if r := i.run(); r.failure != "" || r.tree() != "/a#1" {
			t.Errorf("%s: %q, failure %q", mediaType, r.tree(), r.failure)
		}
	}
}

func TestMismatches(t *testing.T) {
	plain := tarOf(t, []entry{file("a", "1")})
	for _, c := range []struct {
		name  string
		spoil func(i *testImage)
		want  string
	}{
		{"a layer whose bytes do not match its digest", func(i *testImage) { i.write(i.layers[0].Digest, gzipped(t, tarOf(t, []entry{file("b", "1")}))) }, "digest mismatch: its bytes are sha256:"},
		{"a layer whose content does not match its diff_id", func(i *testImage) { i.diffIDs[0] = digestOf(nil) }, "diff_id mismatch: the configuration says " + digestOf(nil)},
		{"a layer without diff_id", func(i *testImage) { i.diffIDs = nil }, "0 diff_ids for 1 layers"},
		{"a truncated layer", func(i *testImage) { i.write(i.layers[0].Digest, gzipped(t, plain)[:60]) }, "unexpected EOF"},
		{"garbage", func(i *testImage) { i.write(i.layers[0].Digest, bytes.Repeat([]byte("no tar "), 1000)) }, "reading the tar stream"},
		{"a layer that is not there", func(i *testImage) { i.inputs = nil }, "is not among the inputs"},
		{"another architecture", func(i *testImage) { i.arch = "arm64" }, "the image is for linux/arm64; only linux/amd64"},
		{"no manifest", func(i *testImage) { i.manifests = 0 }, "0 manifests"},
		{"two manifests", func(i *testImage) { i.manifests = 2 }, "2 manifests"},
		{"no configuration", func(i *testImage) { i.noConfig = true }, "the configuration sha256:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := newImage(t)
			i.layer(artifact.MediaOCILayerGzip, plain, gzipped(t, plain))
			c.spoil(i)
			if r := i.run(); !strings.Contains(r.failure, c.want) {
				t.Errorf("failure %q, want %q", r.failure, c.want)
			}
		})
	}
}

// FuzzLayer feeds bytes that call themselves a layer: an error is right, a panic
// is not.
func FuzzLayer(f *testing.F) {
	f.Add(tarOf(f, []entry{symlink("l", "/etc"), file("l/x", "1"), hardlink("y", "l/x"), file(".wh.y", "")}))
	f.Add(gzipped(f, tarOf(f, []entry{dir("d"), file("d/.wh..wh..opq", "")})))
	f.Fuzz(func(t *testing.T, b []byte) {
		i := newImage(t)
		i.config = `{"maxBytes":1000000,"maxEntries":1000}`
		i.layer(artifact.MediaOCILayer, b, b)
		if r := i.run(); r.failure == "" {
			for _, f := range r.rootFS.Files {
				if !strings.HasPrefix(f.Path, "/") || strings.Contains(f.Path, "/../") {
					t.Errorf("path %q", f.Path)
				}
			}
		}
	})
}
