package lift

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// maxInstLen is the length of the longest x86 instruction in bytes (Intel SDM
// vol. 2, 2.3.11).
const maxInstLen = 15

// Options configure Func; the zero value is right for production.
type Options struct {
	// MaxCodeBytes bounds the bytes of all blocks of a function together, which
	// may overlap. 0 means DefaultMaxCodeBytes.
	MaxCodeBytes int
	// CPU is the processor that the guest sees: what it does not have faults.
	CPU guestabi.CPU
	// Only asks for one of the meanings that a function has where MXCSR matters.
	Only Meaning
	// Finish, if it is not nil, is called with each block that has its
	// terminator, and may remove instructions.
	Finish func(b *ir.Block)
	// Scratch, if it is not nil, is used by one Func at a time.
	Scratch *Scratch
}

// Scratch is memory that Func uses again.
type Scratch struct {
	decoded []x86.Inst
	block   []ir.Inst // instructions of the block that is being lifted
}

// Meaning is how a function depends on MXCSR.
type Meaning uint8

// The meanings. A function that is lifted both ways has the careful one as its
// ir.Func.Careful.
const (
	Both    Meaning = iota
	Plain           // as MXCSR is at the start of a process
	Careful         // whatever MXCSR is
)

// DefaultMaxCodeBytes is far above any function of a real program: the largest
// seen is about 1 MiB.
const DefaultMaxCodeBytes = 64 << 20

// Report says what Func did.
type Report struct {
	Instructions int            // lifted
	Unsupported  map[string]int // instructions lowered to a fault, by mnemonic
	Errors       []*UnsupportedError
}

// CodeFunc returns up to n bytes of code at a link-time address; fewer (or
// none) where the program has no bytes.
type CodeFunc func(addr uint64, n int) []byte

// Func lifts fn, a function of p.
func Func(p *programpb.Program, fn *programpb.Function, code CodeFunc, opts Options) (*ir.Func, *Report, error) {
	src := source{name: fn.GetName(), start: fn.GetStart(), isBad: unknownOf(p)}
	for _, b := range fn.GetBlocks() {
		src.blocks = append(src.blocks, span{start: b.GetStart(), size: b.GetSize(), entry: b.GetEntry(), targets: b.GetTargets()})
	}
	return src.lift(code, opts)
}

// Bytes lifts code that lies at pc as one function, for a processor that has
// every instruction of the table: straight-line code or code with jumps inside.
// Control that reaches its end leaves to pc + len(code).
func Bytes(code []byte, pc uint64) (*ir.Func, error) { return BytesOnly(code, pc, Both) }

// BytesOnly is Bytes for one meaning.
func BytesOnly(code []byte, pc uint64, only Meaning) (*ir.Func, error) {
	src := source{name: "bytes", start: pc, isBad: func(uint64) bool { return false }, blocks: sweep(code, pc)}
	f, report, err := src.lift(func(addr uint64, n int) []byte {
		if addr < pc || addr-pc > uint64(len(code)) {
			return nil
		}
		rest := code[addr-pc:]
		return rest[:min(n, len(rest))]
	}, Options{CPU: guestabi.CPUv3, Only: only})
	if err != nil {
		return nil, err
	}
	if len(report.Errors) > 0 {
		return f, report.Errors[0]
	}
	return f, nil
}

// sweep cuts code into blocks by decoding it from its start.
func sweep(code []byte, pc uint64) []span {
	end := pc + uint64(len(code))
	leaders := map[uint64]bool{pc: true}
	for at := pc; at < end; {
		in, err := x86.Decode(code[at-pc:], at)
		if err != nil {
			break
		}
		at = in.Next()
		if target, ok := in.DirectTarget(); ok && target >= pc && target < end && !in.IsCall() {
			leaders[target] = true
		}
		if in.EndsBlock() && at < end {
			leaders[at] = true
		}
	}
	var starts []uint64
	for at := range leaders {
		starts = append(starts, at)
	}
	sort.Slice(starts, func(i, j int) bool { return starts[i] < starts[j] })
	var blocks []span
	for i, at := range starts {
		next := end
		if i+1 < len(starts) {
			next = starts[i+1]
		}
		blocks = append(blocks, span{start: at, size: uint32(next - at)})
	}
	return blocks
}

// Undefined returns the flags that in leaves undefined; tests mask them.
func Undefined(in x86.Inst) Flags {
	row := table(guestabi.CPUv3)[in.Op]
	undef := row.Undef
	if row.UndefForm != nil {
		undef |= row.UndefForm(in)
	}
	return undef
}

// unknownOf returns whether an address is one that the analyzer refused.
func unknownOf(p *programpb.Program) func(uint64) bool {
	unknown := p.GetUnknown()
	return func(addr uint64) bool {
		i := sort.Search(len(unknown), func(i int) bool { return unknown[i].GetAddress() >= addr })
		return i < len(unknown) && unknown[i].GetAddress() == addr
	}
}

// source is a function as the lifter takes it.
type source struct {
	name   string
	start  uint64
	blocks []span
	isBad  func(addr uint64) bool
}

