package recompile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/lower"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/wasm"
	"megabinary.dev/sdk/x86"
)

// Dump is what became of one function on its way from guest code to wasm.
type Dump struct {
	Name   string
	PC     uint64
	Guest  []GuestInst
	Stages []DumpStage // lifted IR and IR after each pass
	Wasm   []WasmLine
}

// WasmLine is a line of the text of a wasm function.
type WasmLine struct {
	PC   uint64 // of the guest instruction that it was made from; 0: none
	Text string
}

// GuestInst is one instruction of guest code.
type GuestInst struct {
	PC    uint64
	Bytes []byte
	Text  string
	Block bool // begins a basic block
}

// DumpStage is the IR of a function after a pass.
type DumpStage struct {
	Pass string
	Text string
}

// DumpFunction recompiles a program and returns what became of the function
// fn of it.
func DumpFunction(ctx context.Context, elf io.ReaderAt, p *programpb.Program, fn *programpb.Function, opts Options) (*Dump, error) {
	d := &Dump{Name: fn.GetName(), PC: fn.GetStart()}
	opts.DumpPC = uint32(fn.GetStart())
	opts.Dump = func(pass, text string) { d.Stages = append(d.Stages, DumpStage{pass, text}) }
	var lines []lower.Line
	opts.lines = func(l []lower.Line) { lines = l }
	unit, _, err := Recompile(ctx, elf, p, opts)
	if err != nil {
		return nil, err
	}
	im, err := newImage(elf, p)
	if err != nil {
		return nil, err
	}
	for _, b := range fn.GetBlocks() {
		d.Guest = append(d.Guest, disassemble(im, p, b)...)
	}
	d.Wasm, err = wasmText(unit, p, fn, lines, im)
	return d, err
}

// disassemble decodes one block, in the syntax of GNU.
func disassemble(im *image, p *programpb.Program, b *programpb.Block) []GuestInst {
	var out []GuestInst
	end := b.GetStart() + uint64(b.GetSize())
	for at := b.GetStart(); at < end; {
		code := im.code(at, 15)
		g := GuestInst{PC: at, Text: "(bad)", Block: at == b.GetStart()}
		n := 1
		if in, err := x86.Decode(code, at); err == nil {
			n = in.Len
			g.Text = x86asm.GNUSyntax(in.Inst, at, symbols(p))
		}
		g.Bytes = append([]byte(nil), code[:min(n, len(code))]...)
		out = append(out, g)
		at += uint64(n)
	}
	return out
}

// symbols returns a lookup of function names.
func symbols(p *programpb.Program) x86asm.SymLookup {
	return func(addr uint64) (string, uint64) {
		if fn := FindFunction(p, addr); fn != nil && fn.GetName() != "" {
			return fn.GetName(), fn.GetStart()
		}
		return "", 0
	}
}

// FindFunction returns the function that starts at an address, or nil.
func FindFunction(p *programpb.Program, addr uint64) *programpb.Function {
	fns := p.GetFunctions()
	lo, hi := 0, len(fns)
	for lo < hi {
		if mid := (lo + hi) / 2; fns[mid].GetStart() < addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(fns) && fns[lo].GetStart() == addr {
		return fns[lo]
	}
	return nil
}

// wasmText prints the wasm function of fn: guest functions are the first ones
// that a unit defines, by address.
func wasmText(unit []byte, p *programpb.Program, fn *programpb.Function, lines []lower.Line, im *image) ([]WasmLine, error) {
	m, err := wasm.Decode(unit)
	if err != nil {
		return nil, fmt.Errorf("reading the unit: %w", err)
	}
	index := uint32(0)
	for _, other := range p.GetFunctions() {
		if len(other.GetBlocks()) == 0 {
			continue
		}
		for _, piece := range cut(other, im.code) {
			if piece.GetStart() < fn.GetStart() {
				index++
			}
		}
	}
	var text bytes.Buffer
	if err := m.PrintFunc(&text, m.Imported(wasm.KindFunc)+index); err != nil {
		return nil, fmt.Errorf("printing %s: %w", fn.GetName(), err)
	}
	var pcs []uint64 // of each instruction
	offset := 0
	err = wasm.Walk(m.Funcs[index].Code, func(in *wasm.Inst, _ int) error {
		for len(lines) > 1 && lines[1].Offset <= offset {
			lines = lines[1:]
		}
		pc := uint64(0)
		if len(lines) > 0 && lines[0].Offset <= offset {
			pc = uint64(lines[0].PC)
		}
		pcs = append(pcs, pc)
		offset += len(in.Bytes)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the wasm of %s: %w", fn.GetName(), err)
	}
	// The text is a head, a line for each instruction but the last end, and a
	// parenthesis.
	var out []WasmLine
	texts := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	head := len(texts) - len(pcs)
	for i, t := range texts {
		line := WasmLine{Text: t}
		if k := i - head; k >= 0 && k < len(pcs)-1 {
			line.PC = pcs[k]
		}
		out = append(out, line)
	}
	return out, nil
}

// WasmText is the wasm as one text.
func (d *Dump) WasmText() string {
	var s strings.Builder
	for _, line := range d.Wasm {
		s.WriteString(line.Text + "\n")
	}
	return s.String()
}

// Changed returns the stages that differ from the one before.
func (d *Dump) Changed() []DumpStage {
	var out []DumpStage
	last := ""
	for _, s := range d.Stages {
		if s.Text != last {
			out = append(out, s)
		}
		last = s.Text
	}
	return out
}

// GuestText lists the guest code.
func (d *Dump) GuestText() string {
	var s strings.Builder
	for _, g := range d.Guest {
		if g.Block {
			s.WriteString("\n")
		}
		fmt.Fprintf(&s, "  %#x: %-30x %s\n", g.PC, g.Bytes, g.Text)
	}
	return s.String()
}
