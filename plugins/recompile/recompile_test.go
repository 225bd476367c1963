package recompile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/wasm"
)

const codeBase = 0x40_1000

// function is code at the next multiple of 16 bytes, one block.
type function struct {
	name string
	code []byte
}

// testFunctions call each other, loop, and hold an unknown instruction.
var testFunctions = []function{
	{"leaf", []byte{0x8d, 0x04, 0x3f, 0xc3}},                                 // lea eax, [rdi+rdi]; ret
	{"tail", []byte{0xe9, 0xeb, 0xff, 0xff, 0xff}},                           // jmp leaf
	{"loop", []byte{0x48, 0xff, 0xcf, 0x75, 0xfb, 0xc3}},                     // dec rdi; jnz .-3; ret
	{"bad", []byte{0xc5, 0xfc, 0x58, 0xc0, 0xc3}},                            // vaddps ymm0, ymm0, ymm0; ret
	{"store", []byte{0x48, 0x89, 0x3e, 0x48, 0x8b, 0x46, 0x08, 0xc3}},        // mov [rsi], rdi; mov rax, [rsi+8]; ret
	{"double", []byte{0xf2, 0x0f, 0x58, 0xc1, 0xf2, 0x0f, 0x59, 0xc0, 0xc3}}, // addsd xmm0, xmm1; mulsd xmm0, xmm0; ret
	{"sys", []byte{0xb8, 0x27, 0x00, 0x00, 0x00, 0x0f, 0x05, 0xc3}},          // mov eax, 39; syscall; ret
	{"jump", []byte{0xff, 0xe7}},                                             // jmp rdi
	{"call", []byte{0xe8, 0x7b, 0xff, 0xff, 0xff, 0x48, 0xff, 0xc0, 0xc3}},   // call leaf; inc rax; ret
}

// testProgram returns a file and the program in it.
func testProgram(functions []function) ([]byte, *programpb.Program) {
	file := make([]byte, 0x1000)
	p := &programpb.Program{Sha256: strings.Repeat("ab", 32), Entry: codeBase}
	for i, f := range functions {
		at := i * 16
		copy(file[at:], f.code)
		start := uint64(codeBase + at)
		blocks := []*programpb.Block{{Start: start, Size: uint32(len(f.code))}}
		switch f.name {
		case "loop":
			blocks = []*programpb.Block{{Start: start, Size: 5}, {Start: start + 5, Size: 1}}
		case "sys":
			blocks = []*programpb.Block{{Start: start, Size: 7}, {Start: start + 7, Size: 1}}
		case "call":
			blocks = []*programpb.Block{{Start: start, Size: 5}, {Start: start + 5, Size: 4}}
		}
		p.Functions = append(p.Functions, &programpb.Function{Start: start, Name: f.name, Blocks: blocks})
	}
	p.Size = uint64(len(file))
	p.Segments = []*programpb.Segment{{Address: codeBase, FileSize: p.Size, MemorySize: p.Size, Flags: 5}}
	return file, p
}

func recompile(t *testing.T, file []byte, p *programpb.Program, opts Options) ([]byte, artifact.UnitReport) {
	t.Helper()
	opts.Verify = true
	unit, report, err := Recompile(context.Background(), bytes.NewReader(file), p, opts)
	if err != nil {
		t.Fatal(err)
	}
	return unit, report
}

