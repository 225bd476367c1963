package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"megabinary.dev/plugins/recompile"
	"megabinary.dev/plugins/recompile/recompiletest"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage/serve"
	"megabinary.dev/test/images"
)

// asMegabin in the environment makes the test program be megabin.
const asMegabin = "MEGABINARY_TEST_AS_MEGABIN"

// TestMain is megabin itself when the engine re-executes this program to serve a
// built-in plugin, and when a test needs a process to interrupt.
func TestMain(m *testing.M) {
	if os.Getenv(asMegabin) != "" || len(os.Args) > 2 && os.Args[1] == "plugin" && (os.Args[2] == "serve" || os.Args[2] == commandSandbox) {
		if slices.Equal(os.Args[2:], []string{"serve", recompile.Name}) { // with a pass that is broken, for functions of one name only
			serve.New(recompiletest.Stage()).Main()
			os.Exit(0)
		}
		os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// tinyELF is a static program that exits with a status.
func tinyELF(status byte) []byte {
	const base, headers = 0x400000, 64 + 56
	code := []byte{0xb8, 60, 0, 0, 0, 0xbf, status, 0, 0, 0, 0x0f, 0x05} // mov eax, 60; mov edi, status; syscall
	b := make([]byte, headers, headers+len(code))
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 2)  // ET_EXEC
	le.PutUint16(b[18:], 62) // amd64
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], base+headers)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	ph := b[64:]
	le.PutUint32(ph, 1)     // PT_LOAD
	le.PutUint32(ph[4:], 5) // R, X
	le.PutUint64(ph[16:], base)
	le.PutUint64(ph[24:], base)
	le.PutUint64(ph[32:], uint64(headers+len(code)))
	le.PutUint64(ph[40:], uint64(headers+len(code)))
	le.PutUint64(ph[48:], 0x1000)
	return append(b, code...)
}

// operator is a machine's directories and settings for one test.
type operator struct {
	t   *testing.T
	dir string
}

func newOperator(t *testing.T) operator {
	o := operator{t: t, dir: t.TempDir()}
	t.Setenv("MEGABIN_STORE", o.path("store"))
	t.Setenv("MEGABIN_CACHE_DIR", filepath.Join(os.TempDir(), "megabin-test-cache")) // compiled modules: kept between runs
	t.Setenv("XDG_CONFIG_HOME", o.path("config"))
	t.Setenv("SOURCE_DATE_EPOCH", "")
	return o
}

func (o operator) path(name string) string { return filepath.Join(o.dir, name) }

