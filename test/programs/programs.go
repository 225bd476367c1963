// Package programs runs unmodified Debian programs: each script of a table runs
// in an image that megabin has rebuilt and in a chroot of the same image on the
// real kernel, and must print the same bytes.
package programs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"megabinary.dev/test/images"
)

// Group is an image and the scripts that run in it.
type Group struct {
	Name     string
	Packages []string // beside those of a minimal Debian
	Scripts  []Script
	Sessions []Session
	// Host, if there is one, is a test of the image from outside.
	Host func(megabin string, img *Image) error
}

// Script is a file scripts/NAME.sh.
type Script struct {
	Name   string
	Differ []Difference
}

// Difference is a part of a script's output that is not compared.
type Difference struct {
	Text *regexp.Regexp // is cut out on both sides
	Why  string
}

// Groups is the table of what runs in `make test-images`.
func Groups() []Group {
	return []Group{
		{Name: "base", Packages: []string{"procps", "gawk", "xz-utils", "zstd"}, Scripts: []Script{
			{Name: "dash"}, {Name: "bash"}, {Name: "coreutils"}, {Name: "text"}, {Name: "archives"}, {Name: "procps", Differ: []Difference{
				{regexp.MustCompile(`(?m)^\{"level":"warn","number":29,.*\n`), "pmap asks for System V shared memory, which is not there, and does without"},
			}},
		}},
		{Name: "perl", Packages: []string{"perl"}, Scripts: []Script{{Name: "perl"}}},
		{Name: "python", Packages: []string{"python3"}, Scripts: []Script{{Name: "python"}}},
		{Name: "git", Packages: []string{"git"}, Scripts: []Script{{Name: "git", Differ: []Difference{
			{regexp.MustCompile("(?m)^(a:50:fifty|fatal: Couldn't JIT the PCRE2 pattern 'fifty', got '-48')$"),
				"git grep for a plain string gives up when PCRE2 may not generate code; later releases of git do without"},
		}}}},
		{Name: "tools", Packages: []string{"sqlite3", "openssl", "jq", "lua5.4", "make"}, Scripts: []Script{{Name: "tools"}}},
		{Name: "terminal", Packages: []string{"tmux", "less", "vim-tiny", "nano", "procps"}, Scripts: []Script{{Name: "terminal"}},
			Sessions: []Session{{Name: "bash", Differ: jobNumbers}, {Name: "screen", Differ: fullScreen}}},
		{Name: "servers", Packages: []string{"redis-server", "nginx-light", "curl", "openssl", "python3", "rsync", "openssh-server", "openssh-client"}, Scripts: []Script{
			{Name: "redis"}, {Name: "nginx"}, {Name: "curl"}, {Name: "pynet"}, {Name: "rsync"}, {Name: "ssh"}, {Name: "sockets"},
		}, Host: PublishedNginx},
	}
}

// Env is the environment of every script.
var Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}

// Image is a built image and the chroot that it is compared with.
type Image struct {
	Ref  string // for megabin run
	Root string // directory of the root file system
}

// Build makes the image of a group below dir and rebuilds it with megabin.
func (g *Group) Build(megabin, dir string) (*Image, error) {
	rootfs, err := images.RootFS(dir, g.Packages...)
	if err != nil {
		return nil, err
	}
	img, err := images.FromTar(v1.Config{Env: Env}, rootfs)
	if err != nil {
		return nil, err
	}
	return rebuild(megabin, filepath.Join(dir, g.Name), img, rootfs)
}

// rebuild writes img below dir, rebuilds it and unpacks the tar, which is all
// that it holds, for a chroot.
func rebuild(megabin, dir string, img v1.Image, rootfs string) (*Image, error) {
	src := filepath.Join(dir, "src")
	if err := images.WriteLayout(src, "latest", img); err != nil {
		return nil, err
	}
	i := &Image{Ref: "oci:" + filepath.Join(dir, "mega") + ":latest", Root: filepath.Join(dir, "root")}
	start := time.Now()
	cmd := exec.Command(megabin, "build", "--plain", "oci:"+src+":latest", "-o", i.Ref)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building %s: %w: %s", dir, err, tail(out))
	}
	fmt.Printf("%s: built in %.0f s, %.0f s of CPU\n", filepath.Base(dir), time.Since(start).Seconds(),
		(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	if err := os.RemoveAll(i.Root); err != nil {
		return nil, fmt.Errorf("clearing %s: %w", i.Root, err)
	}
	if err := os.MkdirAll(i.Root, 0o755); err != nil {
		return nil, fmt.Errorf("making %s: %w", i.Root, err)
	}
	if out, err := exec.Command("tar", "-xpf", rootfs, "--numeric-owner", "-C", i.Root).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("unpacking %s: %w: %s", rootfs, err, tail(out))
	}
	return i, nil
}

