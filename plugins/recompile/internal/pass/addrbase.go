package pass

import (
	"sort"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// addressBases gives the accesses of a block that differ in their displacement
// only one linear base. wazero checks bounds once per base and highest offset,
// so where offsets rise from access to access the highest is touched first: all
// of them will be executed, since a block has no exits.
func addressBases(_ *Context, f *ir.Func) {
	a := &addrBases{}
	for _, b := range f.Blocks {
		a.block(b)
	}
}

type addrBases struct {
	groups map[ir.Value]*addrGroup
	order  []*addrGroup
}

// absolute stands for the base of accesses at constant addresses.
const absolute ir.Value = -2

// addrGroup are the accesses with one base.
type addrGroup struct {
	base     ir.Value
	accesses []access
	windows  []*window
}

type access struct {
	inst int
	disp int64 // absolute: the whole address
	size int64
}

// window is a part of a group that can share a linear address.
type window struct {
	group  *addrGroup
	low    int64
	high   int64 // end of the highest access
	maxima int   // how often an access ends higher than all before it
	seen   int64
	value  ir.Value
	count  int
}

func (a *addrBases) block(b *ir.Block) {
	a.groups, a.order = map[ir.Value]*addrGroup{}, a.order[:0]
	for i := range b.Insts {
		in := &b.Insts[i]
		if row := &ir.Rows[in.Op]; row.Imm == ir.ImmDisp && row.Size > 0 {
			a.add(b, i, in, int64(row.Size))
		}
	}
	windowOf := make(map[int]*window)
	for _, g := range a.order {
		if len(g.accesses) > 1 {
			g.cut(windowOf)
		}
	}
	if len(windowOf) == 0 {
		return
	}
	a.rewrite(b, windowOf)
}

func (a *addrBases) add(b *ir.Block, i int, in *ir.Inst, size int64) {
	base, disp := in.Args[0], int64(int32(in.Imm))
	if def := &b.Insts[base]; def.Op == ir.GuestAddr32 {
		disp = int64(uint32(int32(def.Imm) + int32(in.Imm)))
		base = absolute
	}
	g := a.groups[base]
	if g == nil {
		g = &addrGroup{base: base}
		a.groups[base] = g
		a.order = append(a.order, g)
	}
	g.accesses = append(g.accesses, access{i, disp, size})
}

// cut divides the accesses into windows of which each displacement lies less
// than guestabi.MaxFoldedDisp above the lowest (see guestabi.MinAddr).
func (g *addrGroup) cut(windowOf map[int]*window) {
	byDisp := append([]access(nil), g.accesses...)
	sort.SliceStable(byDisp, func(i, j int) bool { return byDisp[i].disp < byDisp[j].disp })
	var w *window
	for _, x := range byDisp {
		if w == nil || x.disp-w.low >= guestabi.MaxFoldedDisp {
			w = &window{group: g, low: x.disp, value: ir.None}
			g.windows = append(g.windows, w)
		}
		w.high = max(w.high, x.disp+x.size)
		w.count++
		windowOf[x.inst] = w
	}
	for _, x := range g.accesses {
		w := windowOf[x.inst]
		if end := x.disp + x.size - w.low; end > w.seen {
			w.seen = end
			w.maxima++
		}
		if w.count < 2 {
			delete(windowOf, x.inst)
		}
	}
}

// touchFrom is how many bounds checks must be saved before one more access is
// made for them.
const touchFrom = 3

func (a *addrBases) rewrite(b *ir.Block, windowOf map[int]*window) {
	old := b.Insts
	out := make([]ir.Inst, 0, len(old)+2*len(a.order))
	ids := make([]ir.Value, len(old))
	emit := func(in ir.Inst) ir.Value {
		out = append(out, in)
		return ir.Value(len(out) - 1)
	}
	for i := range old {
		in := old[i]
		eachArg(&in, func(v *ir.Value) { *v = ids[*v] })
		if w := windowOf[i]; w != nil {
			if w.value == ir.None {
				w.value = w.open(&in, emit)
			}
			disp := int64(int32(in.Imm))
			if w.group.base == absolute {
				disp = int64(uint32(int32(old[old[i].Args[0]].Imm) + int32(in.Imm)))
			}
			in.Args[0], in.Imm, in.Imm2 = w.value, disp-w.low, 1
		}
		ids[i] = emit(in)
	}
	if v := termValue(&b.Term); v != nil {
		*v = ids[*v]
	}
	b.Insts = out
}

// open emits the linear address of a window, and touches its end.
func (w *window) open(in *ir.Inst, emit func(ir.Inst) ir.Value) ir.Value {
	none := [3]ir.Value{ir.None, ir.None, ir.None}
	linear := ir.Inst{Op: ir.LinearAddr, Type: ir.I32, PC: in.PC, Args: none, Imm: w.low}
	if w.group.base == absolute {
		linear.Args[0] = emit(ir.Inst{Op: ir.GuestAddr32, Type: ir.I32, PC: in.PC, Args: none, Imm: w.low})
		linear.Imm = 0
	} else {
		linear.Args[0] = in.Args[0]
	}
	v := emit(linear)
	if w.maxima >= touchFrom {
		touch := ir.Inst{Op: ir.I32Load8U, Type: ir.I32, PC: in.PC, SP: in.SP, Args: none, Imm: w.high - w.low - 1, Imm2: 1}
		touch.Args[0] = v
		emit(touch)
	}
	return v
}