// span is a guest block.
type span struct {
	start   uint64
	size    uint32
	entry   bool
	targets []uint64
}

// check refuses what could not be lifted into a valid function.
func (s *source) check(opts Options) error {
	limit := uint64(DefaultMaxCodeBytes)
	if opts.MaxCodeBytes > 0 {
		limit = uint64(opts.MaxCodeBytes)
	}
	var total uint64
	seen := map[uint64]bool{}
	for _, b := range s.blocks {
		if b.start+uint64(b.size) > 1<<32 || b.start >= 1<<32 {
			return fmt.Errorf("lifting %s: block at %#x lies above 4 GiB", s.label(), b.start)
		}
		if b.size == 0 {
			return fmt.Errorf("lifting %s: empty block at %#x", s.label(), b.start)
		}
		if seen[b.start] {
			return fmt.Errorf("lifting %s: two blocks at %#x", s.label(), b.start)
		}
		seen[b.start] = true
		if total += uint64(b.size); total > limit {
			return fmt.Errorf("lifting %s: more than %d bytes of code in one function", s.label(), limit)
		}
	}
	if !seen[s.start] {
		return fmt.Errorf("lifting %s: no block at its start", s.label())
	}
	return nil
}

func (s *source) label() string {
	if s.name != "" {
		return fmt.Sprintf("%s at %#x", s.name, s.start)
	}
	return fmt.Sprintf("function at %#x", s.start)
}

// lift makes an IR block for each guest block, the start's first, and fills
// them in that order.
func (s *source) lift(code CodeFunc, opts Options) (*ir.Func, *Report, error) {
	if err := s.check(opts); err != nil {
		return nil, nil, err
	}
	blocks := append([]span(nil), s.blocks...)
	sort.SliceStable(blocks, func(i, j int) bool {
		if a, b := blocks[i].start == s.start, blocks[j].start == s.start; a != b {
			return a
		}
		return blocks[i].start < blocks[j].start
	})
	blocks = splitAtMXCSR(blocks, code)
	if opts.Scratch == nil {
		opts.Scratch = new(Scratch)
	}
	decoded := decodeAll(blocks, code, opts.Scratch)
	report := &Report{Unsupported: map[string]int{}}
	f, depends := s.meaning(blocks, decoded, opts, opts.Only == Careful, report)
	if depends && opts.Only == Both {
		f.Careful, _ = s.meaning(blocks, decoded, opts, true, &Report{Unsupported: map[string]int{}})
	}
	return f, report, nil
}

// listing is the instructions of a guest block up to its end, or to one that
// cannot be decoded, whose bytes are bad.
type listing struct {
	insts []x86.Inst
	bad   []byte
	err   error
}

func decodeAll(blocks []span, code CodeFunc, scratch *Scratch) []listing {
	insts := scratch.decoded[:0]
	ends := make([]int, len(blocks))
	out := make([]listing, len(blocks))
	for i, b := range blocks {
		for at, end := b.start, b.start+uint64(b.size); at < end; {
			bytes := code(at, maxInstLen)
			in, err := x86.Decode(bytes, at)
			if err != nil {
				out[i].bad, out[i].err = bytes, err
				break
			}
			insts = append(insts, in)
			at = in.Next()
		}
		ends[i] = len(insts)
	}
	scratch.decoded = insts
	for i, first := 0, 0; i < len(out); i++ {
		out[i].insts = insts[first:ends[i]]
		first = ends[i]
	}
	return out
}

// meaning lifts the blocks, with the careful meaning of what depends on MXCSR if
// that is asked for. It reports whether anything does.
func (s *source) meaning(blocks []span, decoded []listing, opts Options, careful bool, report *Report) (f *ir.Func, depends bool) {
	f = &ir.Func{Name: s.name, PC: uint32(s.start)}
	l := &Lifter{b: ir.Builder{Func: f}, table: table(opts.CPU), targets: map[uint64]ir.BlockID{}, isBad: s.isBad,
		preds: map[uint64]predecessor{}, atEnd: map[uint64]origin{}, isCareful: careful,
		finish: opts.Finish, scratch: opts.Scratch}
	for _, b := range blocks {
		nb := f.NewBlock(uint32(b.start))
		nb.Entry = b.entry || b.start == s.start
		l.targets[b.start] = nb.ID
	}
	l.findPredecessors(blocks, decoded)
	for i, b := range blocks {
		l.liftBlock(b, &decoded[i], report)
	}
	return f, l.depends
}

