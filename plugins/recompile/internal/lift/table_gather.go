package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// gatherRows access memory element by element under a mask. An element that the
// mask leaves out is not accessed: a load of it reads the machine's scratch page
// instead, a store of it is jumped over.
func gatherRows() Table {
	t := Table{
		x86asm.VMASKMOVPS: maskMove(4), x86asm.VPMASKMOVD: maskMove(4), x86asm.VMASKMOVPD: maskMove(8), x86asm.VPMASKMOVQ: maskMove(8),
	}
	for op, f := range map[x86asm.Op]gather{
		x86asm.VGATHERDPS: {4, 4}, x86asm.VPGATHERDD: {4, 4}, x86asm.VGATHERQPS: {8, 4}, x86asm.VPGATHERQD: {8, 4},
		x86asm.VGATHERDPD: {4, 8}, x86asm.VPGATHERDQ: {4, 8}, x86asm.VGATHERQPD: {8, 8}, x86asm.VPGATHERQQ: {8, 8},
	} {
		t[op] = Row{Lift: f.lift}
	}
	return t
}

// elements is how vectors of elements of 4 or 8 bytes are taken apart.
type elements struct {
	size                         int
	extract, replace, load, save ir.Op
	bits                         ir.Op
	top                          int64
}

var elements4 = elements{4, ir.I32x4ExtractLane, ir.I32x4ReplaceLane, ir.I32Load, ir.I32Store, ir.I32x4Bitmask, 31}
var elements8 = elements{8, ir.I64x2ExtractLane, ir.I64x2ReplaceLane, ir.I64Load, ir.I64Store, ir.I64x2Bitmask, 63}

func elementsOf(size int) *elements {
	if size == 8 {
		return &elements8
	}
	return &elements4
}

// loadIf loads the element at base+disp if bit i of mask is set; what it gives
// else means nothing.
func (l *Lifter) loadIf(e *elements, mask ir.Value, i int, base ir.Value, disp int32) ir.Value {
	addr := l.opImm(ir.I32Add, base, int64(disp))
	addr = l.b.Select(addr, l.b.I32(guestabi.AddrBias), l.opImm(ir.I32And, mask, 1<<i))
	return l.load(e.load, addr, 0)
}

// maskMove makes vmaskmovps and its like.
func maskMove(size int) Row {
	e := elementsOf(size)
	return Row{Lift: onVEX(func(l *Lifter, in x86.Inst) {
		if m, ok := in.Args[0].(x86asm.Mem); ok {
			l.maskStore(in, e, m)
			return
		}
		m, ok := in.Args[2].(x86asm.Mem)
		if !ok {
			panic("BUG: a masked load from no memory")
		}
		load := func(upper bool) ir.Value {
			sign := l.getHalf(in.Args[1], upper)
			mask := l.b.Op(e.bits, sign)
			base, disp := l.addr(m)
			if upper {
				disp += 16
			}
			r := l.zeroVec()
			for i := range 16 / size {
				r = l.b.OpImm(e.replace, int64(i), r, l.loadIf(e, mask, i, base, disp+int32(i*size)))
			}
			return l.b.Op(ir.V128And, r, l.signMask(e, sign))
		}
		low, high := load(false), ir.None
		if isWide(in) {
			high = load(true)
		}
		l.setYMM(in.Args[0], low, high)
	})}
}

// signMask fills each element with its sign.
func (l *Lifter) signMask(e *elements, v ir.Value) ir.Value {
	shift := ir.I32x4ShrS
	if e.size == 8 {
		shift = ir.I64x2ShrS
	}
	return l.b.Op(shift, v, l.b.I32(int32(e.top)))
}

// maskStore stores each element in a block of its own, from the last to the
// first.
func (l *Lifter) maskStore(in x86.Inst, e *elements, m x86asm.Mem) {
	halves := 1
	if isWide(in) {
		halves = 2
	}
	for half := halves - 1; half >= 0; half-- {
		for i := 16/e.size - 1; i >= 0; i-- {
			upper := half == 1
			sign := l.b.OpImm(e.extract, int64(i), l.getHalf(in.Args[1], upper))
			store, next := l.newBlock(), l.newBlock()
			l.branch(l.opImm(ir.I32LtS, sign, 0), store, next)
			l.startBlock(store)
			base, disp := l.addr(m)
			l.store(e.save, base, disp+int32(16*half+e.size*i), l.b.OpImm(e.extract, int64(i), l.getHalf(in.Args[2], upper)))
			l.jump(next)
			l.startBlock(next)
		}
	}
}

// gather loads elements from addresses that a vector of indices gives.
type gather struct{ index, size int } // in bytes

func (g gather) lift(l *Lifter, in x86.Inst) error {
	m, ok := in.Args[1].(x86asm.Mem)
	_, wideDst, okDst := vreg(in.Args[0])
	_, wideIndex, okIndex := vreg(m.Index)
	if !ok || !okDst || !okIndex || isEVEX(in) {
		return l.unsupported("operands")
	}
	e, index := elementsOf(g.size), elementsOf(g.index)
	bytes := 16
	if wideDst {
		bytes = 32
	}
	indices := 16
	if wideIndex {
		indices = 32
	}
	n := min(bytes/g.size, indices/g.index)
	base, disp := l.addr(x86asm.Mem{Segment: m.Segment, Base: m.Base, Disp: m.Disp})
	perHalf, perIndex := 16/g.size, 16/g.index
	var result [2]ir.Value
	for half := range 2 {
		result[half] = l.zeroVec()
		if half*perHalf >= n {
			if half == 1 {
				result[half] = ir.None
			}
			continue
		}
		sign := l.getHalf(in.Args[2], half == 1)
		mask := l.b.Op(e.bits, sign)
		loaded := l.zeroVec()
		for i := range min(perHalf, n-half*perHalf) {
			at := half*perHalf + i
			x := l.wrap(l.b.OpImm(index.extract, int64(at%perIndex), l.getHalf(m.Index, at/perIndex == 1)))
			addr := l.b.Op(ir.I32Add, base, l.scaled(x, m.Scale))
			loaded = l.b.OpImm(e.replace, int64(i), loaded, l.loadIf(e, mask, i, addr, disp))
		}
		select_ := l.signMask(e, sign)
		result[half] = l.b.Op(ir.V128Bitselect, loaded, l.getHalf(in.Args[0], half == 1), select_)
	}
	if n*g.size == 8 { // two elements of 4 bytes: the rest is cleared
		result[0] = l.b.OpImm(ir.I64x2ReplaceLane, 1, result[0], l.b.I64(0))
	}
	l.setYMM(in.Args[2], l.zeroVec(), ir.None)
	l.setYMM(in.Args[0], result[0], result[1])
	return nil
}