func tail(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(len(lines)-10, 0):], "\n")
}

// guestScripts is where the scripts lie in both worlds.
const guestScripts = "/scripts"

// Native runs a script in a chroot.
func (i *Image) Native(script string) (string, int, error) {
	argv, undo, err := i.chroot(Env, []string{"/bin/sh", guestScripts + "/" + script + ".sh"})
	if err != nil {
		return "", 0, err
	}
	defer undo()
	return output(argv)
}

// chroot returns the command that runs another in a chroot on the real kernel,
// with namespaces, /proc and /dev of its own, on a copy-on-write view of the root
// file system. It leads a session and has the terminal on stdin, if that is one.
// undo removes what that needs.
func (i *Image) chroot(env, argv []string) (command []string, undo func(), err error) {
	scripts, err := filepath.Abs("scripts")
	if err != nil {
		return nil, nil, err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(i.Root), "native")
	if err != nil {
		return nil, nil, err
	}
	const setUp = `set -e
hostname megabinary
ip link set lo up 2> /dev/null || true
mount -t tmpfs tmpfs "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$0/upper,workdir=$0/work" "$0/root"
root=$0/root
mkdir -p "$root/scripts"; mount --bind "$2" "$root/scripts"
for d in null zero full random urandom tty; do [ -e "$root/dev/$d" ] || : > "$root/dev/$d"; mount --bind /dev/$d "$root/dev/$d"; done
ln -sfn /proc/self/fd "$root/dev/fd"; ln -sfn fd/0 "$root/dev/stdin"; ln -sfn fd/1 "$root/dev/stdout"; ln -sfn fd/2 "$root/dev/stderr"
mkdir -p "$root/dev/shm"; mount -t tmpfs tmpfs "$root/dev/shm"
mkdir -p "$root/dev/pts"; mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"; ln -sfn pts/ptmx "$root/dev/ptmx"
mount -t proc proc "$root/proc"
mkdir -p "$root/etc"; printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' > "$root/etc/hosts"
shift 2
cd /
c=; [ ! -t 0 ] || c=-c
exec setsid $c -w chroot "$root" /usr/bin/env -i "$@"`
	command = []string{"unshare", "--mount", "--pid", "--uts", "--net", "--ipc", "--fork", "--kill-child"}
	if os.Getuid() != 0 {
		command = append(command, "--user", "--map-root-user")
	}
	command = append(command, "sh", "-c", setUp, scratch, i.Root, scripts)
	command = append(append(append(command, env...), "HOSTNAME=megabinary"), argv...)
	return command, func() { _ = os.RemoveAll(scratch) }, nil
}

// Megabin runs a script in the rebuilt image.
func (i *Image) Megabin(megabin, script string) (string, int, error) {
	scripts, err := filepath.Abs("scripts")
	if err != nil {
		return "", 0, err
	}
	argv := []string{megabin, "run", "--volume", scripts + ":" + guestScripts + ":ro"}
	for _, kv := range Env {
		argv = append(argv, "-e", kv)
	}
	return output(append(argv, i.Ref, "/bin/sh", guestScripts+"/"+script+".sh"))
}

// timeout bounds one run of a script: the first one compiles what it uses.
const timeout = 10 * time.Minute

// output runs a command and returns stdout and stderr as one stream, and the
// exit code.
func output(argv []string) (string, int, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	timer := time.AfterFunc(timeout, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !timer.Stop() {
		return out.String(), 0, fmt.Errorf("%q did not end within %v", argv, timeout)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return out.String(), 0, err
	}
	return out.String(), cmd.ProcessState.ExitCode(), nil
}

// Compare returns how got differs from want, "" if it does not, but for what
// may differ.
func Compare(differ []Difference, want, got string) string {
	for _, d := range differ {
		want, got = d.Text.ReplaceAllString(want, ""), d.Text.ReplaceAllString(got, "")
	}
	if want == got {
		return ""
	}
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	n := 0
	for n < len(w) && n < len(g) && w[n] == g[n] {
		n++
	}
	at := func(lines []string) string {
		return strings.Join(lines[min(n, len(lines)):min(n+8, len(lines))], "\n    ")
	}
	return fmt.Sprintf("line %d\n  natively:\n    %s\n  here:\n    %s", n+1, at(w), at(g))
}