// liftBlock fills the IR block of b, and appends the blocks inside of its
// instructions.
func (l *Lifter) liftBlock(b span, from *listing, report *Report) {
	l.known = l.known[:0]
	for _, target := range b.targets {
		if id, ok := l.targets[target]; ok {
			l.known = append(l.known, id)
		}
	}
	l.startBlock(l.b.Func.Blocks[l.targets[b.start]])
	if before, ok := l.inherits(b); ok {
		l.origin = l.atEnd[before]
	}
	defer func() { l.atEnd[b.start] = l.origin }()
	insts := from.insts
	l.findDead(insts)
	for i, in := range insts {
		l.b.PC, l.dead = uint32(in.PC), l.deadAfter[i]
		if err := l.liftInst(in); err != nil {
			var unsupported *UnsupportedError
			if !errors.As(err, &unsupported) {
				panic(fmt.Sprintf("BUG: %s at %#x: %v", in.Op, in.PC, err))
			}
			report.add(unsupported)
			l.fault(guestabi.FaultUndefined)
			return
		}
		report.Instructions++
		if l.ended {
			return
		}
	}
	at := b.start
	if n := len(insts); n > 0 {
		at = insts[n-1].Next()
	}
	if from.err != nil {
		l.b.PC, l.in = uint32(at), x86.Inst{PC: at}
		report.add(&UnsupportedError{PC: at, Name: "(bad)", Bytes: from.bad, Reason: from.err.Error()})
		l.fault(guestabi.FaultUndefined)
		return
	}
	l.goTo(at)
}

// findDead finds, for each instruction of a block, which flags that it writes are
// overwritten in the block before anything reads them. (A fault in between shows
// the guest a flag of an earlier instruction, which no program looks at; faults
// that end a block show all flags.)
func (l *Lifter) findDead(insts []x86.Inst) {
	l.deadAfter = slices.Grow(l.deadAfter[:0], len(insts))[:len(insts)]
	live := arith
	for i := len(insts) - 1; i >= 0; i-- {
		l.deadAfter[i] = arith &^ live
		row, ok := l.table[insts[i].Op]
		if !ok {
			live = arith // it faults
			continue
		}
		live = live&^(row.Writes&^row.Reads) | row.Reads
	}
}

func (r *Report) add(e *UnsupportedError) {
	e.Bytes = append([]byte(nil), e.Bytes...)
	r.Unsupported[e.Name]++
	r.Errors = append(r.Errors, e)
}

// liftInst appends one instruction and holds its handler to its row.
func (l *Lifter) liftInst(in x86.Inst) error {
	l.in, l.wrote, l.read = in, 0, 0
	l.ea.block = ir.NoBlock
	row, ok := l.table[in.Op]
	if !ok {
		return l.unsupported("no row in the table")
	}
	if in.Lock && !row.Lock {
		return l.unsupported("LOCK prefix")
	}
	meaning := row.Lift
	if row.Careful != nil {
		l.depends = true
		if l.isCareful {
			meaning = row.Careful
		}
	}
	if err := meaning(l, in); err != nil {
		return err
	}
	if extra := l.wrote &^ (row.Writes | row.Undef); extra != 0 {
		panic(fmt.Sprintf("BUG: %s at %#x wrote %s, its row says %s", in.Op, in.PC, l.wrote, row.Writes))
	}
	if missing := row.Writes &^ row.Reads &^ l.wrote; missing != 0 {
		panic(fmt.Sprintf("BUG: %s at %#x did not write %s", in.Op, in.PC, missing))
	}
	if extra := l.read &^ row.Reads; extra != 0 {
		panic(fmt.Sprintf("BUG: %s at %#x read %s, its row says %s", in.Op, in.PC, extra, row.Reads))
	}
	return nil
}

// fault ends the block with a fault at the current instruction.
func (l *Lifter) fault(f guestabi.Fault) {
	l.end(ir.Term{Kind: ir.TermFault, Fault: f, PC: uint32(l.in.PC)})
}

// goTo ends the block with a jump to a guest address, wherever it is.
func (l *Lifter) goTo(addr uint64) {
	if id, ok := l.targets[addr]; ok {
		l.end(ir.Term{Kind: ir.TermJump, To: id})
		return
	}
	l.end(l.leave(addr))
}

// leave returns the terminator that goes to addr, which is no block of the
// function.
func (l *Lifter) leave(addr uint64) ir.Term {
	if addr >= 1<<32 {
		return ir.Term{Kind: ir.TermFault, Fault: guestabi.FaultBadPC, PC: uint32(addr)}
	}
	if l.isBad(addr) {
		return ir.Term{Kind: ir.TermFault, Fault: guestabi.FaultUndefined, PC: uint32(addr)}
	}
	return ir.Term{Kind: ir.TermTail, PC: uint32(addr)}
}

// blockAt returns a block that goes to addr: the one of that address, or a new
// one that leaves the function.
func (l *Lifter) blockAt(addr uint64) *ir.Block {
	if id, ok := l.targets[addr]; ok {
		return l.b.Func.Blocks[id]
	}
	b := l.newBlock()
	b.Term = l.leave(addr)
	return b
}

// returnSite marks the block at addr as one that the dispatcher may enter, and
// returns its ID, or NoBlock.
func (l *Lifter) returnSite(addr uint64) ir.BlockID {
	id, ok := l.targets[addr]
	if !ok {
		return ir.NoBlock
	}
	l.b.Func.Blocks[id].Entry = true
	return id
}
