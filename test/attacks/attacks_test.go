// Package attacks tries, from inside a guest, the known ways around an exec
// controller that goes by hashes: each must be refused, with the errno that a
// guest expects, and leave its line in the audit trail. It has tests only.
package attacks

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"megabinary.dev/test/images"
)

// programs are what the image holds beside Debian's: source and compiler. Those
// under /evil are not in it, only on a volume.
var programs = []struct {
	path string
	argv []string
}{
	{"/bin/attack", []string{"gcc", "-O1", "-Wall", "-Werror", "attack.c"}},
	{"/bin/payload", []string{"gcc", "-O1", "-Wall", "-Werror", "payload.c"}},
	{"/bin/foreign", []string{"gcc", "-O1", "-Wall", "-Werror", "-static", "-nostdlib", "-no-pie", "-fno-stack-protector", "-Wl,-Ttext-segment=0x30000000", "foreign.c"}},
	{"/bin/setuid", []string{"gcc", "-Os", "-DSETUID", "payload.c"}},
	{"/lib/libgood.so", []string{"gcc", "-O1", "-shared", "-fPIC", "evil.c"}},
	{"/evil/evil.so", []string{"gcc", "-O2", "-shared", "-fPIC", "-Wl,-soname,evil.so", "evil.c"}},
	{"/evil/payload", []string{"gcc", "-O2", "payload.c"}},
}

// modules are the parts of Python's library that it starts with, and those that
// the attacks import.
var modules = []string{"encodings/__init__.py", "encodings/aliases.py", "encodings/utf_8.py", "encodings/ascii.py", "encodings/cp437.py", "codecs.py", "io.py", "abc.py",
	"site.py", "os.py", "stat.py", "posixpath.py", "genericpath.py", "_collections_abc.py", "_sitebuiltins.py", "zipimport.py", "runpy.py",
	"importlib/__init__.py", "importlib/_bootstrap.py", "importlib/_bootstrap_external.py", "importlib/machinery.py", "importlib/util.py", "importlib/_abc.py",
	"contextlib.py", "collections/__init__.py", "collections/abc.py", "functools.py", "operator.py", "keyword.py", "reprlib.py", "heapq.py", "types.py", "warnings.py", "pkgutil.py"}

type world struct {
	megabin, image, evil string
}

var build = sync.OnceValues(func() (*world, error) {
	dir, err := os.MkdirTemp("", "megabin-attacks")
	if err != nil {
		return nil, err
	}
	w := &world{image: "oci:" + dir + "/mega:latest", evil: filepath.Join(dir, "evil")}
	if w.megabin, err = filepath.Abs("../../bin/megabin"); err != nil {
		return nil, err
	}
	if _, err := os.Stat(w.megabin); err != nil {
		return nil, fmt.Errorf("%w: run `make build` first", err)
	}
	files := map[string]string{"/bin/busybox": "/bin/busybox"}
	for _, p := range programs {
		host := filepath.Join(dir, p.path)
		if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
			return nil, err
		}
		cmd := exec.Command(p.argv[0], append(p.argv[1:], "-o", host)...)
		cmd.Dir = "testdata"
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building %s: %w: %s", p.path, err, out)
		}
		if !strings.HasPrefix(p.path, "/evil") {
			files[p.path] = host
		}
	}
	python, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		return nil, fmt.Errorf("%w: install Debian's package python3", err)
	}
	files[python], files["/bin/mawk"] = python, "/usr/bin/mawk"
	out, err := exec.Command("ldd", python).Output()
	if err != nil {
		return nil, fmt.Errorf("asking ldd about %s: %w", python, err)
	}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			files[word] = word
		}
	}
	lib := "/usr/lib/" + filepath.Base(python)
	for _, m := range modules {
		files[filepath.Join(lib, m)] = filepath.Join(lib, m)
	}
	if err := w.evilFiles(); err != nil {
		return nil, err
	}
	return w, w.rebuild(dir, python, files)
})