// run runs megabin, which must succeed.
func (o operator) run(args ...string) string {
	o.t.Helper()
	code, stdout, stderr := megabin(o.t, args...)
	if code != 0 {
		o.t.Fatalf("megabin %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// tinyImage writes an image of two layers as a layout and returns its reference.
func (o operator) tinyImage() string {
	o.t.Helper()
	img, err := images.Image(v1.Config{Cmd: []string{"/bin/tiny"}},
		[]images.File{{Path: "/bin", Mode: 0o755, Dir: true}, {Path: "/bin/tiny", Mode: 0o755, Data: tinyELF(7)}, {Path: "/bin/also", Mode: 0o755, Data: tinyELF(7)}},
		[]images.File{{Path: "/run.sh", Mode: 0o755, Data: []byte("#!/bin/tiny\n")}, {Path: "/text", Mode: 0o644, Data: []byte("text")}})
	if err != nil {
		o.t.Fatal(err)
	}
	if err := images.WriteLayout(o.path("tiny"), "latest", img); err != nil {
		o.t.Fatal(err)
	}
	return "oci:" + o.path("tiny")
}

func summaryOf(t *testing.T, out string) summary {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	var s summary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil || s.Kind != "summary" {
		t.Fatalf("the last line is %s, %v", lines[len(lines)-1], err)
	}
	return s
}

func TestBuildInspectVerify(t *testing.T) {
	o := newOperator(t)
	source := o.tinyImage()
	first := summaryOf(t, o.run("build", "--json", source, "-o", "oci:"+o.path("out")+":v1"))
	second := summaryOf(t, o.run("build", "--json", source, "-o", "oci-archive:"+o.path("out.tar")))
	if first.Image != second.Image {
		t.Errorf("two builds gave %s and %s", first.Image, second.Image)
	}
	for i, s := range second.Stages {
		if s.Items != s.Cached || s.Items != first.Stages[i].Items {
			t.Errorf("stage %s: %d of %d cached", s.Name, s.Cached, s.Items)
		}
	}
	t.Setenv("MEGABIN_STORE", o.path("another store"))
	third := summaryOf(t, o.run("build", "--json", "--no-cache", "--jobs", "1", source, "-o", "docker-archive:"+o.path("docker.tar")))
	if first.Image != third.Image {
		t.Errorf("a build from nothing gave %s, not %s", third.Image, first.Image)
	}
	o.checkBaseLayers(first)

	out := o.run("inspect", "oci-archive:"+o.path("out.tar"))
	for _, want := range []string{first.Image, "UNITS       1", "/bin/also and 1 more"} {
		if !strings.Contains(out, want) {
			t.Errorf("inspect lacks %q:\n%s", want, out)
		}
	}
	var r report
	if err := json.Unmarshal([]byte(o.run("inspect", "--json", "oci:"+o.path("out")+":v1")), &r); err != nil || !r.Rebuilt || len(r.Units) != 1 || r.Verdicts[artifact.VerdictRun] != 2 {
		t.Errorf("inspect gave %+v, %v", r, err)
	}
	for _, ref := range []string{"oci:" + o.path("out"), "oci-archive:" + o.path("out.tar"), "docker-archive:" + o.path("docker.tar")} {
		if out := o.run("verify", ref); !strings.Contains(out, "is what it says") {
			t.Errorf("verify gave %s", out)
		}
	}
	if out := o.run("inspect", source); !strings.Contains(out, "holds no megabinary") {
		t.Errorf("inspecting the source gave %s", out)
	}
	if code, _, stderr := megabin(t, "verify", source); code != exitFailure || !strings.Contains(stderr, "holds no megabinary") {
		t.Errorf("verifying the source: %d, %s", code, stderr)
	}
	if code, _, stderr := megabin(t, "build", "--plain", "oci:"+o.path("out"), "-o", "oci:"+o.path("twice")); code != exitFailure || !strings.Contains(stderr, "has a megabinary already") {
		t.Errorf("building twice: %d, %s", code, stderr)
	}
}

// checkBaseLayers compares the built image with its source.
func (o operator) checkBaseLayers(s summary) {
	o.t.Helper()
	read := func(dir string) v1.Image {
		o.t.Helper()
		ix, err := layout.ImageIndexFromPath(o.path(dir))
		if err != nil {
			o.t.Fatal(err)
		}
		m, err := ix.IndexManifest()
		if err != nil {
			o.t.Fatal(err)
		}
		img, err := ix.Image(m.Manifests[0].Digest)
		if err != nil {
			o.t.Fatal(err)
		}
		return img
	}
	base, err := read("tiny").Manifest()
	if err != nil {
		o.t.Fatal(err)
	}
	built, err := read("out").Manifest()
	if err != nil {
		o.t.Fatal(err)
	}
	if n := len(base.Layers); len(built.Layers) != n+1 || !reflect.DeepEqual(built.Layers[:n], base.Layers) || built.Layers[n].Digest.String() != s.Layer {
		o.t.Errorf("the layers %v became %v", base.Layers, built.Layers)
	}
	config, err := read("out").ConfigFile()
	if err != nil || config.Architecture != "amd64" || config.OS != "linux" || !reflect.DeepEqual(config.Config.Cmd, []string{"/bin/tiny"}) || len(config.RootFS.DiffIDs) != len(built.Layers) {
		o.t.Errorf("the configuration is %+v, %v", config, err)
	}
}

// TestLyingELF builds an image with a file that no analyzer can make sense of:
// it is left out and refused, and the others are built.
func TestLyingELF(t *testing.T) {
	o := newOperator(t)
	liar := tinyELF(1)
	binary.LittleEndian.PutUint64(liar[64+40:], 1) // less memory than file
	img, err := images.Image(v1.Config{}, []images.File{
		{Path: "/liar", Mode: 0o755, Data: liar}, {Path: "/tiny", Mode: 0o755, Data: tinyELF(7)},
		{Path: "/short", Mode: 0o755, Data: tinyELF(2)[:125]},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := images.WriteLayout(o.path("liar"), "latest", img); err != nil {
		t.Fatal(err)
	}
	s := summaryOf(t, o.run("build", "--json", "oci:"+o.path("liar"), "-o", "oci:"+o.path("out")))
	if s.Diagnostics["error"] != 1 {
		t.Errorf("the summary counts %v", s.Diagnostics)
	}
	var r report
	if err := json.Unmarshal([]byte(o.run("inspect", "--json", "oci:"+o.path("out"))), &r); err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]artifact.Verdict{}
	for _, f := range r.Files {
		verdicts[f.Paths[0].Path] = f.Verdict
		if f.Verdict == artifact.VerdictRefuse && f.Reason == "" {
			t.Errorf("%s is refused without a reason", f.Paths[0].Path)
		}
	}
	want := map[string]artifact.Verdict{"/liar": artifact.VerdictRefuse, "/short": artifact.VerdictRefuse, "/tiny": artifact.VerdictRun}
	if !reflect.DeepEqual(verdicts, want) {
		t.Errorf("the verdicts are %v", verdicts)
	}
	o.run("verify", "oci:"+o.path("out"))
}

func TestSourceDateEpoch(t *testing.T) {
	o := newOperator(t)
	source := o.tinyImage()
	o.run("build", source, "-o", "oci:"+o.path("a"))
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	s := summaryOf(t, o.run("build", "--json", source, "-o", "oci:"+o.path("b")))
	if last := s.Stages[len(s.Stages)-1]; last.Cached != 0 || s.Stages[0].Cached != 1 {
		t.Errorf("the epoch reached the wrong stages: %+v", s.Stages)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if code, _, stderr := megabin(t, "build", source, "-o", "oci:"+o.path("b")); code != exitFailure || !strings.Contains(stderr, "SOURCE_DATE_EPOCH") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// TestVerifyFindsChanges spoils what the digests around it no longer show: the
// layer is written anew, with digest and diff_id to match.
func TestVerifyFindsChanges(t *testing.T) {
	o := newOperator(t)
	o.run("build", o.tinyImage(), "-o", "oci:"+o.path("out"))
	ix, err := layout.ImageIndexFromPath(o.path("out"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := ix.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := ix.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, want string }{
		{artifact.PathMegabinary, artifact.PathMegabinary + ": its digest is"},
		{artifact.PathExecMap, artifact.PathExecMap + ": its digest is"},
	} {
		dir := o.path("spoilt" + filepath.Base(c.file))
		if err := images.WriteLayout(dir, "latest", spoil(t, img, c.file)); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := megabin(t, "verify", "oci:"+dir)
		if code != exitFailure || !strings.Contains(stderr, c.want) {
			t.Errorf("exit code %d, %s, want %q", code, stderr, c.want)
		}
		if code, _, stderr := megabin(t, "inspect", "oci:"+dir); code != exitFailure || !strings.Contains(stderr, c.want) {
			t.Errorf("inspect: exit code %d, %s, want %q", code, stderr, c.want)
		}
	}
}

// spoil flips a byte of one file in the last layer.
func spoil(t *testing.T, img v1.Image, file string) v1.Image {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	last := layers[len(layers)-1]
	plain, err := last.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if "/"+h.Name == file {
			b[len(b)/2] ^= 1
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	z.Close()
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	mediaType, err := last.MediaType()
	if err != nil {
		t.Fatal(err)
	}
	changed, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil }, tarball.WithMediaType(mediaType))
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.RootFS.DiffIDs, config.History = nil, nil
	spoilt, err := images.Image(v1.Config{})
	if err != nil {
		t.Fatal(err)
	}
	spoilt, err = mutate.ConfigFile(spoilt, config)
	if err != nil {
		t.Fatal(err)
	}
	if spoilt, err = mutate.AppendLayers(spoilt, append(layers[:len(layers)-1:len(layers)-1], changed)...); err != nil {
		t.Fatal(err)
	}
	return mutate.Annotations(spoilt, manifest.Annotations).(v1.Image)
}

// TestInterruptedBuild sends ^C while a large file is analyzed.
func TestInterruptedBuild(t *testing.T) {
	o := newOperator(t)
	self, err := os.ReadFile("/proc/self/exe") // large enough to be in the middle of it
	if err != nil {
		t.Fatal(err)
	}
	img, err := images.Image(v1.Config{}, []images.File{{Path: "/large", Mode: 0o755, Data: self}})
	if err != nil {
		t.Fatal(err)
	}
	if err := images.WriteLayout(o.path("large"), "latest", img); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "build", "--json", "oci:"+o.path("large"), "-o", "oci:"+o.path("out"))
	cmd.Env = append(os.Environ(), asMegabin+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(stdout)
	for {
		var e struct{ Kind, Stage string }
		if err := decoder.Decode(&e); err != nil {
			cmd.Process.Kill()
			t.Fatalf("it ended before it was interrupted: %v, %s", err, stderr.String())
		}
		if e.Kind == "started" && e.Stage == "analyze" {
			break
		}
	}
	time.Sleep(200 * time.Millisecond)
	start := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, io.MultiReader(decoder.Buffered(), stdout))
	err = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFailure || !strings.Contains(stderr.String(), "the build was stopped") {
		t.Errorf("exit code %d (%v), %s", code, err, stderr.String())
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if left, err := filepath.Glob(o.path("store/tmp/*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := os.Stat(o.path("out")); err == nil {
		t.Error("the destination was written")
	}
	o.run("build", o.tinyImage(), "-o", "oci:"+o.path("out")) // the store is usable
}

func TestBuildRefuses(t *testing.T) {
	o := newOperator(t)
	source := o.tinyImage()
	bad := o.path("bad.yaml")
	if err := os.WriteFile(bad, []byte("version: 1\nplugins: {}\nstages: {a: {uses: b, needs: [source], wiht: {}}}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no destination", []string{source}, "give one with -o"},
		{"no source", []string{"-o", "oci:x"}, "accepts 1 arg"},
		{"an unknown image", []string{"oci:" + o.path("none"), "-o", "oci:x"}, "there is no image oci:" + o.path("none")},
		{"a path", []string{o.path("tiny"), "-o", "oci:x"}, "is a path, not an image reference; use oci:" + o.path("tiny")},
		{"a pipeline that is not there", []string{"-f", o.path("none.yaml"), source, "-o", "oci:x"}, "reading the pipeline"},
		{"a pipeline with a mistake", []string{"-f", bad, source, "-o", "oci:x"}, bad + `:3:40: unknown key "wiht" in stage a`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := megabin(t, append([]string{"build"}, c.args...)...)
			if code != exitFailure || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, %s, want %q", code, stderr, c.want)
			}
		})
	}
}

func TestPlanLockAndPlugins(t *testing.T) {
	o := newOperator(t)
	content, err := os.ReadFile("../../pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := o.path("pipeline.yaml")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if out := o.run("plan"); !strings.Contains(out, "recompile 2") || !strings.Contains(out, "extract, analyze") {
		t.Errorf("plan gave %s", out)
	}
	if out := o.run("lock", "-f", file); !strings.Contains(out, "pins 5 plugins") {
		t.Errorf("lock gave %s", out)
	}
	o.run("plan", "-f", file)
	locked, err := os.ReadFile(o.path("pipeline.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.path("pipeline.lock"), bytes.Replace(locked, []byte("digest: sha256:"), []byte("digest: sha256:0"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := megabin(t, "plan", "-f", file); code != exitFailure || !strings.Contains(stderr, "is refused: its digest is") {
		t.Errorf("a plugin that is not the locked one: %d, %s", code, stderr)
	}
	if out := o.run("plugin", "ls"); !strings.Contains(out, "link-megabinary") {
		t.Errorf("plugin ls gave %s", out)
	}
	if code, _, stderr := megabin(t, "plugin", "serve", "nothing"); code != exitNotFound || !strings.Contains(stderr, "there is no built-in stage") {
		t.Errorf("plugin serve: %d, %s", code, stderr)
	}
}

// TestPluginRunBothWays runs the shipped analyzer by hand, as a process and, if
// it was embedded, in the sandbox, and compares the bytes.
func TestPluginRunBothWays(t *testing.T) {
	o := newOperator(t)
	elf := o.path("tiny.elf")
	if err := os.WriteFile(elf, tinyELF(3), 0o644); err != nil {
		t.Fatal(err)
	}
	var outputs [][]byte
	for i, kind := range []string{"process", "sandbox"} {
		out := o.path(fmt.Sprint("out", i))
		o.run("plugin", "run", "analyze-elf", "--kind", kind, "--memory", "2GiB", "-i", "elf="+elf, "-o", out)
		b, err := os.ReadFile(filepath.Join(out, "0"))
		if err != nil {
			t.Fatal(err)
		}
		outputs = append(outputs, b)
	}
	if len(outputs[0]) == 0 || !bytes.Equal(outputs[0], outputs[1]) {
		t.Errorf("process and sandbox gave %d and %d bytes that differ", len(outputs[0]), len(outputs[1]))
	}
}