func TestUnit(t *testing.T) {
	file, p := testProgram(testFunctions)
	for _, pic := range []bool{false, true} {
		p.PositionIndependent = pic
		unit, report := recompile(t, file, p, Options{})
		path := filepath.Join(t.TempDir(), "unit.wasm")
		if err := os.WriteFile(path, unit, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("wasm-validate", "--enable-all", path).CombinedOutput(); err != nil {
			t.Fatalf("wasm-validate (apt-get install wabt): %v\n%s", err, out)
		}
		m, err := wasm.Decode(unit)
		if err != nil {
			t.Fatal(err)
		}
		_, hasBase := m.FindExport(guestabi.ExportBase)
		_, hasEnter := m.FindExport(guestabi.ExportEnter)
		if hasBase != pic || !hasEnter {
			t.Errorf("position-independent %v: exports base %v, enter %v", pic, hasBase, hasEnter)
		}
		section, _ := m.Custom(artifact.SectionUnit)
		var inside artifact.UnitReport
		if err := json.Unmarshal(section, &inside); err != nil || inside.Functions != report.Functions {
			t.Errorf("section %s: %v, %+v", artifact.SectionUnit, err, inside)
		}
		if report.Functions != len(testFunctions) || report.Unknown["VADDPS"] != 1 || len(report.Unknown) != 1 {
			t.Errorf("report %+v", report)
		}
	}
}

// TestDeterministic shuffles the functions and changes the number of workers.
func TestDeterministic(t *testing.T) {
	file, p := testProgram(testFunctions)
	want, _ := recompile(t, file, p, Options{Workers: 1})
	for i := range p.Functions { // rotate
		q := proto.Clone(p).(*programpb.Program)
		q.Functions = append(q.Functions[i:], q.Functions[:i]...)
		if got, _ := recompile(t, file, q, Options{Workers: 1 + i}); !bytes.Equal(got, want) {
			t.Errorf("rotated by %d: the unit differs", i)
		}
	}
}

func TestBadPrograms(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p *programpb.Program)
		opts   Options
		want   string
	}{
		{"segment outside of the file", func(p *programpb.Program) { p.Segments[0].FileSize++ }, Options{}, "outside of the file"},
		{"segment offset wraps", func(p *programpb.Program) { p.Segments[0].FileOffset = 1<<64 - 8 }, Options{}, "outside of the file"},
		{"segment above 4 GiB", func(p *programpb.Program) { p.Segments[0].Address = 1 << 32 }, Options{}, "above 4 GiB"},
		{"huge segment", func(p *programpb.Program) { p.Segments[0].MemorySize = 1<<31 + 1 }, Options{}, "span"},
		{"no code", func(p *programpb.Program) { p.Segments[0].Flags = 4 }, Options{}, "no executable segment"},
		{"function twice", func(p *programpb.Program) { p.Functions = append(p.Functions, p.Functions[0]) }, Options{}, "two functions at 0x401000"},
		{"no block at the start", func(p *programpb.Program) { p.Functions[0].Start += 2 }, Options{}, "no block at its start"},
		{"block above 4 GiB", func(p *programpb.Program) { p.Functions[0].Blocks[0].Start = 1 << 40 }, Options{}, "above 4 GiB"},
		{"pass that is not there", func(*programpb.Program) {}, Options{DisablePasses: []string{"magic"}}, `no pass "magic"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, p := testProgram(testFunctions)
			c.change(p)
			_, _, err := Recompile(context.Background(), bytes.NewReader(file), p, c.opts)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestOddBlocks recompiles blocks that no analyzer should give: they must
// become a valid unit or an error.
func TestOddBlocks(t *testing.T) {
	file, p := testProgram(testFunctions)
	b := p.Functions[4].Blocks[0]
	b.Size = 2 // cut an instruction
	p.Functions[0].Blocks = append(p.Functions[0].Blocks,
		&programpb.Block{Start: codeBase + 1, Size: 1}, &programpb.Block{Start: codeBase + 0xfff, Size: 100}, &programpb.Block{Start: 0x10, Size: 4, Entry: true})
	unit, _, err := Recompile(context.Background(), bytes.NewReader(file), p, Options{Verify: true})
	if err == nil {
		_, err = wasm.Decode(unit)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	file, p := testProgram(testFunctions)
	if _, _, err := Recompile(ctx, bytes.NewReader(file), p, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// request is a stage.Request in memory.
type request struct {
	in     map[string][]byte // by media type
	config string
	out    map[string]*bytes.Buffer
}

type blob struct{ *bytes.Reader }

func (blob) Close() error { return nil }

func (r *request) Inputs() []stage.Descriptor {
	var in []stage.Descriptor
	for m := range r.in {
		in = append(in, stage.Descriptor{MediaType: m})
	}
	return in
}

func (r *request) Open(d stage.Descriptor) (stage.Blob, error) {
	return blob{bytes.NewReader(r.in[d.MediaType])}, nil
}

func (r *request) Config(into any) error { return json.Unmarshal([]byte(r.config), into) }

type output struct{ *bytes.Buffer }

func (output) Close() error { return nil }

func (r *request) Create(mediaType string, _ map[string]string) (io.WriteCloser, error) {
	b := &bytes.Buffer{}
	r.out[mediaType] = b
	return output{b}, nil
}

func (r *request) Diagnose(stage.Diagnostic)     {}
func (r *request) Progress(_, _ int64, _ string) {}
func (r *request) Metric(_ string, _ float64)    {}

func TestStage(t *testing.T) {
	file, p := testProgram(testFunctions)
	program, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	s := Stage()
	if !json.Valid(s.Describe().Schema) {
		t.Error("the schema is no JSON")
	}
	r := &request{in: map[string][]byte{artifact.MediaELF: file, artifact.MediaProgram: program}, config: `{"verify": true}`, out: map[string]*bytes.Buffer{}}
	if err := s.Run(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	want, _ := recompile(t, file, p, Options{})
	if !bytes.Equal(r.out[artifact.MediaUnit].Bytes(), want) {
		t.Error("the stage's unit is not that of Recompile")
	}
	var report artifact.UnitReport
	if err := json.Unmarshal(r.out[artifact.MediaUnitReport].Bytes(), &report); err != nil || report.Subject != "sha256:"+p.Sha256 {
		t.Errorf("report %+v, %v", report, err)
	}
	delete(r.in, artifact.MediaProgram)
	if err := s.Run(context.Background(), r); err == nil || !strings.Contains(fmt.Sprint(err), "want one of type") {
		t.Errorf("without a program: %v", err)
	}
}
