package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/machine"
)

// esbuild is the program that npm's package of that name holds, a large one in
// Go, by the module that it is built from.
const esbuild = "github.com/evanw/esbuild/cmd/esbuild@v0.25.0"

// costs measures what a file costs, stage by stage: each stage is run as the
// engine runs it, in a process of its own, with reading and writing the store.
// The ratios are by MB of text, less what starting the processes costs.
func (b *bench) costs() error {
	dir := filepath.Join(b.out, "costs")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing %s: %w", dir, err)
	}
	install := exec.Command("go", "install", "-trimpath", "-ldflags=-s -w", esbuild)
	install.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+dir, "GOFLAGS=-mod=mod")
	if msg, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", esbuild, err, msg)
	}
	var started result
	tiny := filepath.Join(dir, "tiny")
	compile := exec.Command("gcc", "-nostdlib", "-static", "-x", "c", "-o", tiny, "-")
	compile.Stdin = strings.NewReader("void _start(void) { for (;;) ; }")
	if msg, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling an empty program: %w: %s", err, msg)
	}
	for _, f := range []struct{ name, path string }{
		{emptyProgram, tiny}, // compiles the sandboxed analyzer
		{emptyProgram, tiny}, // what starting costs
		{"busybox-static", "/bin/busybox"},
		{"libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6"},
		{"libcrypto.so.3", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"},
		{"python3.11", "/usr/bin/python3.11"},
		{"esbuild", filepath.Join(dir, "esbuild")},
	} {
		r, err := b.cost(dir, f.name, f.path)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if f.name == emptyProgram {
			started = r
		}
		for stage, n := range started.Values {
			key := "to wasm, s/MB"
			if stage == stageWazero {
				key = "wazero, s/MB"
			}
			if stage != stageLink && stage != textMB && f.name != emptyProgram {
				r.Ratios[key] += (r.Values[stage] - n) / r.Values[textMB]
			}
		}
		b.add(r)
	}
	return nil
}

const emptyProgram = "an empty program"

// The stages, and the size of a file's text, as keys of results.
const (
	stageAnalyze   = "1 analyze, CPU s"
	stageRecompile = "2 recompile, CPU s"
	stageLink      = "3 link, CPU s"
	stageWazero    = "4 wazero, CPU s"
	textMB         = "MB of text"
)

// cost measures one file. Values are CPU seconds by stage; the note holds the
// stages' peaks of memory.
func (b *bench) cost(dir, name, path string) (result, error) {
	self, err := os.Executable()
	if err != nil {
		return result{}, fmt.Errorf("finding this program: %w", err)
	}
	at := func(stage string) string { return filepath.Join(dir, stage) }
	root, err := rootOf(path)
	if err != nil {
		return result{}, err
	}
	if err := os.WriteFile(at("root"), root, 0o644); err != nil {
		return result{}, fmt.Errorf("writing the root file system: %w", err)
	}
	stage := func(plugin string, inputs ...string) []string {
		argv := []string{b.megabin, "plugin", "run", plugin, "--store", at("store"), "-o", at(plugin)}
		for _, in := range inputs {
			argv = append(argv, "-i", in)
		}
		return argv
	}
	program := filepath.Join(at("analyze-elf"), "0")
	unit := filepath.Join(at("recompile"), "0")
	r := result{Section: "costs", Name: name, Values: map[string]float64{}, Ratios: map[string]float64{}}
	for _, s := range []struct {
		name string
		argv []string
	}{
		{stageAnalyze, append(stage("analyze-elf", "elf="+path), "--kind", "sandbox", "--memory", "2GiB")},
		{stageRecompile, stage("recompile", "elf="+path, "program="+program)},
		{stageLink, stage("link-megabinary", artifact.MediaRootFS+"="+at("root"), "program="+program, "unit="+unit)},
		{stageWazero, []string{self, compileCommand, filepath.Join(at("link-megabinary"), "0")}},
	} {
		got, err := run(s.argv)
		if err != nil {
			return result{}, err
		}
		r.Values[s.name] = got.cpu.Seconds()
		r.Note += fmt.Sprintf("%s %d MB ", strings.TrimSuffix(s.name[2:], ", CPU s"), got.maxRSS>>20)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return result{}, fmt.Errorf("reading the program: %w", err)
	}
	p := new(programpb.Program)
	if err := proto.Unmarshal(data, p); err != nil {
		return result{}, fmt.Errorf("decoding the program: %w", err)
	}
	info, err := os.Stat(unit)
	if err != nil {
		return result{}, fmt.Errorf("measuring the unit: %w", err)
	}
	r.Values[textMB] = float64(p.GetCoverage().GetTextBytes()) / 1e6
	r.Note = fmt.Sprintf("%.1f MB of wasm; peaks: %s", float64(info.Size())/1e6, r.Note)
	return r, nil
}

// rootOf is the file system of an image that holds one file.
func rootOf(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	sum := sha256.Sum256(data)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	root, err := json.Marshal(artifact.RootFS{
		ManifestDigest: digest, ConfigDigest: digest, Architecture: "amd64", OS: "linux",
		Files: []artifact.FileEntry{{Path: "/file", Type: "file", Mode: 0o755, Size: int64(len(data)),
			Digest: digest, Kind: artifact.KindELFProgram}},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding a root file system: %w", err)
	}
	return root, nil
}

// compileCommand makes this program compile a megabinary of one unit and end.
const compileCommand = "compile-megabinary"

// compileMegabinary has wazero compile the code of a megabinary as the machine
// does for a process, and keeps nothing.
func compileMegabinary(path string) (err error) {
	module, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the megabinary: %w", err)
	}
	ctx := context.Background()
	e, err := machine.NewWazero(ctx, module, machine.WazeroOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close(ctx)) }()
	mem, err := machine.NewMemory(1 << 20)
	if err != nil {
		return err
	}
	m, err := e.NewMachine(mem, nowhere{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.Bind(0, 0); err != nil {
		return err
	}
	if pc, err := m.Run(noCode); err != nil || pc != machine.Unwind {
		return fmt.Errorf("entering the megabinary where it has no code: PC %s, %w", strconv.FormatUint(uint64(pc), 16), err)
	}
	return nil
}

// noCode is an address that no unit has code at.
const noCode guestabi.PC = 0x1000

// nowhere is a kernel without a guest.
type nowhere struct{}

func (nowhere) Syscall(uint64, [6]uint64, guestabi.PC) (uint64, guestabi.PC) {
	return 0, machine.Unwind
}
func (nowhere) Safepoint(guestabi.PC) guestabi.PC             { return machine.Unwind }
func (nowhere) Fault(guestabi.Fault, guestabi.PC) guestabi.PC { return machine.Unwind }
func (nowhere) Resolve(guestabi.PC) int                       { return -1 }
