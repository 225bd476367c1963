package pass

import (
	"slices"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// addressBases gives accesses whose addresses differ by a constant one linear
// base, within a block and in the blocks that are only reached through it. wazero
// checks bounds once per base and highest offset, so where offsets rise from
// access to access the highest is touched first. It may be one that is not
// executed in the end: the end of linear memory is never mapped
// (guestabi.TailSize), so that a touch fails only if the first access does.
func addressBases(c *Context, f *ir.Func) {
	a := &addrBases{c: c, f: f, children: make([][]ir.BlockID, len(f.Blocks)), byKey: map[linearForm][]int{}, open: map[linearForm][]*window{}}
	a.roots = a.trees()
	for len(a.roots) > 0 {
		r := a.roots[len(a.roots)-1]
		a.roots = a.roots[:len(a.roots)-1]
		a.tree(r)
	}
}

// A linearForm is a 32-bit address as a sum: atoms, which are values that are
// not looked into, each shifted to the left, and a constant.
type linearForm struct {
	atoms [3]atom // sorted; unused ones are zero
	n     int8
	add   int32
}

type atom struct {
	id    int32
	shift int8
}

// unitBase is the atom that addresses of the unit are relative to.
var unitBase = linearForm{atoms: [3]atom{{id: 1}}, n: 1}

type addrBases struct {
	c        *Context
	f        *ir.Func
	children [][]ir.BlockID // block -> the blocks that are only reached from it

	roots []ir.BlockID // of trees that are left

	next     int32 // atom
	blocks   []treeBlock
	accesses []access
	byKey    map[linearForm][]int // form without its constant -> indices into accesses, in order
	open     map[linearForm][]*window
	windowOf []*window // by access
	temps    int64     // shared bases of the tree
}

// treeBlock is a block of the tree that is being worked on, in preorder.
type treeBlock struct {
	id         ir.BlockID
	first, end int // its accesses
	subtree    int // end of the accesses of the blocks below it
}

// access is one memory access.
type access struct {
	block int // index into blocks
	inst  int
	form  linearForm // of the base alone
	key   linearForm
	disp  int64 // from the key's atoms
	size  int64
}

// window is a range of displacements that share a linear address.
type window struct {
	first  int // access that opens it
	low    int64
	high   int64 // end of the highest access
	maxima int   // how often an access ends higher than all before it
	count  int
	temp   int64    // number of the shared base, from 1; 0: none
	value  ir.Value // in the block that opens it
}

// trees finds the blocks that are reached from one other block only, and
// returns the rest.
func (a *addrBases) trees() []ir.BlockID {
	preds := make([]int, len(a.f.Blocks))
	from := make([]ir.BlockID, len(a.f.Blocks))
	for _, b := range a.f.Blocks {
		for _, s := range successors(&b.Term) {
			preds[*s]++
			from[*s] = b.ID
		}
	}
	var roots []ir.BlockID
	for i, b := range a.f.Blocks {
		if i == 0 || preds[i] != 1 || b.Entry || b.Safepoint || b.Preheader || from[i] == b.ID {
			roots = append(roots, b.ID)
			continue
		}
		switch a.f.Blocks[from[i]].Term.Kind {
		case ir.TermJump, ir.TermBranch, ir.TermIndirect:
			a.children[from[i]] = append(a.children[from[i]], b.ID)
		default:
			roots = append(roots, b.ID)
		}
	}
	return roots
}

// registers are the forms of the general registers at a point.
type registers [guestabi.NumGPR]linearForm

// tree works on the blocks that are only reached through root.
func (a *addrBases) tree(root ir.BlockID) {
	a.next = 1
	a.blocks, a.accesses, a.temps = a.blocks[:0], a.accesses[:0], 0
	clear(a.byKey)
	clear(a.open)
	a.collect(root, registers{}, 0)
	if len(a.accesses) < 2 {
		return
	}
	a.windowOf = resize(a.windowOf, len(a.accesses))
	a.assign()
	for i := range a.blocks {
		a.rewrite(i)
	}
}

// maxTreeDepth bounds how far a tree is followed down.
const maxTreeDepth = 64

// collect finds the accesses of a block and of those below it.
func (a *addrBases) collect(id ir.BlockID, regs registers, depth int) {
	at := len(a.blocks)
	a.blocks = append(a.blocks, treeBlock{id: id, first: len(a.accesses)})
	b := a.f.Blocks[id]
	forms := make([]linearForm, len(b.Insts))
	for i := range b.Insts {
		in := &b.Insts[i]
		if in.Op == ir.Set && in.Reg < guestabi.NumGPR {
			regs[in.Reg] = forms[in.Args[0]]
			continue
		}
		forms[i] = a.formOf(b, in, forms, &regs)
		if row := &ir.Rows[in.Op]; row.Imm == ir.ImmDisp && row.Size > 0 {
			x := access{block: at, inst: i, form: forms[in.Args[0]], size: int64(row.Size)}
			x.key = x.form
			x.key.add = 0
			x.disp = int64(x.form.add + int32(in.Imm))
			if x.key == unitBase || x.key.n == 0 {
				x.disp = int64(uint32(x.disp))
			}
			a.byKey[x.key] = append(a.byKey[x.key], len(a.accesses))
			a.accesses = append(a.accesses, x)
		}
	}
	a.blocks[at].end = len(a.accesses)
	for _, c := range a.children[id] {
		if depth < maxTreeDepth {
			a.collect(c, regs, depth+1)
		} else {
			a.roots = append(a.roots, c)
		}
	}
	a.blocks[at].subtree = len(a.accesses)
}

// fresh returns the form of a value that is not looked into.
func (a *addrBases) fresh() linearForm {
	a.next++
	return linearForm{atoms: [3]atom{{id: a.next}}, n: 1}
}

// formOf returns the form of the result of in, modulo 2^32.
func (a *addrBases) formOf(b *ir.Block, in *ir.Inst, forms []linearForm, regs *registers) linearForm {
	switch in.Op {
	case ir.Get:
		if in.Reg < guestabi.NumGPR {
			if r := &regs[in.Reg]; *r == (linearForm{}) {
				*r = a.fresh()
			}
			return regs[in.Reg]
		}
	case ir.I32Const, ir.I64Const:
		return linearForm{add: int32(in.Imm)}
	case ir.GuestAddr, ir.GuestAddr32:
		f := unitBase
		f.add = int32(in.Imm)
		return f
	case ir.I32WrapI64, ir.I64ExtendI32U, ir.I64ExtendI32S:
		return forms[in.Args[0]]
	case ir.I32Add, ir.I64Add:
		if f, ok := sum(forms[in.Args[0]], forms[in.Args[1]]); ok {
			return f
		}
	case ir.I32Shl, ir.I64Shl:
		if c := &b.Insts[in.Args[1]]; (c.Op == ir.I32Const || c.Op == ir.I64Const) && uint64(c.Imm) < 32 {
			if f, ok := shifted(forms[in.Args[0]], int8(c.Imm)); ok {
				return f
			}
		}
	}
	if in.Type != ir.I32 && in.Type != ir.I64 {
		return linearForm{}
	}
	return a.fresh()
}

// sum adds two forms, if there is room for all their atoms.
func sum(x, y linearForm) (linearForm, bool) {
	if x.n+y.n > int8(len(x.atoms)) {
		return linearForm{}, false
	}
	x.add += y.add
	for _, t := range y.atoms[:y.n] {
		x.atoms[x.n] = t
		x.n++
	}
	slices.SortFunc(x.atoms[:x.n], func(s, t atom) int {
		if s.id != t.id {
			return int(s.id - t.id)
		}
		return int(s.shift - t.shift)
	})
	return x, true
}

func shifted(x linearForm, by int8) (linearForm, bool) {
	x.add <<= by
	for i := range x.atoms[:x.n] {
		if x.atoms[i].shift += by; x.atoms[i].shift > 31 {
			return linearForm{}, false
		}
	}
	return x, true
}

// maxLookahead bounds the accesses that are looked at for the lowest one of a
// window.
const maxLookahead = 64

// assign finds a window for each access, the blocks in preorder: a window that
// is open in a block is open in those below it.
func (a *addrBases) assign() {
	open := a.open
	for i := range a.accesses {
		x := &a.accesses[i]
		var w *window
		for _, o := range open[x.key] {
			if end := a.blocks[a.accesses[o.first].block].subtree; i < end && o.low <= x.disp && x.disp+x.size-o.low <= guestabi.MaxFoldedDisp {
				w = o
				break
			}
		}
		if w == nil {
			w = &window{first: i, low: a.lowest(i), value: ir.None}
			w.high = w.low
			open[x.key] = append(open[x.key], w)
			if n := len(open[x.key]); n > maxOpen {
				open[x.key] = open[x.key][n-maxOpen:]
			}
		}
		if end := x.disp + x.size; end > w.high {
			w.high = end
			w.maxima++
		}
		w.count++
		if x.block != a.accesses[w.first].block && w.temp == 0 {
			a.temps++
			w.temp = a.temps
		}
		a.windowOf[i] = w
	}
}

// maxOpen bounds the windows of one base that are looked through.
const maxOpen = 8

// lowest returns the lowest displacement of the accesses that the window which
// access number i opens is to hold.
func (a *addrBases) lowest(i int) int64 {
	x := &a.accesses[i]
	end := a.blocks[x.block].subtree
	same := a.byKey[x.key]
	at, _ := slices.BinarySearch(same, i)
	low := x.disp
	for _, j := range same[at:min(len(same), at+maxLookahead)] {
		if y := &a.accesses[j]; j < end && y.disp < low && x.disp+x.size-y.disp <= guestabi.MaxFoldedDisp {
			low = y.disp
		}
	}
	return low
}

// touchFrom is how many bounds checks must be saved before one more access is
// made for them.
const touchFrom = 3

// rewrite makes the accesses of a block of the tree use the windows' bases.
func (a *addrBases) rewrite(at int) {
	tb := &a.blocks[at]
	b := a.f.Blocks[tb.id]
	shares := false
	for i := tb.first; i < tb.end; i++ {
		shares = shares || a.windowOf[i].count > 1
	}
	if !shares {
		return
	}
	old := b.Insts
	out := a.c.insts[:0]
	a.c.ids = resize(a.c.ids, len(old))
	ids := a.c.ids
	emit := func(in ir.Inst) ir.Value {
		out = append(out, in)
		return ir.Value(len(out) - 1)
	}
	next := tb.first
	for i := range old {
		in := &old[i] // of no use any more
		eachArg(in, func(v *ir.Value) { *v = ids[*v] })
		if next < tb.end && a.accesses[next].inst == i {
			x, w := &a.accesses[next], a.windowOf[next]
			if w.count > 1 {
				in.Args[0], in.Imm, in.Imm2 = a.base(w, next, in, emit), x.disp-w.low, 1
			}
			next++
		}
		ids[i] = emit(*in)
	}
	if v := termValue(&b.Term); v != nil {
		*v = ids[*v]
	}
	b.Insts, a.c.insts = append(old[:0], out...), out
}

// base returns the linear address of a window for access number i, which is in.
func (a *addrBases) base(w *window, i int, in *ir.Inst, emit func(ir.Inst) ir.Value) ir.Value {
	none := [3]ir.Value{ir.None, ir.None, ir.None}
	x := &a.accesses[i]
	if x.block != a.accesses[w.first].block {
		return emit(ir.Inst{Op: ir.SharedAddr, Type: ir.I32, PC: in.PC, Args: none, Imm: w.temp})
	}
	if w.value != ir.None {
		return w.value
	}
	linear := ir.Inst{Op: ir.LinearAddr, Type: ir.I32, PC: in.PC, Args: none, Imm: int64(int32(w.low) - x.form.add)}
	linear.Args[0] = in.Args[0]
	if x.key == unitBase {
		linear.Args[0] = emit(ir.Inst{Op: ir.GuestAddr32, Type: ir.I32, PC: in.PC, Args: none, Imm: w.low})
		linear.Imm = 0
	}
	w.value = emit(linear)
	if w.temp != 0 {
		emit(ir.Inst{Op: ir.ShareAddr, PC: in.PC, Args: [3]ir.Value{w.value, ir.None, ir.None}, Imm: w.temp})
	}
	if w.maxima >= touchFrom {
		touch := ir.Inst{Op: ir.I32Load8U, Type: ir.I32, PC: in.PC, SP: in.SP, Args: none, Imm: w.high - w.low - 1, Imm2: 1}
		touch.Args[0] = w.value
		emit(touch)
	}
	return w.value
}
