package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"golang.org/x/sys/unix"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// peers runs the same commands in the same files on each system.
type peers struct {
	b       *bench
	rootfs  string // the image's files, unpacked
	image   string // the rebuilt image
	runsc   string
	bundles int
}

// newPeers unpacks img, rebuilds it and builds gVisor's runsc.
func (b *bench) newPeers(name string, img v1.Image) (*peers, error) {
	p := &peers{b: b, rootfs: filepath.Join(b.out, name+".rootfs")}
	var err error
	if p.image, err = b.rebuild(name, img); err != nil {
		return nil, err
	}
	if err := unpack(img, p.rootfs); err != nil {
		return nil, err
	}
	p.runsc, err = b.buildRunsc()
	return p, err
}

// unpack makes dir anew from the files of an image.
func unpack(img v1.Image, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	tar := exec.Command("tar", "-x", "-C", dir)
	flat := mutate.Extract(img)
	defer flat.Close()
	tar.Stdin = io.Reader(flat)
	if msg, err := tar.CombinedOutput(); err != nil {
		return fmt.Errorf("unpacking the image: %w: %s", err, msg)
	}
	return nil
}

// buildRunsc builds gVisor's runtime at the version whose network stack we use,
// in a module of its own: it is measured, and nothing of ours needs it. It is
// static, because it starts itself again in an empty root.
func (b *bench) buildRunsc() (string, error) {
	const module = "gvisor.dev/gvisor"
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("asking for the version of %s: %w", module, err)
	}
	version := strings.TrimSpace(string(out))
	dir := filepath.Join(b.out, "tools")
	runsc := filepath.Join(dir, "runsc-"+version)
	if _, err := os.Stat(runsc); err == nil {
		return runsc, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making %s: %w", dir, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module tools\n"), 0o644); err != nil {
		return "", fmt.Errorf("making a module: %w", err)
	}
	for _, argv := range [][]string{
		{"go", "get", "-tool", module + "/runsc@" + version},
		{"go", "build", "-o", runsc, module + "/runsc"},
	} {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if msg, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("building runsc: %w: %s", err, tail(msg))
		}
	}
	return runsc, nil
}

// unmountRunsc undoes what runsc leaves mounted in its folder, which could not be
// removed otherwise.
func (b *bench) unmountRunsc() error {
	err := unix.Unmount(filepath.Join(b.out, "runsc", "null-netns"), unix.MNT_DETACH)
	if err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return fmt.Errorf("unmounting what runsc left: %w", err)
	}
	return nil
}

// sides are the ways to run a command. In it, an argument that begins with @/ is a
// path in the image, and the argument qemu becomes the emulator where programs
// that are executed have to name it, and nothing elsewhere.
func (p *peers) sides(command []string) ([]side, error) {
	here, emulated, inside := p.in(p.rootfs, "", command), p.in(p.rootfs, "/usr/bin/qemu-x86_64-static", command), p.in("", "", command)
	bundle, err := p.bundle(inside)
	if err != nil {
		return nil, err
	}
	fixed := func(argv ...string) func(string, ...string) []string {
		return func(string, ...string) []string { return argv }
	}
	p.bundles++
	id := fmt.Sprintf("megabin-bench-%d-%d", os.Getpid(), p.bundles)
	return []side{
		{"native", fixed(here...)},
		{"qemu-user", fixed(append([]string{"qemu-x86_64-static"}, emulated...)...)},
		{"runc", fixed("runc", "run", "--bundle", bundle, id)},
		{"gvisor", fixed(p.runsc, "--root", filepath.Join(p.b.out, "runsc"), "--platform", "systrap", "--network", "none",
			"--ignore-cgroups", "run", "--bundle", bundle, id)},
		{"megabin", fixed(append([]string{p.b.megabin, "run", p.image}, inside...)...)},
	}, nil
}

func (p *peers) in(root, qemu string, command []string) []string {
	var argv []string
	for _, a := range command {
		switch {
		case a == "qemu" && qemu == "":
			continue
		case a == "qemu":
			a = qemu
		case strings.HasPrefix(a, "@/"):
			a = root + a[1:]
		}
		argv = append(argv, a)
	}
	return argv
}

// bundle makes a runtime bundle that runs argv without a terminal.
func (p *peers) bundle(argv []string) (string, error) {
	dir := filepath.Join(p.b.out, "bundles", filepath.Base(p.rootfs), fmt.Sprint(p.bundles))
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("clearing %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making %s: %w", dir, err)
	}
	if msg, err := exec.Command("runc", "spec", "--bundle", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("making a bundle: %w: %s", err, msg)
	}
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the bundle's configuration: %w", err)
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return "", fmt.Errorf("reading the bundle's configuration: %w", err)
	}
	process, ok := spec["process"].(map[string]any)
	if !ok {
		return "", fmt.Errorf("%s has no process", path)
	}
	process["terminal"], process["args"] = false, argv
	spec["root"] = map[string]any{"path": p.rootfs, "readonly": false}
	if data, err = json.Marshal(spec); err != nil {
		return "", fmt.Errorf("writing the bundle's configuration: %w", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return "", fmt.Errorf("writing the bundle's configuration: %w", err)
	}
	return dir, nil
}
