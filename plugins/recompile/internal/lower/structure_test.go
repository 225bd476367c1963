package lower

import (
	"fmt"
	"math/rand"
	"testing"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/plugins/recompile/internal/pass"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// Random graphs: each block folds its number into rax, takes one from rcx and
// steps a random generator in rbx, whose bits choose the successor; when rcx
// runs out it goes to the end. walk does the same in Go.
const (
	walkBase = 0x1000
	walkStep = 0x10
	walkMul  = 6364136223846793005
	walkInc  = 1442695040888963407
	walkRet  = 0x99
)

func walkPC(i int) uint32 { return walkBase + uint32(i)*walkStep }

type walkBlock struct {
	succ  []int // the successor is chosen among them
	kind  ir.TermKind
	entry bool
}

// randomGraph makes n blocks, the last of which returns.
func randomGraph(r *rand.Rand, n int) []walkBlock {
	blocks := make([]walkBlock, n)
	near := r.Intn(2) == 0
	pick := func(i int) int {
		if near {
			return max(0, min(n-1, i+r.Intn(7)-2))
		}
		return r.Intn(n)
	}
	for i := range blocks {
		b := &blocks[i]
		b.entry = i == 0 || r.Intn(5) == 0
		switch k := r.Intn(10); {
		case i == n-1:
			b.kind = ir.TermRet
		case k < 2:
			b.kind, b.succ = ir.TermJump, []int{min(i+1, n-1)}
		case k < 8:
			b.kind, b.succ = ir.TermBranch, []int{pick(i), min(i+1, n-1)}
		case k < 9:
			b.kind = ir.TermIndirect
			for range 1 + r.Intn(6) + 12*(r.Intn(4)/3) { // so many that a hash is used, or few
				b.succ = append(b.succ, pick(i))
			}
		default:
			b.kind, b.succ = ir.TermSyscall, []int{min(i+1, n-1)}
			blocks[b.succ[0]].entry = true
		}
	}
	for i := range blocks {
		if blocks[i].kind == ir.TermSyscall {
			blocks[blocks[i].succ[0]].entry = true
		}
	}
	return blocks
}

// walkFunc makes the function of a graph.
func walkFunc(blocks []walkBlock) *ir.Func {
	f := &ir.Func{Name: "walk", PC: walkBase}
	for i := range blocks {
		f.NewBlock(walkPC(i)).Entry = blocks[i].entry
	}
	end := f.NewBlock(walkPC(len(blocks)))
	b := ir.Builder{Func: f, Block: end}
	end.Term = ir.Term{Kind: ir.TermRet, Target: b.I32(walkRet)}
	for i, w := range blocks {
		first := f.Blocks[i]
		b := &ir.Builder{Func: f, Block: first, PC: first.PC}
		b.Set(guestabi.RAX, b.Op(ir.I64Add, b.Op(ir.I64Mul, b.Get(guestabi.RAX), b.I64(31)), b.I64(int64(i))))
		left := b.Op(ir.I64Sub, b.Get(guestabi.RCX), b.I64(1))
		b.Set(guestabi.RCX, left)
		next := b.Op(ir.I64Add, b.Op(ir.I64Mul, b.Get(guestabi.RBX), b.I64(walkMul)), b.I64(walkInc))
		b.Set(guestabi.RBX, next)
		rest := f.NewBlock(first.PC)
		rest.Copy = true // not an entry of that PC
		first.Term = ir.Term{Kind: ir.TermBranch, Cond: b.Op(ir.I64Eqz, left), To: end.ID, Else: rest.ID, Target: ir.None}
		walkTerm(&ir.Builder{Func: f, Block: rest, PC: first.PC}, w)
	}
	return f
}

func walkTerm(b *ir.Builder, w walkBlock) {
	choice := b.Op(ir.I32WrapI64, b.Op(ir.I64ShrU, b.Get(guestabi.RBX), b.I64(33)))
	t := ir.Term{Kind: w.kind, Cond: ir.None, Target: ir.None, To: ir.NoBlock, Else: ir.NoBlock}
	switch w.kind {
	case ir.TermRet:
		t.Target = b.I32(walkRet)
	case ir.TermJump:
		t.To = ir.BlockID(w.succ[0])
	case ir.TermSyscall:
		t.To, t.ReturnPC = ir.BlockID(w.succ[0]), walkPC(w.succ[0])
	case ir.TermBranch:
		t.Cond = b.Op(ir.I32And, choice, b.I32(1))
		t.To, t.Else = ir.BlockID(w.succ[0]), ir.BlockID(w.succ[1])
	case ir.TermIndirect:
		pick := b.Op(ir.I32RemU, choice, b.I32(int32(len(w.succ))))
		t.Target = b.I32(int32(walkPC(w.succ[0])))
		for i, s := range w.succ {
			t.Known = append(t.Known, ir.BlockID(s))
			t.Target = b.Select(b.I32(int32(walkPC(s))), t.Target, b.Op(ir.I32Eq, pick, b.I32(int32(i))))
		}
	}
	b.Block.Term = t
}

// walk does what the function does.
func walk(blocks []walkBlock, at int, rcx, rbx uint64) (rax uint64) {
	for {
		b := blocks[at]
		rax = rax*31 + uint64(at)
		rcx--
		rbx = rbx*walkMul + walkInc
		if rcx == 0 || b.kind == ir.TermRet {
			return rax
		}
		choice := uint32(rbx >> 33)
		switch b.kind {
		case ir.TermBranch:
			at = b.succ[1]
			if choice&1 != 0 {
				at = b.succ[0]
			}
		case ir.TermIndirect:
			at = b.succ[choice%uint32(len(b.succ))]
		case ir.TermSyscall:
			rax = rax*7 + 1
			at = b.succ[0]
		default:
			at = b.succ[0]
		}
	}
}

func walkUnit(t testing.TB, funcs []*ir.Func, size int, opts pass.Options) *wasm.Module {
	t.Helper()
	opts.Verify = true
	for _, f := range funcs {
		if err := pass.Run(&pass.Context{Flags: pass.Summarize(funcs)}, f, &opts); err != nil {
			t.Fatalf("%v\n%s", err, f)
		}
	}
	m, err := Unit(&Input{Name: "walk", Funcs: funcs, Low: walkBase, High: walkBase + uint32(size)*walkStep})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRandomGraphs runs random walks over random graphs, reducible or not,
// entered at every entry, with safepoints that come often and sometimes make
// the function leave and be entered again.
func TestRandomGraphs(t *testing.T) {
	graphs := 3000
	if testing.Short() {
		graphs = 300
	}
	const perUnit = 100
	for g := 0; g < graphs; g += perUnit {
		var (
			all   [][]walkBlock
			funcs []*ir.Func
		)
		for i := range perUnit {
			r := rand.New(rand.NewSource(int64(g + i)))
			blocks := randomGraph(r, 2+r.Intn(25))
			all = append(all, blocks)
			f := walkFunc(blocks)
			shift(f, uint32(i)*walkSize)
			funcs = append(funcs, f)
		}
		runWalks(t, g, all, walkUnit(t, funcs, perUnit*walkSize/walkStep, pass.Options{RequiredOnly: g%200 != 0}))
	}
}

// walkSize is the address space of one graph.
const walkSize = 0x400

// shift moves a function to other addresses.
func shift(f *ir.Func, by uint32) {
	f.PC += by
	for _, b := range f.Blocks {
		b.PC += by
		if b.Term.ReturnPC != 0 {
			b.Term.ReturnPC += by
		}
		if b.Term.Kind == ir.TermIndirect {
			for i := range b.Insts {
				if in := &b.Insts[i]; in.Op == ir.I32Const && in.Imm >= walkBase {
					in.Imm += int64(by)
				}
			}
		}
	}
}

func runWalks(t *testing.T, seed int, all [][]walkBlock, m *wasm.Module) {
	t.Helper()
	validate(t, m)
	h := newHarness(t, m, false)
	for i, blocks := range all {
		by := uint32(i) * walkSize
		r := rand.New(rand.NewSource(int64(seed + i)))
		for at := range blocks {
			if !blocks[at].entry {
				continue
			}
			rcx, rbx := uint64(1+r.Intn(200)), r.Uint64()
			leave := r.Intn(3)
			h.onSafepoint = func(pc uint32) uint32 {
				if leave == 0 {
					h.safepointAt = pc
					return walkRet + 1
				}
				return pc
			}
			h.onSyscall = func(next uint32) (uint64, uint32) {
				if leave == 1 && r.Intn(2) == 0 {
					h.safepointAt = next
					h.set(guestabi.RAX, h.reg(guestabi.RAX)*7+1)
					return 12345, walkRet + 1
				}
				return h.reg(guestabi.RAX)*7 + 1, next
			}
			in := regs{guestabi.RAX: 0, guestabi.RCX: rcx, guestabi.RBX: rbx, guestabi.Fuel: uint64(r.Intn(3))}
			pc, err := h.enter(walkPC(at)+by, in)
			for err == nil && pc == walkRet+1 { // left at a safepoint or a syscall
				pc, err = h.enter(h.safepointAt, regs{guestabi.Fuel: uint64(r.Intn(3))})
			}
			what := fmt.Sprintf("graph %d entered at block %d with rcx=%d rbx=%#x", seed+i, at, rcx, rbx)
			if err != nil || len(h.faults) > 0 {
				t.Fatalf("%s: %v, faults %v", what, err, h.faults)
			}
			if want := walk(blocks, at, rcx, rbx); pc != walkRet || h.reg(guestabi.RAX) != want {
				t.Fatalf("%s: left at %#x with rax=%#x, want %#x\n%+v", what, pc, h.reg(guestabi.RAX), want, blocks)
			}
		}
	}
}

// TestLongFunction compiles a function of thousands of blocks and calls in a
// line in linear time.
func TestLongFunction(t *testing.T) {
	const n = 5000
	blocks := make([]walkBlock, n)
	for i := range blocks {
		blocks[i] = walkBlock{kind: ir.TermSyscall, succ: []int{min(i+1, n-1)}, entry: true}
		if i%3 == 1 {
			blocks[i].kind, blocks[i].succ = ir.TermBranch, []int{min(i+5, n-1), min(i+1, n-1)}
		}
	}
	blocks[n-1] = walkBlock{kind: ir.TermRet, entry: true}
	m := walkUnit(t, []*ir.Func{walkFunc(blocks)}, n+1, pass.Options{})
	validate(t, m)
}
