// Package compilenative is the stage that compiles units ahead of time to
// native objects, with clang: a shared ELF object for each unit and platform,
// which the vkernel maps instead of having wazero compile the unit.
package compilenative

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"megabinary.dev/plugins/compile-native/internal/cgen"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// Options configure Compile.
type Options struct {
	Platform string // of Platforms
	Tools    Tools
	Workers  int                   // compilers at a time; 0 means 1
	Progress func(done, total int) // may be nil
}

// Tools are the programs that the stage runs, by path.
type Tools struct {
	Clang   string
	LLD     string
	Objcopy string
}

// FindTools looks for the tools in the usual folders: plugins have no PATH.
func FindTools() (Tools, error) {
	var t Tools
	for _, want := range []struct {
		into *string
		name string
	}{{&t.Clang, "clang"}, {&t.LLD, "ld.lld"}, {&t.Objcopy, "objcopy"}} {
		for _, dir := range []string{"/usr/local/bin", "/usr/bin"} {
			if path := filepath.Join(dir, want.name); executable(path) {
				*want.into = path
				break
			}
		}
		if *want.into == "" {
			return t, fmt.Errorf("there is no %s in /usr/local/bin or /usr/bin: install clang, lld and binutils", want.name)
		}
	}
	return t, nil
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// Version is what the compiler says of itself: objects of another one differ.
func (t Tools) Version(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, t.Clang, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("running %s --version: %w", t.Clang, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), nil
}

// platformFlags are clang's, by platform and processor of the guest.
var platformFlags = map[string]map[guestabi.CPU][]string{
	"linux/amd64": {
		guestabi.CPUv2: {"--target=x86_64-linux-gnu", "-march=x86-64-v2"},
		guestabi.CPUv3: {"--target=x86_64-linux-gnu", "-march=x86-64-v3"},
	},
}

// Platforms lists what objects are made for.
func Platforms() []string {
	var names []string
	for name := range platformFlags {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// compileFlags make code that is position-independent, imports nothing and
// means what the wasm means: integers wrap, floating point is as written.
// Machine code follows the lines of the C code, which are numbers of places.
var compileFlags = []string{
	"-x", "c", "-std=gnu11", "-O1", "-fPIC", "-ffreestanding", "-fvisibility=hidden",
	"-fwrapv", "-fno-strict-aliasing", "-ffp-contract=off", "-fno-math-errno", "-fno-stack-protector",
	"-fno-asynchronous-unwind-tables", "-fomit-frame-pointer", "-gline-tables-only", "-w", "-c",
	"-fdebug-compilation-dir=.",
	// Two accesses that are made one have no line.
	"-mllvm", "-hoist-common-insts=false", "-mllvm", "-sink-common-insts=false", "-mllvm", "-enable-tail-merge=false",
}

// linkFlags make an object without relocations.
var linkFlags = []string{
	"-shared", "-nostdlib", "-z", "separate-code", "-z", "noexecstack", "--no-undefined", "--hash-style=gnu", "--build-id=none", "-Bsymbolic",
}

// chunkSize is how much wasm, in bytes, becomes one C file: that bounds the
// memory of the compiler.
const chunkSize = 192 << 10

// Compile compiles a unit in dir, an empty folder, and returns the path of the
// object.
func Compile(ctx context.Context, unit []byte, dir string, o Options) (string, error) {
	m, err := wasm.Decode(unit)
	if err != nil {
		return "", fmt.Errorf("reading the unit: %w", err)
	}
	section, ok := m.Custom(artifact.SectionUnit)
	if !ok {
		return "", fmt.Errorf("reading the unit: it has no section %s", artifact.SectionUnit)
	}
	var report artifact.UnitReport
	if err := json.Unmarshal(section, &report); err != nil {
		return "", fmt.Errorf("reading the unit: section %s: %w", artifact.SectionUnit, err)
	}
	cpu, err := guestabi.ParseCPU(report.CPU)
	if err != nil {
		return "", fmt.Errorf("reading the unit: %w", err)
	}
	u, err := cgen.New(m, cpu)
	if err != nil {
		return "", err
	}
	platform, ok := platformFlags[o.Platform]
	if !ok {
		return "", fmt.Errorf("there is no platform %q: have %s", o.Platform, strings.Join(Platforms(), ", "))
	}
	flags, ok := platform[cpu]
	if !ok {
		return "", fmt.Errorf("there is no code for %s on %s", cpu, o.Platform)
	}
	b := &builder{dir: dir, o: o, flags: append(slices.Clone(flags), compileFlags...)}
	if err := b.write(u); err != nil {
		return "", err
	}
	if err := b.compile(ctx); err != nil {
		return "", err
	}
	return b.link(ctx, u)
}

// builder compiles one unit.
type builder struct {
	dir   string
	o     Options
	flags []string
	files []string // C files, in the order of the link
}

// write writes the C code.
func (b *builder) write(u *cgen.Unit) error {
	if err := b.add("runtime.c", u.Runtime()); err != nil {
		return err
	}
	for from := 0; from < u.Functions(); {
		to, size := from, 0
		for to < u.Functions() && (to == from || size+u.Size(to) <= chunkSize) {
			size += u.Size(to)
			to++
		}
		code, err := u.Chunk(from, to)
		if err != nil {
			return err
		}
		if err := b.add(fmt.Sprintf("chunk%d.c", from), code); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (b *builder) add(name, code string) error {
	b.files = append(b.files, name)
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(code), 0o600); err != nil {
		return fmt.Errorf("writing C code: %w", err)
	}
	return nil
}

// compile runs a compiler for each file. C code is removed when it is compiled.
func (b *builder) compile(ctx context.Context) error {
	var wait sync.WaitGroup
	var mu sync.Mutex
	done := 0
	errs := make([]error, len(b.files))
	slots := make(chan struct{}, max(b.o.Workers, 1))
	for i, f := range b.files {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			if errs[i] = b.run(ctx, b.o.Tools.Clang, append(slices.Clone(b.flags), "-o", f+".o", f)...); errs[i] != nil {
				return
			}
			errs[i] = os.Remove(filepath.Join(b.dir, f))
			mu.Lock()
			defer mu.Unlock()
			done++
			if b.o.Progress != nil {
				b.o.Progress(done, len(b.files))
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// link joins the files and puts the code maps of the unit beside them.
func (b *builder) link(ctx context.Context, u *cgen.Unit) (string, error) {
	const linked, maps, object = "linked.so", "codemap", "unit.so"
	args := append(slices.Clone(linkFlags), "-o", linked)
	for _, f := range b.files {
		args = append(args, f+".o")
	}
	if err := b.run(ctx, b.o.Tools.LLD, args...); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(b.dir, maps), u.CodeMaps(), 0o600); err != nil {
		return "", fmt.Errorf("writing code maps: %w", err)
	}
	err := b.run(ctx, b.o.Tools.Objcopy, "--strip-unneeded", "--keep-section=.debug_*", "--add-section", guestabi.NativeSectionMaps+"="+maps, linked, object)
	return filepath.Join(b.dir, object), err
}

// run runs a tool. What it says belongs to the error.
func (b *builder) run(ctx context.Context, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = b.dir
	cmd.Env = []string{"LC_ALL=C", "TMPDIR=" + b.dir}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		said := bytes.TrimSpace(out.Bytes())
		return fmt.Errorf("running %s on %s: %w: %s", filepath.Base(path), args[len(args)-1], err, said[:min(len(said), 2000)])
	}
	return nil
}
