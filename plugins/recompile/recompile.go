// Package recompile turns the program that an analyzer found in an ELF file
// into a unit: a WebAssembly module against the guest ABI. In between lies a
// small IR (internal/ir): instructions are lifted to it, passes improve it, and
// it is lowered to structured WebAssembly.
package recompile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/plugins/recompile/internal/lower"
	"megabinary.dev/plugins/recompile/internal/pass"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/guestabi"
)

// Options say how to recompile; the zero value optimises and is silent.
type Options struct {
	NoOpt         bool     // run the required passes only
	DisablePasses []string // passes to leave out
	Verify        bool     // check the IR between passes
	// Plain, if it is not nil, says which functions get the required passes
	// only, by their start.
	Plain   func(pc uint32) bool
	Workers int // functions at a time; 0: as many as there are processors
	// CPU is the processor that the guest sees.
	CPU guestabi.CPU
	// Dump, if it is not nil, is called after each pass with the IR of the
	// function that starts at DumpPC. "lift" names the state before the passes.
	Dump   func(pass, text string)
	DumpPC uint32
	lines  func([]lower.Line) // called with those of the function at DumpPC
	// After, if it is not nil, is called after each pass over each function, by
	// several goroutines, and may change it: tests break passes with it.
	After func(pass string, f *ir.Func)
	// Progress is called now and then with the number of functions done.
	Progress func(done, total int)
}

// Recompile makes the unit of the ELF file elf, in which p was found.
func Recompile(ctx context.Context, elf io.ReaderAt, p *programpb.Program, opts Options) (unit []byte, report artifact.UnitReport, err error) {
	r, err := newRecompilation(ctx, elf, p, opts)
	if err != nil {
		return nil, artifact.UnitReport{}, err
	}
	if err := r.lift(); err != nil {
		return nil, artifact.UnitReport{}, err
	}
	if err := r.optimise(); err != nil {
		return nil, artifact.UnitReport{}, err
	}
	report = r.report()
	if report.Data, err = dataSegments(elf, p); err != nil {
		return nil, artifact.UnitReport{}, err
	}
	in := &lower.Input{
		Name: "unit", Funcs: r.funcs, Low: r.low, High: r.high,
		PIC: p.GetPositionIndependent(), Report: report, Workers: r.workers,
	}
	if opts.lines != nil {
		in.Lines = &lower.Lines{PC: opts.DumpPC, Done: opts.lines}
	}
	m, err := lower.Unit(in)
	if err != nil {
		return nil, artifact.UnitReport{}, err
	}
	return m.Encode(), in.Report, nil
}

type recompilation struct {
	ctx       context.Context
	p         *programpb.Program
	opts      Options
	passes    pass.Options
	workers   int
	image     *image
	low, high uint32

	selected []*programpb.Function
	funcs    []*ir.Func
	reports  []*lift.Report
	done     atomic.Int64
}

func newRecompilation(ctx context.Context, elf io.ReaderAt, p *programpb.Program, opts Options) (*recompilation, error) {
	r := &recompilation{ctx: ctx, p: p, opts: opts, workers: opts.Workers}
	if r.workers <= 0 {
		r.workers = runtime.GOMAXPROCS(0)
	}
	r.passes = pass.Options{RequiredOnly: opts.NoOpt, Verify: opts.Verify, Disabled: map[string]bool{}}
	for _, name := range opts.DisablePasses {
		r.passes.Disabled[name] = true
	}
	if err := r.passes.Check(); err != nil {
		return nil, fmt.Errorf("choosing passes: %w", err)
	}
	var err error
	if r.image, err = newImage(elf, p); err != nil {
		return nil, err
	}
	if r.low, r.high, err = bounds(p); err != nil {
		return nil, err
	}
	for _, fn := range p.GetFunctions() {
		if len(fn.GetBlocks()) == 0 {
			continue
		}
		r.selected = append(r.selected, cut(fn, r.image.code)...)
	}
	sort.SliceStable(r.selected, func(i, j int) bool { return r.selected[i].GetStart() < r.selected[j].GetStart() })
	for i := 1; i < len(r.selected); i++ {
		if r.selected[i].GetStart() == r.selected[i-1].GetStart() {
			return nil, fmt.Errorf("reading the program: two functions at %#x", r.selected[i].GetStart())
		}
	}
	return r, nil
}

// bounds returns the addresses that the program's executable segments take.
func bounds(p *programpb.Program) (low, high uint32, err error) {
	const pfX = 1
	lo, hi := uint64(math.MaxUint64), uint64(0)
	for _, s := range p.GetSegments() {
		if s.GetFlags()&pfX == 0 || s.GetMemorySize() == 0 {
			continue
		}
		end := s.GetAddress() + s.GetMemorySize()
		if end > 1<<32-1 || end < s.GetAddress() {
			return 0, 0, fmt.Errorf("reading the program: executable segment at %#x ends above 4 GiB", s.GetAddress())
		}
		lo, hi = min(lo, s.GetAddress()), max(hi, end)
	}
	if hi == 0 {
		return 0, 0, errors.New("reading the program: no executable segment")
	}
	if hi-lo > maxCode {
		return 0, 0, fmt.Errorf("reading the program: executable segments span %d bytes, more than %d", hi-lo, uint64(maxCode))
	}
	return uint32(lo), uint32(hi), nil
}

