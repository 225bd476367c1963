// Package lower turns IR functions into wasm functions and these into a unit.
//
// A guest function becomes one wasm function of type (resume i32) -> (pc i32).
// resume is the PC of the block to enter less the function's PC, 0 for its
// start; the result is the guest PC where control left it. A caller compares
// that with the return address and returns it too if it differs, so the wasm
// stack is never more than a prediction of what the guest's stack says.
package lower

import (
	"fmt"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// Env is what lowering a function needs to know of its unit.
type Env struct {
	Globals  [ir.EndRegs]uint32 // indices of the registers that the unit uses
	Base     uint32             // index of the global base, if PIC
	PIC      bool
	FuncType uint32 // (i32) -> (i32)
	Enter    uint32 // index of the function enter
	Helpers  map[string]uint32
	Lines    *Lines // nil: none
	// Target finds the function of the unit that holds an entry at pc.
	Target func(pc uint32) (index, resume uint32, ok bool)
	// Careful are the functions that stand in for others, ir.Func.Careful.
	Careful map[*ir.Func]uint32
}

const (
	localResume = 0 // the parameter
	localPC     = 1 // what a call returned
)

// fn is a function that is being lowered.
type fn struct {
	f     *ir.Func
	env   *Env
	shape *shape
	body  *wasm.Body

	stack   []scope // open scopes
	blockAt map[int]int
	loopAt  map[int]int
	inner   int // unnamed blocks open within the innermost scope

	slow     []*ir.Block // whose safepoints' slow ways stand at the function's end
	slowAt   map[ir.BlockID]int
	slowOpen int // of their scopes

	label    uint32 // local: which entry of a loop with several is meant
	hasLabel bool
	clears   []bool // loop -> its header, or one further out, dispatches on the parameter

	promoted map[ir.Reg]uint32 // locals of promoted registers
	shared   map[int64]uint32  // locals of shared addresses
	free     map[ir.Type][]uint32
	scratch  uint32
	hasTemp  bool

	lines   lines
	special *[ir.NumOps]lowerFunc
	b       *ir.Block
	state   blockState

	codeMap *guestabi.CodeMap
	sp      ir.StackPos                // what the global rsp holds here
	holds   [guestabi.R15 + 1]ir.Value // what the globals hold; None: as at the block's start, or not known
}

// Func lowers f.
func Func(f *ir.Func, env *Env, label string) (wasm.Func, error) {
	code, _, err := lowerOrRefuse(f, env, label)
	return code, err
}

// lowerOrRefuse lowers f and reports whether it was refused for its size.
func lowerOrRefuse(f *ir.Func, env *Env, label string) (code wasm.Func, refused bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("lowering %s at %#x: %v", f.Name, f.PC, r)
		}
	}()
	x := &fn{
		f: f, env: env, shape: shapeOf(f), body: wasm.NewBody(1),
		blockAt: map[int]int{}, loopAt: map[int]int{},
		special: specials(), promoted: map[ir.Reg]uint32{}, shared: map[int64]uint32{}, free: map[ir.Type][]uint32{},
		codeMap: guestabi.NewCodeMap(f.PC),
	}
	x.lines.on = env.Lines != nil && env.Lines.PC == f.PC
	x.body.Local(wasm.I32) // localPC
	if x.shape.count > maxRoutes {
		return x.refusal(label), true, nil
	}
	x.findClears()
	x.goCareful()
	x.body.Block(wasm.BlockVoid) // its end is the exit
	x.openSlow()
	x.openScopes(-1)
	x.prologue()
	for p, v := range x.shape.lay.Order {
		x.closeScopes(p)
		x.openScopes(p)
		x.dispatchAt(p, v)
		x.block(p, f.Blocks[v])
	}
	x.closeScopes(len(x.shape.lay.Order))
	x.emitSlow()
	x.mark(0)
	x.body.End()
	x.body.LocalGet(localPC)
	if x.lines.on {
		env.Lines.Done(x.lines.all)
	}
	code = x.body.Func(env.FuncType, label)
	code.Note = x.codeMap.Bytes()
	return code, false, nil
}

// goCareful goes to the function that stands in for this one if MXCSR asks for
// it.
func (x *fn) goCareful() {
	index, ok := x.env.Careful[x.f.Careful]
	if !ok {
		return
	}
	x.body.GlobalGet(x.env.Globals[guestabi.MXCSR])
	x.body.I32Const(guestabi.MXCSRCareful)
	x.body.Op(wasm.OpI32ShrU)
	x.body.If(wasm.BlockVoid)
	x.body.LocalGet(localResume)
	x.body.ReturnCall(index)
	x.body.End()
}

// refusal is the body of a function that is too large to be translated: a miss
// whenever it is entered.
func (x *fn) refusal(label string) wasm.Func {
	x.body.I32Const(int32(guestabi.FaultMiss))
	x.pc(x.f.PC)
	x.body.LocalGet(localResume)
	x.body.Op(wasm.OpI32Add)
	x.body.ReturnCall(x.env.Helpers[guestabi.FuncFault])
	return x.body.Func(x.env.FuncType, label)
}