// rebuild makes the image and sends it through the pipeline.
func (w *world) rebuild(dir, python string, files map[string]string) error {
	list := []images.File{
		{Path: "/tmp", Mode: 0o1777, Dir: true}, {Path: "/lib", Mode: 0o755, Dir: true}, {Path: "/usr/bin/python3", Link: python},
		{Path: "/usr/lib/" + filepath.Base(python) + "/lib-dynload", Mode: 0o755, Dir: true},
		{Path: "/app/known.sh", Mode: 0o755, Data: []byte("#!/bin/sh\necho known\n")},
		{Path: "/app/sources.sh", Mode: 0o755, Data: []byte("#!/bin/sh\n. \"$1\"\n")},
		{Path: "/app/known.py", Mode: 0o644, Data: []byte("print('known')\n")},
		{Path: "/app/imports.py", Mode: 0o644, Data: []byte("import attacker\n")},
		{Path: "/app/known.awk", Mode: 0o644, Data: []byte("BEGIN { print \"known\" }\n")},
	}
	for _, applet := range []string{"sh", "awk", "cat", "cp", "mv", "ln", "chmod", "chown", "truncate", "mkdir", "mkfifo", "grep", "env", "su", "true", "dd", "sleep", "rm"} {
		list = append(list, images.File{Path: "/bin/" + applet, Link: "busybox"})
	}
	for guest, host := range files {
		data, err := os.ReadFile(host)
		if err != nil {
			return err
		}
		list = append(list, images.File{Path: guest, Mode: 0o755, Data: data})
	}
	for i := range list {
		if strings.HasSuffix(list[i].Path, ".py") || strings.HasSuffix(list[i].Path, ".so") {
			list[i].Mode = 0o644
		}
		if list[i].Path == "/bin/setuid" {
			list[i].Mode = 0o4755
		}
	}
	img, err := images.Image(v1.Config{Env: []string{"PATH=/bin:/usr/bin"}}, list)
	if err != nil {
		return err
	}
	if err := images.WriteLayout(filepath.Join(dir, "src"), "latest", img); err != nil {
		return err
	}
	out, err := exec.Command(w.megabin, "build", "--plain", "oci:"+dir+"/src:latest", "-o", w.image).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building the image: %w: %s", err, out[max(0, len(out)-2000):])
	}
	return nil
}

// evilFiles writes scripts for the volume of what is not in the image.
func (w *world) evilFiles() error {
	const python = "print('ran')\n"
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, name := range []string{"attacker.py", "__main__.py"} {
		f, err := z.Create(name)
		if err != nil {
			return err
		}
		if _, err := f.Write([]byte(python)); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"script": "#!/bin/sh\necho ran\n", "text": "echo ran\n", "lib.sh": "echo ran\n", "x.awk": "BEGIN { print \"ran\" }\n",
		"x.py": python, "attacker.py": python, "sitecustomize.py": python, "usercustomize.py": python,
		"evil.pth": "import sys; print('ran')\n", "archive": archive.String(),
	} {
		mode := os.FileMode(0o755)
		if err := os.WriteFile(filepath.Join(w.evil, name), []byte(content), mode); err != nil {
			return err
		}
	}
	return nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	if w, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(w.evil))
	}
	os.Exit(code)
}

// run runs a shell script in the image, with the volume of what is not in it, and
// returns its output and the audit trail.
func (w *world) run(t *testing.T, flags []string, script string) (out, trail string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trail")
	argv := append([]string{"run", "--log-level", "error", "--audit", file, "-v", w.evil + ":/evil:ro"}, flags...)
	cmd := exec.Command(w.megabin, append(argv, w.image, "sh", "-c", script)...)
	cmd.Stdin = strings.NewReader("")
	var all bytes.Buffer
	cmd.Stdout, cmd.Stderr = &all, &all
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(3*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(w.megabin, "audit", "verify", file).CombinedOutput(); err != nil {
		t.Errorf("the trail: %v: %s", err, out)
	}
	return all.String(), string(lines)
}

// refusal finds the line of a refusal by a rule in an audit trail.
func refusal(trail, verdict, rule string) bool {
	return regexp.MustCompile(`(?m)^.*"verdict":"` + verdict + `","rule":"` + regexp.QuoteMeta(rule) + `".*$`).MatchString(trail)
}