// maxCode bounds the addresses that executable segments span, in bytes: the
// dispatcher's size grows with them.
const maxCode = 1 << 30

// each runs do for each index below n, by several workers at a time, until the
// context is cancelled, and joins the errors in the order of the indices.
func (r *recompilation) each(n int, do func(worker, i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for worker := range r.workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				i := int(next.Add(1)) - 1
				if i >= n || r.ctx.Err() != nil {
					return
				}
				errs[i] = do(worker, i)
			}
		}()
	}
	wg.Wait()
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("recompiling: %w", err)
	}
	return errors.Join(errs...)
}

func (r *recompilation) lift() error {
	n := len(r.selected)
	r.funcs, r.reports = make([]*ir.Func, n), make([]*lift.Report, n)
	scratch := make([]lift.Scratch, r.workers)
	contexts := make([]pass.Context, r.workers)
	err := r.each(n, func(worker, i int) (err error) {
		fn := r.selected[i]
		opts := lift.Options{CPU: r.opts.CPU, Scratch: &scratch[worker]}
		if !r.opts.NoOpt {
			opts.Finish = contexts[worker].Prepare
		}
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("lifting %s at %#x: %v", fn.GetName(), fn.GetStart(), p)
			}
		}()
		r.funcs[i], r.reports[i], err = lift.Func(r.p, fn, r.image.code, opts)
		return err
	})
	if err == nil {
		markCycles(r.funcs)
	}
	return err
}

func (r *recompilation) optimise() error {
	flags := pass.AllFlags()
	if !r.opts.NoOpt {
		flags = pass.Summarize(r.funcs)
	}
	contexts := make([]pass.Context, r.workers)
	for i := range contexts {
		contexts[i].Flags = flags
	}
	n := len(r.funcs)
	return r.each(n, func(worker, i int) error {
		c, f := &contexts[worker], r.funcs[i]
		o := r.passes
		o.RequiredOnly = o.RequiredOnly || r.opts.Plain != nil && r.opts.Plain(f.PC)
		o.Trace = r.opts.After
		if r.opts.Dump != nil && f.PC == r.opts.DumpPC {
			o.Trace = func(name string, f *ir.Func) { r.opts.Dump(name, f.String()) }
		}
		if err := pass.Run(c, f, &o); err != nil {
			return err
		}
		if f.Careful != nil {
			o.Trace = nil
			if err := pass.Run(c, f.Careful, &o); err != nil {
				return err
			}
		}
		if done := r.done.Add(1); r.opts.Progress != nil && (done%256 == 0 || int(done) == n) {
			r.opts.Progress(int(done), n)
		}
		return nil
	})
}

// dataSegments hashes what is loaded from the file beside code.
func dataSegments(elf io.ReaderAt, p *programpb.Program) ([]artifact.ExecMapSegment, error) {
	const executable = 1 // PF_X
	var all []artifact.ExecMapSegment
	for _, s := range p.GetSegments() {
		if s.GetFlags()&executable != 0 || s.GetFileSize() == 0 {
			continue
		}
		sum := sha256.New()
		if _, err := io.CopyN(sum, io.NewSectionReader(elf, int64(s.GetFileOffset()), math.MaxInt64-int64(s.GetFileOffset())), int64(s.GetFileSize())); err != nil {
			return nil, fmt.Errorf("hashing the data at %#x: %w", s.GetAddress(), err)
		}
		all = append(all, artifact.ExecMapSegment{Address: s.GetAddress(), Size: s.GetFileSize(), Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil))})
	}
	return all, nil
}

func (r *recompilation) report() artifact.UnitReport {
	p := r.p
	rep := artifact.UnitReport{
		ABI: guestabi.Version, Subject: "sha256:" + p.GetSha256(),
		PositionIndependent: p.GetPositionIndependent(),
		Low:                 uint64(r.low), High: uint64(r.high),
		Functions: len(r.funcs), TextBytes: p.GetCoverage().GetTextBytes(),
		Unresolved: len(p.GetUnresolved()), Recompiler: Name + " " + Version, CPU: r.opts.CPU.Label(),
	}
	for i, fn := range r.selected {
		rep.Instructions += r.reports[i].Instructions
		for _, b := range fn.GetBlocks() {
			rep.TranslatedBytes += uint64(b.GetSize())
		}
		for name, n := range r.reports[i].Unsupported {
			if rep.Unknown == nil {
				rep.Unknown = map[string]int{}
			}
			rep.Unknown[name] += n
		}
	}
	return rep
}