// exit returns the depth of the exit's label.
func (x *fn) exit() uint32 { return uint32(len(x.stack) + x.inner + x.slowOpen) }

func (x *fn) openScopes(p int) {
	for _, c := range x.shape.open[p] {
		if c.loop >= 0 {
			x.loopAt[c.loop] = len(x.stack)
			if x.clearsBefore(c.loop) {
				x.clearResume()
			}
			x.body.Loop(wasm.BlockVoid)
		} else {
			x.blockAt[c.end] = len(x.stack)
			x.body.Block(wasm.BlockVoid)
		}
		x.stack = append(x.stack, c)
	}
}

func (x *fn) closeScopes(p int) {
	for range x.shape.closes[p] {
		x.body.End()
		x.stack = x.stack[:len(x.stack)-1]
	}
}

// depth returns the label of an open scope.
func (x *fn) depth(index int) uint32 {
	return uint32(len(x.stack) - 1 - index + x.inner)
}

// labelOf returns the label to branch to for d.
func (x *fn) labelOf(d dest) uint32 {
	if d.loop >= 0 {
		return x.depth(x.loopAt[d.loop])
	}
	return x.labelAt(d.pos)
}

func (x *fn) labelAt(pos int) uint32 {
	i, ok := x.blockAt[pos]
	if !ok || i >= len(x.stack) || x.stack[i].end != pos {
		panic(fmt.Sprintf("BUG: no scope ends at position %d", pos))
	}
	return x.depth(i)
}

// findClears finds the loops in which a stale parameter would be taken for a
// route: those with routes at their header or at that of a loop around them.
func (x *fn) findClears() {
	x.clears = make([]bool, len(x.shape.lay.Loops))
	for i, l := range x.shape.lay.Loops {
		x.clears[i] = len(x.shape.routes[i]) > 0 || l.Parent >= 0 && x.clears[l.Parent]
		if len(l.Entries) > 1 && !x.hasLabel {
			x.hasLabel = true
			x.label = x.body.Local(wasm.I32)
		}
	}
}

// clearsBefore reports whether the parameter is cleared before the loop instead
// of inside of it: nothing but the loop's header is entered then. What is set
// in a loop is carried around it.
func (x *fn) clearsBefore(loop int) bool {
	return x.clears[loop] && len(x.shape.routes[loop]) == 0 && len(x.shape.lay.Loops[loop].Entries) == 1
}

func (x *fn) clearResume() {
	x.body.I32Const(0)
	x.body.LocalSet(localResume)
}

// prologue goes to the block that the parameter asks for.
func (x *fn) prologue() {
	routes := x.shape.routes[-1]
	start := x.shape.dest(-1, 0)
	x.body.LocalGet(localResume)
	x.body.If(wasm.BlockVoid)
	x.inner++
	x.search(withoutStart(routes))
	x.body.I32Const(int32(guestabi.FaultMiss))
	x.body.I32Const(int32(x.f.PC))
	x.body.LocalGet(localResume)
	x.body.Op(wasm.OpI32Add)
	x.addBase()
	x.body.ReturnCall(x.env.Helpers[guestabi.FuncFault])
	x.inner--
	x.body.End()
	x.setLabel(start)
	if start.pos != 0 {
		x.body.Br(x.startLabel(routes, start))
	}
}

// startLabel returns where the function's start is branched to, which is a
// preheader if it stands in a loop that has one.
func (x *fn) startLabel(routes []route, start dest) uint32 {
	for _, r := range routes {
		if r.offset == 0 {
			return x.labelAt(r.pos)
		}
	}
	return x.labelOf(start)
}

// withoutStart drops the route of offset 0, which is never searched for.
func withoutStart(routes []route) []route {
	if len(routes) > 0 && routes[0].offset == 0 {
		return routes[1:]
	}
	return routes
}

// searchLeaf is how many offsets are compared one after the other.
const searchLeaf = 4

// search branches along the route for the parameter and falls through if there
// is none.
func (x *fn) search(routes []route) {
	if len(routes) <= searchLeaf {
		for _, r := range routes {
			x.body.LocalGet(localResume)
			x.body.I32Const(int32(r.offset))
			x.body.Op(wasm.OpI32Eq)
			x.branchIf(x.labelAt(r.pos))
		}
		return
	}
	mid := len(routes) / 2
	x.body.LocalGet(localResume)
	x.body.I32Const(int32(routes[mid].offset))
	x.body.Op(wasm.OpI32LtU)
	x.body.If(wasm.BlockVoid)
	x.inner++
	x.search(routes[:mid])
	x.body.Else()
	x.search(routes[mid:])
	x.inner--
	x.body.End()
}

