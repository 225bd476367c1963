package programs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"megabinary.dev/test/images"
)

// Small is the group that `make test` runs: its image has no more than the
// programs that its script uses, copied from this machine.
func Small() Group {
	return Group{Name: "small", Scripts: []Script{{Name: "small"}}, Sessions: []Session{{Name: "bash", Differ: jobNumbers}}}
}

// smallPrograms are Debian's own, with the packages bash, coreutils, dash,
// grep and sed.
var smallPrograms = []string{"bash", "cat", "date", "grep", "head", "ls", "sed", "seq", "sh", "sha256sum", "sleep", "sort", "stty", "tail", "tr", "true", "wc"}

// builds are the programs and libraries of the directory dynamic: where each
// goes and how it is made, with OUT for the directory that holds those before.
var builds = []struct {
	path string
	argv []string
}{
	{"/lib/libuse.so", []string{"gcc", "-O2", "-shared", "-fPIC", "-Wl,-z,lazy", "-Wl,-z,pack-relative-relocs", "-Wl,-soname,libuse.so", "libuse.c"}},
	{"/lib/libplugin.so", []string{"gcc", "-O2", "-shared", "-fPIC", "libplugin.c", "OUT/lib/libuse.so"}},
	{"/lib/libpreload.so", []string{"gcc", "-O2", "-shared", "-fPIC", "libpreload.c"}},
	{"/bin/dynamic", []string{"gcc", "-O2", "-Wl,-z,lazy", "-Wl,-z,pack-relative-relocs", "main.c", "OUT/lib/libuse.so"}},
	{"/bin/dynamic-now", []string{"gcc", "-O1", "-no-pie", "-Wl,-z,now", "main.c", "OUT/lib/libuse.so"}},
	{"/lib/musl/libuse.so", []string{"musl-gcc", "-O2", "-shared", "-fPIC", "-Wl,-soname,libuse.so", "libuse.c"}},
	{"/lib/musl/libplugin.so", []string{"musl-gcc", "-O2", "-shared", "-fPIC", "libplugin.c", "OUT/lib/musl/libuse.so"}},
	{"/lib/musl/libpreload.so", []string{"musl-gcc", "-O2", "-shared", "-fPIC", "libpreload.c"}},
	{"/bin/dynamic-musl", []string{"musl-gcc", "-O2", "-Wl,-rpath,/lib/musl", "main.c", "OUT/lib/musl/libuse.so"}},
}

// muslLoader is where musl's programs look for their loader, and muslLibc the
// file that Debian's package musl has there.
const (
	muslLoader = "/lib/ld-musl-x86_64.so.1"
	muslLibc   = "/lib/x86_64-linux-musl/libc.so"
)

// BuildSmall makes the image of Small below dir.
func BuildSmall(megabin, dir string) (*Image, error) {
	files := map[string]string{muslLoader: muslLibc}
	out := filepath.Join(dir, "built")
	for _, b := range builds {
		host := filepath.Join(out, b.path)
		if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
			return nil, fmt.Errorf("building %s: %w", b.path, err)
		}
		argv := append(append([]string(nil), b.argv...), "-o", host)
		for i := range argv {
			argv[i] = strings.Replace(argv[i], "OUT", out, 1)
		}
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir = "dynamic"
		if msg, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building %s: %w: %s", b.path, err, msg)
		}
		files[b.path] = host
	}
	for _, p := range smallPrograms {
		files["/bin/"+p] = "/bin/" + p
		if err := addLibraries(files, "/bin/"+p); err != nil {
			return nil, err
		}
	}
	list := []images.File{{Path: "/tmp", Mode: 0o1777, Dir: true}, {Path: "/lib", Mode: 0o755, Dir: true}}
	for _, d := range []string{"/dev", "/proc", "/usr/bin", "/scripts"} {
		list = append(list, images.File{Path: d, Mode: 0o755, Dir: true})
	}
	for guest, host := range files {
		data, err := os.ReadFile(host)
		if err != nil {
			return nil, fmt.Errorf("reading a program: %w", err)
		}
		list = append(list, images.File{Path: guest, Mode: 0o755, Data: data})
	}
	env, err := os.ReadFile("/usr/bin/env")
	if err != nil {
		return nil, fmt.Errorf("reading a program: %w", err)
	}
	list = append(list, images.File{Path: "/usr/bin/env", Mode: 0o755, Data: env})
	tar := filepath.Join(dir, "small.tar")
	data, err := images.Tar(list)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(tar, data, 0o644); err != nil {
		return nil, fmt.Errorf("writing an image: %w", err)
	}
	img, err := images.FromTar(v1.Config{Env: Env}, tar)
	if err != nil {
		return nil, err
	}
	return rebuild(megabin, filepath.Join(dir, "small"), img, tar)
}

// addLibraries adds what ldd says that a program needs, under the names that
// its loader looks for.
func addLibraries(files map[string]string, program string) error {
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return fmt.Errorf("asking ldd about %s: %w", program, err)
	}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			files[word] = word
		}
	}
	return nil
}
