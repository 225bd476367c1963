package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"megabinary.dev/test/images"
)

// treeFiles is how many files find looks at.
const treeFiles = 50_000

// systemImage makes the image of all measurements: the programs, Debian's true,
// bash and python from this machine, and a tree of files.
func systemImage(programs map[string]string, treeFiles int) (v1.Image, error) {
	files := map[string]string{"/bin/busybox": "/bin/busybox"}
	for name, host := range programs {
		files["/bin/"+name] = host
	}
	for _, program := range []string{"/bin/true", "/bin/bash", "/usr/bin/python3"} {
		out, err := exec.Command("ldd", program).Output()
		if err != nil {
			return nil, fmt.Errorf("asking ldd about %s: %w", program, err)
		}
		files[program] = program
		for _, word := range strings.Fields(string(out)) {
			if strings.HasPrefix(word, "/") {
				files[word] = word
			}
		}
	}
	if err := pythonFiles(files); err != nil {
		return nil, err
	}
	list := []images.File{{Path: "/usr/lib", Mode: 0o755, Dir: true}, {Path: "/tree", Mode: 0o755, Dir: true}}
	for _, d := range []string{"/tmp", "/proc", "/dev", "/sys", "/etc"} {
		list = append(list, images.File{Path: d, Mode: 0o1777, Dir: true})
	}
	for guest, host := range files {
		data, err := os.ReadFile(host)
		if err != nil {
			return nil, fmt.Errorf("reading a program: %w", err)
		}
		list = append(list, images.File{Path: guest, Mode: 0o755, Data: data})
	}
	for i := range treeFiles {
		const perDir = 100
		dir := fmt.Sprintf("/tree/%02d/%02d", i/perDir/25, i/perDir%25)
		if i%(perDir*25) == 0 {
			list = append(list, images.File{Path: filepath.Dir(dir), Mode: 0o755, Dir: true})
		}
		if i%perDir == 0 {
			list = append(list, images.File{Path: dir, Mode: 0o755, Dir: true})
		}
		list = append(list, images.File{Path: fmt.Sprintf("%s/file%d.c", dir, i), Mode: 0o644})
	}
	return images.Image(v1.Config{Env: []string{"PATH=/bin:/usr/bin"}}, list)
}

// pythonFiles adds what of the standard library an interpreter reads when it
// starts, and a bit more.
func pythonFiles(files map[string]string) error {
	out, err := exec.Command("/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))").Output()
	if err != nil {
		return fmt.Errorf("asking python3 for its library: %w", err)
	}
	root := strings.TrimSpace(string(out))
	packages := map[string]bool{"collections": true, "encodings": true, "importlib": true, "json": true, "re": true, "__pycache__": true}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && filepath.Dir(path) == root && !packages[d.Name()]:
			return filepath.SkipDir
		case d.Type().IsRegular() && (strings.HasSuffix(path, ".py") || strings.HasSuffix(path, ".pyc")):
			files[path] = path
		}
		return nil
	})
}

// measurement is one line of the section system: a command that prints
// nanoseconds.
type measurement struct {
	name    string
	command []string
}

var measurements = []measurement{
	{"getpid", []string{"@/bin/getpid", "1000000"}},
	{"a byte through a pipe", []string{"@/bin/pipe", "200000"}},
	{"open and close", []string{"@/bin/open", "50000"}},
	{"stat", []string{"@/bin/open", "100000", "stat"}},
	{"fork, exit, wait", []string{"@/bin/fork", "300"}},
	{"fork, exit, wait, 4 MiB written", []string{"@/bin/fork", "300", "4096"}},
	{"fork, exec of a static true, wait", []string{"@/bin/forkexec", "200", "qemu", "@/bin/true-static"}},
	{"fork, exec of Debian's true, wait", []string{"@/bin/forkexec", "200", "qemu", "/bin/true"}},
	{"thread created and joined", []string{"@/bin/thread", "2000"}},
	{"futex round trip of two threads", []string{"@/bin/thread", "20000", "futex"}},
	{"TCP round trip over loopback", []string{"@/bin/tcp", "10000"}},
	{"TCP over loopback, per MiB of 1 GiB", []string{"@/bin/tcp", "1", "1024"}},
	{"find over 50,000 files", []string{"@/bin/forkexec", "1", "qemu", "@/bin/busybox", "find", "@/tree", "-name", "none"}},
}

// system measures what a system call and its like cost on each system.
func (b *bench) system() error {
	p, err := b.systemPeers("system", treeFiles)
	if err != nil {
		return err
	}
	for _, m := range measurements {
		if !strings.Contains(m.name, b.filter) {
			continue
		}
		sides, err := p.sides(m.command)
		if err != nil {
			return err
		}
		if _, err := alternate(sides[len(sides)-1:], 1, ""); err != nil { // compiles the units
			return err
		}
		samples, err := alternate(sides, b.rounds, "")
		if err != nil {
			return err
		}
		r := result{Section: "system", Name: m.name, Unit: "ns", Values: map[string]float64{}}
		for _, s := range sides {
			for _, one := range samples[s.name] {
				if _, err := strconv.ParseFloat(strings.TrimSpace(one.stdout), 64); err != nil {
					return fmt.Errorf("%s on %s printed %q", m.name, s.name, one.stdout)
				}
			}
			r.Values[s.name] = median(samples[s.name], func(one sample) float64 {
				v, _ := strconv.ParseFloat(strings.TrimSpace(one.stdout), 64)
				return v
			})
		}
		ratios(&r)
		b.add(r)
	}
	return nil
}

// systemPeers makes the image and what runs it.
func (b *bench) systemPeers(name string, treeFiles int) (*peers, error) {
	programs, err := b.compile("micro")
	if err != nil {
		return nil, err
	}
	img, err := systemImage(programs, treeFiles)
	if err != nil {
		return nil, err
	}
	return b.newPeers(name, img)
}

// start measures programs that end at once, from the start of the system that
// runs them, everything warm.
func (b *bench) start() error {
	p, err := b.systemPeers("start", 0)
	if err != nil {
		return err
	}
	for _, m := range []measurement{
		{"busybox true", []string{"@/bin/busybox", "true"}},
		{"bash -c :", []string{"/bin/bash", "-c", ":"}},
		{"python3 -c pass", []string{"/usr/bin/python3", "-c", "pass"}},
	} {
		sides, err := p.sides(m.command)
		if err != nil {
			return err
		}
		if _, err := alternate(sides, 1, ""); err != nil { // fills the caches
			return err
		}
		samples, err := alternate(sides, max(b.rounds, 5), "")
		if err != nil {
			return err
		}
		wall := result{Section: "start", Name: m.name + ", wall", Unit: "ms", Values: map[string]float64{}}
		cpu := result{Section: "start", Name: m.name + ", CPU", Unit: "ms", Values: map[string]float64{}, Note: "runc's and gVisor's leave out what outlives their first process"}
		for _, s := range sides {
			wall.Values[s.name] = median(samples[s.name], func(s sample) float64 { return ms(s.wall) })
			cpu.Values[s.name] = median(samples[s.name], func(s sample) float64 { return ms(s.cpu) })
		}
		for _, r := range []result{wall, cpu} {
			ratios(&r)
			b.add(r)
		}
	}
	return nil
}