// dispatchAt emits what stands at the start of a loop before its first block:
// the routes to the entries inside, and the choice among several entries.
func (x *fn) dispatchAt(p, v int) {
	loop := x.shape.lay.In[v]
	if loop < 0 || x.shape.lay.Loops[loop].Start != p {
		return
	}
	l := x.shape.lay.Loops[loop]
	routes := x.shape.routes[loop]
	here := len(l.Entries) > 1
	if len(routes) == 0 && !here {
		return
	}
	if here { // the entry that comes next needs a label too
		x.blockAt[p] = len(x.stack)
		x.stack = append(x.stack, scope{p, p, -1})
		x.body.Block(wasm.BlockVoid)
	}
	if len(routes) > 0 {
		x.body.LocalGet(localResume)
		x.body.If(wasm.BlockVoid)
		x.inner++
		x.search(routes)
		x.inner--
		x.body.End()
	}
	if here {
		x.body.LocalGet(x.label)
		depths := make([]uint32, len(l.Entries))
		for i, e := range l.Entries {
			depths[i] = x.labelAt(x.shape.lay.Pos[e])
		}
		x.body.BrTable(depths, depths[0])
		x.body.End()
		x.stack = x.stack[:len(x.stack)-1]
	}
}

func (x *fn) setLabel(d dest) {
	if d.label >= 0 {
		x.body.I32Const(int32(d.label))
		x.body.LocalSet(x.label)
	}
}

// addBase makes the link-time address on the stack a guest address.
func (x *fn) addBase() {
	if x.env.PIC {
		x.body.GlobalGet(x.env.Base)
		x.body.Op(wasm.OpI32Add)
	}
}

// pc pushes the guest PC of a link-time address.
func (x *fn) pc(link uint32) {
	x.body.I32Const(int32(link))
	x.addBase()
}

// temp returns a scratch local of type i32.
func (x *fn) temp() uint32 {
	if !x.hasTemp {
		x.hasTemp = true
		x.scratch = x.body.Local(wasm.I32)
	}
	return x.scratch
}

// block emits one block.
func (x *fn) block(p int, b *ir.Block) {
	x.b = b
	x.mark(b.PC)
	if in := x.shape.lay.In[b.ID]; b.Entry && in >= 0 && x.clears[in] && !x.clearsBefore(in) {
		x.clearResume()
	}
	if b.Safepoint {
		x.safepoint(b)
	}
	x.begin(b)
	x.beginPlaces()
	for i := range b.Insts {
		x.mark(b.Insts[i].PC)
		x.root(i)
	}
	x.terminator(p, &b.Term)
}

// safepoint counts the pass through a loop and calls the host now and then.
func (x *fn) safepoint(b *ir.Block) {
	x.getReg(guestabi.Fuel)
	x.body.I32Const(-1)
	x.body.Op(wasm.OpI32Add)
	if local, ok := x.localOf(guestabi.Fuel); ok {
		x.body.LocalTee(local)
	} else {
		x.body.LocalTee(x.temp())
		x.body.LocalGet(x.temp())
		x.body.GlobalSet(x.env.Globals[guestabi.Fuel])
	}
	x.body.I32Const(0)
	x.body.Op(wasm.OpI32LtS)
	x.body.BrIf(uint32(len(x.stack) + x.inner + x.slowAt[b.ID])) // its only predecessor
}

// openSlow opens a scope for the slow way of each safepoint. They stand at the
// end of the function, because wazero lays out code in the order of the wasm.
func (x *fn) openSlow() {
	x.slowAt = make(map[ir.BlockID]int)
	for _, v := range x.shape.lay.Order {
		if b := x.f.Blocks[v]; b.Safepoint {
			x.slowAt[b.ID] = len(x.slow)
			x.slow = append(x.slow, b)
			x.body.Block(wasm.BlockVoid)
		}
	}
	x.slowOpen = len(x.slow)
}

// emitSlow emits what happens when the fuel has run out. The function is
// entered anew instead of going on where it was: if registers were loaded here,
// each would be merged with itself on the fast way, and wazero moves values that
// merge.
func (x *fn) emitSlow() {
	for _, b := range x.slow {
		x.body.End()
		x.slowOpen--
		x.b = b
		x.mark(b.PC)
		x.spill(b.Dirty)
		x.pc(b.PC)
		x.codeMap.Add(b.PC, 0, false)
		x.body.Call(x.env.Helpers[guestabi.FuncSafepoint])
		x.body.LocalTee(localPC)
		x.pc(b.PC)
		x.body.Op(wasm.OpI32Ne)
		x.branchIf(x.exit())
		x.body.I32Const(guestabi.FuelPerSlice)
		x.body.GlobalSet(x.env.Globals[guestabi.Fuel])
		if self, resume, ok := x.env.Target(b.PC); ok {
			x.body.I32Const(int32(resume))
			x.body.ReturnCall(self)
			continue
		}
		x.body.LocalGet(localPC)
		x.body.Return()
	}
}
