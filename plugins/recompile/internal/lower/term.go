package lower

import (
	"fmt"
	"sort"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// maxTableBytes bounds a br_table over guest PCs, in bytes of guest code for
// each target.
const maxTableBytes = 4

// smallTable is the span, in bytes of guest code, up to which a table indexed by
// PC is made however sparse it is: the switch in a loop of an interpreter takes
// a third less time than through a hash, and there are too few labels to matter.
const smallTable = 1024

// terminator emits the end of the block at position p.
func (x *fn) terminator(p int, t *ir.Term) {
	if emit := terminators[t.Kind]; emit != nil {
		emit(x, p, t)
		return
	}
	panic(fmt.Sprintf("BUG: block %d has no terminator", x.b.ID))
}

var terminators = [...]func(x *fn, p int, t *ir.Term){
	ir.TermNone:     nil,
	ir.TermJump:     (*fn).jump,
	ir.TermBranch:   (*fn).branch,
	ir.TermIndirect: (*fn).indirect,
	ir.TermCall:     (*fn).call,
	ir.TermTail:     (*fn).tail,
	ir.TermRet:      (*fn).ret,
	ir.TermSyscall:  (*fn).syscall,
	ir.TermFault:    (*fn).fault,
}

// branchIf branches to a label if the i32 on the stack is not zero. wazero
// v1.12.0 fuses a comparison with its branch only if the branch's target has no
// other predecessor: the block of an if has none, the end of a block and the
// start of a loop mostly have. The empty else carries on what wazero knows of
// bounds, which it drops at the end of an if without one.
func (x *fn) branchIf(depth uint32) {
	x.body.If(wasm.BlockVoid)
	x.body.Br(depth + 1)
	x.body.Else()
	x.body.End()
}

// edge goes from position p to block v.
func (x *fn) edge(p int, v ir.BlockID) {
	x.convert(x.b, x.f.Blocks[v])
	d := x.shape.dest(p, v)
	x.setLabel(d)
	if d.loop < 0 && d.pos == p+1 {
		return
	}
	x.body.Br(x.labelOf(d))
}

// edgeIf goes from position p to block v if the i32 on the stack is not zero.
func (x *fn) edgeIf(p int, v ir.BlockID) {
	d := x.shape.dest(p, v)
	if d.label < 0 {
		x.branchIf(x.labelOf(d))
		return
	}
	x.body.If(wasm.BlockVoid)
	x.inner++
	x.setLabel(d)
	x.body.Br(x.labelOf(d))
	x.inner--
	x.body.End()
}

func (x *fn) jump(p int, t *ir.Term) { x.edge(p, t.To) }

func (x *fn) branch(p int, t *ir.Term) {
	if t.To == t.Else {
		x.value(t.Cond)
		x.body.Op(wasm.OpDrop)
		if x.shape.fallsThrough(p, t, 1) {
			x.setLabel(x.shape.dest(p, t.Else))
			return
		}
		x.edge(p, t.To)
		return
	}
	if !x.shape.fallsThrough(p, t, 1) && x.shape.fallsThrough(p, t, 0) {
		x.condition(t.Cond, true)
		x.edgeIf(p, t.Else)
		x.edge(p, t.To)
		return
	}
	x.condition(t.Cond, false)
	x.edgeIf(p, t.To)
	x.edge(p, t.Else)
}

// condition pushes the branch condition v, or its negation.
func (x *fn) condition(v ir.Value, negated bool) {
	if negated && x.state.inline[v] {
		if inverse, ok := ir.Inverse(x.b.Insts[v].Op); ok {
			in := x.b.Insts[v]
			in.Op = inverse
			x.inst(&in, v)
			return
		}
	}
	x.value(v)
	if negated {
		x.body.Op(wasm.OpI32Eqz)
	}
}

// leaveIfNot leaves the function with the PC on the stack if that is not the
// one of link-time address link.
func (x *fn) leaveIfNot(link uint32) {
	x.body.LocalTee(localPC)
	x.pc(link)
	x.body.Op(wasm.OpI32Ne)
	x.branchIf(x.exit())
}

func (x *fn) call(p int, t *ir.Term) {
	if t.Target != ir.None {
		x.value(t.Target)
		x.body.LocalTee(x.temp())
		x.setGlobal(guestabi.LastPC)
		x.spill(x.b.Dirty)
		x.body.LocalGet(x.temp())
		x.body.Call(x.env.Enter)
	} else {
		x.pc(t.PC)
		x.setGlobal(guestabi.LastPC)
		x.spill(x.b.Dirty)
		x.enterArgument(t.PC, x.body.Call)
	}
	if t.To == ir.NoBlock {
		x.body.Return()
		return
	}
	x.leaveIfNot(t.ReturnPC)
	x.reload(x.b.Promoted)
	x.edge(p, t.To)
}

// enterArgument calls the function that holds the entry at a link-time address
// by call, or the dispatcher if the unit has none.
func (x *fn) enterArgument(link uint32, call func(uint32)) {
	if index, resume, ok := x.env.Target(link); ok {
		x.body.I32Const(int32(resume))
		call(index)
		return
	}
	x.pc(link)
	call(x.env.Enter)
}

func (x *fn) tail(_ int, t *ir.Term) {
	x.pc(t.PC)
	x.setGlobal(guestabi.LastPC)
	x.spill(x.b.Dirty)
	x.enterArgument(t.PC, x.body.ReturnCall)
}

func (x *fn) ret(_ int, t *ir.Term) {
	x.spill(x.b.Dirty)
	x.value(t.Target)
	x.body.Return()
}

// syscall calls the kernel. If the next PC is another one than expected, rax
// belongs to a context that was just loaded and must be left alone.
func (x *fn) syscall(p int, t *ir.Term) {
	x.spill(x.b.Dirty)
	for _, r := range [...]ir.Reg{guestabi.RAX, guestabi.RDI, guestabi.RSI, guestabi.RDX, guestabi.R10, guestabi.R8, guestabi.R9} {
		x.body.GlobalGet(x.env.Globals[r])
	}
	x.pc(t.ReturnPC)
	x.codeMap.Add(t.ReturnPC, 0, false)
	x.body.Call(x.env.Helpers[guestabi.FuncSyscall])
	if t.To == ir.NoBlock {
		// There is no code to go on at: the dispatcher will say so.
		x.body.LocalTee(localPC)
		x.pc(t.ReturnPC)
		x.body.Op(wasm.OpI32Ne)
		x.branchIf(x.exit())
		x.setGlobal(guestabi.RAX)
		x.body.LocalGet(localPC)
		x.body.Return()
		return
	}
	x.leaveIfNot(t.ReturnPC)
	x.setGlobal(guestabi.RAX)
	x.reload(x.b.Promoted)
	x.edge(p, t.To)
}

func (x *fn) fault(_ int, t *ir.Term) {
	x.spill(x.b.Dirty)
	x.body.I32Const(int32(t.Fault))
	x.pc(t.PC)
	x.body.ReturnCall(x.env.Helpers[guestabi.FuncFault])
}

// indirect goes to one of the known blocks, or leaves through the dispatcher.
func (x *fn) indirect(p int, t *ir.Term) {
	x.value(t.Target)
	known := x.knownTargets(t)
	if len(known) == 0 {
		x.body.LocalTee(x.temp())
		x.setGlobal(guestabi.LastPC)
		x.spill(x.b.Dirty)
		x.body.LocalGet(x.temp())
		x.body.ReturnCall(x.env.Enter)
		return
	}
	// Bring the target to a link-time address, so that both kinds of unit
	// compare with constants.
	if x.env.PIC {
		x.body.GlobalGet(x.env.Base)
		x.body.Op(wasm.OpI32Sub)
	}
	x.body.LocalSet(x.temp())
	x.body.Block(wasm.BlockVoid)
	x.inner++
	switch span := known[len(known)-1].pc - known[0].pc; {
	case len(known) <= searchLeaf:
		x.pcSearch(p, known)
	case (span <= smallTable || uint64(span) < maxTableBytes*uint64(len(known))) && !x.needsLabel(p, known):
		x.pcTable(p, known)
	default:
		x.pcHash(p, known)
	}
	x.inner--
	x.body.End()
	x.spill(x.b.Dirty)
	x.body.LocalGet(x.temp())
	x.addBase()
	x.body.LocalTee(x.temp())
	x.setGlobal(guestabi.LastPC)
	x.body.LocalGet(x.temp())
	x.body.ReturnCall(x.env.Enter)
}

type knownTarget struct {
	pc    uint32
	block ir.BlockID
}

// knownTargets returns the known targets by PC, one for each.
func (x *fn) knownTargets(t *ir.Term) []knownTarget {
	var known []knownTarget
	seen := make(map[uint32]bool)
	for _, id := range t.Known {
		if pc := x.f.Blocks[id].PC; !seen[pc] {
			seen[pc] = true
			known = append(known, knownTarget{pc, id})
		}
	}
	sort.Slice(known, func(i, j int) bool { return known[i].pc < known[j].pc })
	return known
}

func (x *fn) needsLabel(p int, known []knownTarget) bool {
	for _, k := range known {
		if x.shape.dest(p, k.block).label >= 0 {
			return true
		}
	}
	return false
}

// pcTable branches by a table indexed by PC; what is between the targets goes
// to the innermost block's end.
func (x *fn) pcTable(p int, known []knownTarget) {
	low := known[0].pc
	depths := make([]uint32, known[len(known)-1].pc-low+1)
	for _, k := range known {
		depths[k.pc-low] = x.labelOf(x.shape.dest(p, k.block))
	}
	x.body.LocalGet(x.temp())
	x.body.I32Const(int32(low))
	x.body.Op(wasm.OpI32Sub)
	x.body.BrTable(depths, 0)
}

// pcSearch compares with one target after the other and falls through if it is
// none of them.
func (x *fn) pcSearch(p int, known []knownTarget) {
	for _, k := range known {
		x.body.LocalGet(x.temp())
		x.body.I32Const(int32(k.pc))
		x.body.Op(wasm.OpI32Eq)
		x.edgeIf(p, k.block)
	}
}
