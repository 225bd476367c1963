package cgen

import (
	"encoding/binary"
	"fmt"
	"strings"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// fn is a function that is being written.
type fn struct {
	u      *Unit
	b      *strings.Builder
	index  uint32
	typ    wasm.FuncType
	locals []wasm.ValType
	called map[uint32]bool

	stack  []operand
	blocks []block
	temps  int
	labels int
	place  uint32 // number of the next place
	line   uint32 // that the compiler was told last
	dead   bool   // what follows is not reached
	skip   int    // blocks that were opened in dead code
}

// noPlace is the number of a place that the code map does not have.
const noPlace uint32 = 1<<32 - 1

// operand is a value on wasm's stack, as a C expression without effect.
type operand struct {
	text  string
	local int // whose value it is, or -1
}

type block struct {
	op      wasm.Opcode
	label   int
	used    bool // somebody branches to its end
	result  wasm.ValType
	has     bool // a result
	height  int
	started bool // if: else has come
}

func (u *Unit) function(b *strings.Builder, i int, called map[uint32]bool) error {
	f := &u.m.Funcs[i]
	x := &fn{u: u, b: b, index: u.imported + uint32(i), called: called, place: u.places[i]}
	x.typ, _ = u.m.FuncType(x.index)
	x.locals = append(x.locals, x.typ.Params...)
	for _, run := range f.Locals {
		for range run.Count {
			x.locals = append(x.locals, run.Type)
		}
	}
	fmt.Fprintf(b, "%s fn%d(struct context *restrict c", resultOf(x.typ), x.index)
	for i, t := range x.typ.Params {
		fmt.Fprintf(b, ", %s l%d", typeName(t), i)
	}
	b.WriteString(") {\n")
	for i := len(x.typ.Params); i < len(x.locals); i++ {
		zero := "0"
		if x.locals[i] == wasm.V128 {
			zero = "{0}"
		}
		fmt.Fprintf(b, "%s l%d = %s;\n", typeName(x.locals[i]), i, zero)
	}
	b.WriteString("if (UNLIKELY(stack_pointer < c->stack_limit)) return host_overflow(c);\n")
	x.open(wasm.OpBlock, int64(wasm.BlockVoid))
	if len(x.typ.Results) == 1 {
		x.blocks[0].has, x.blocks[0].result = true, x.typ.Results[0]
		fmt.Fprintf(b, "%s r0;\n", typeName(x.typ.Results[0]))
	}
	err := wasm.Walk(f.Code, func(in *wasm.Inst, _ int) error { return x.inst(in) })
	if err != nil {
		return err
	}
	b.WriteString("}\n")
	return nil
}

func (x *fn) linef(format string, args ...any) {
	fmt.Fprintf(x.b, format, args...)
	x.b.WriteByte(' ')
}

// push leaves the value of a C expression on the stack, computed now.
func (x *fn) push(format string, args ...any) {
	name := fmt.Sprintf("t%d", x.temps)
	x.temps++
	x.linef("__auto_type "+name+" = "+format+";", args...)
	x.stack = append(x.stack, operand{name, -1})
}

func (x *fn) pop() string {
	if len(x.stack) == 0 {
		panic("the stack is empty")
	}
	top := x.stack[len(x.stack)-1]
	x.stack = x.stack[:len(x.stack)-1]
	return top.text
}

// popN returns the n topmost values, the deepest first, as arguments.
func (x *fn) popN(n int) string {
	if len(x.stack) < n {
		panic("the stack is too short")
	}
	var args []string
	for _, o := range x.stack[len(x.stack)-n:] {
		args = append(args, o.text)
	}
	x.stack = x.stack[:len(x.stack)-n]
	return strings.Join(args, ", ")
}

// settle computes what is on the stack and would change with a local.
func (x *fn) settle(local int) {
	for i := range x.stack {
		if x.stack[i].local == local {
			name := fmt.Sprintf("t%d", x.temps)
			x.temps++
			x.linef("__auto_type %s = l%d;", name, local)
			x.stack[i] = operand{name, -1}
		}
	}
}

func (x *fn) open(op wasm.Opcode, typ int64) {
	bl := block{op: op, label: x.labels, height: len(x.stack)}
	x.labels++
	if typ != int64(wasm.BlockVoid) {
		bl.has, bl.result = true, wasm.ValType(typ+0x80)
	}
	x.blocks = append(x.blocks, bl)
}

// inst writes one instruction.
func (x *fn) inst(in *wasm.Inst) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v", in.Op.Row().Name, r)
		}
	}()
	stops := guestabi.Stops(in, x.u.hosts)
	if stops {
		x.place++
	}
	if x.dead {
		x.deadInst(in)
		return nil
	}
	if stops && x.line != x.place {
		x.line = x.place
		fmt.Fprintf(x.b, "\n#line %d\n", x.line)
	}
	if control := controls[in.Op]; control != nil {
		control(x, in)
		return nil
	}
	return x.plain(in)
}

// deadInst passes over what is not reached, up to the end of its block.
func (x *fn) deadInst(in *wasm.Inst) {
	switch in.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		x.skip++
	case wasm.OpElse:
		if x.skip == 0 {
			x.els(in)
		}
	case wasm.OpEnd:
		if x.skip > 0 {
			x.skip--
			return
		}
		x.end(in)
	}
}

// controls are the instructions that are more than a function of prelude.h.
var controls = map[wasm.Opcode]func(*fn, *wasm.Inst){
	wasm.OpUnreachable: func(x *fn, _ *wasm.Inst) { x.trap(guestabi.NativeTrapUnreachable); x.dead = true },
	wasm.OpNop:         func(*fn, *wasm.Inst) {},
	wasm.OpBlock:       func(x *fn, in *wasm.Inst) { x.openResult(in) },
	wasm.OpLoop:        func(x *fn, in *wasm.Inst) { x.openResult(in); x.linef("L%d:;", x.top().label) },
	wasm.OpIf:          (*fn).iff,
	wasm.OpElse:        (*fn).els,
	wasm.OpEnd:         (*fn).end,
	wasm.OpBr:          func(x *fn, in *wasm.Inst) { x.linef("%s", x.branch(in.A)); x.dead = true },
	wasm.OpBrIf:        func(x *fn, in *wasm.Inst) { cond := x.pop(); x.linef("if (%s) { %s }", cond, x.branch(in.A)) },
	wasm.OpBrTable:     (*fn).brTable,
	wasm.OpReturn:      func(x *fn, _ *wasm.Inst) { x.ret() },
	wasm.OpCall:        func(x *fn, in *wasm.Inst) { x.call(in.A, false) },
	wasm.OpReturnCall:  func(x *fn, in *wasm.Inst) { x.call(in.A, true) },
	wasm.OpDrop:        func(x *fn, _ *wasm.Inst) { x.pop() },
	wasm.OpSelect:      func(x *fn, _ *wasm.Inst) { x.selectOp() },
	wasm.OpSelectT:     func(x *fn, _ *wasm.Inst) { x.selectOp() },
	wasm.OpLocalGet: func(x *fn, in *wasm.Inst) {
		x.stack = append(x.stack, operand{fmt.Sprintf("l%d", in.A), int(in.A)})
	},
	wasm.OpLocalSet: func(x *fn, in *wasm.Inst) {
		v := x.pop()
		x.settle(int(in.A))
		x.linef("l%d = %s;", in.A, v)
	},
	wasm.OpLocalTee: func(x *fn, in *wasm.Inst) {
		v := x.pop()
		x.settle(int(in.A))
		x.linef("l%d = %s;", in.A, v)
		x.stack = append(x.stack, operand{fmt.Sprintf("l%d", in.A), int(in.A)})
	},
	wasm.OpGlobalGet:    func(x *fn, in *wasm.Inst) { x.push("%s", x.u.globals[in.A]) },
	wasm.OpGlobalSet:    (*fn).globalSet,
	wasm.OpI32Const:     func(x *fn, in *wasm.Inst) { x.constant("%du", uint32(in.I)) },
	wasm.OpI64Const:     func(x *fn, in *wasm.Inst) { x.constant("%dull", uint64(in.I)) },
	wasm.OpF32Const:     func(x *fn, in *wasm.Inst) { x.constant("f32_of(%#xu)", binary.LittleEndian.Uint32(in.Raw)) },
	wasm.OpF64Const:     func(x *fn, in *wasm.Inst) { x.constant("f64_of(%#xull)", binary.LittleEndian.Uint64(in.Raw)) },
	wasm.OpV128Const:    (*fn).v128Const,
	wasm.OpI8x16Shuffle: (*fn).shuffle,
	wasm.OpMemorySize:   func(x *fn, _ *wasm.Inst) { x.push("(u32)(c->mem_size >> 16)") },
	wasm.OpMemoryFill:   func(x *fn, _ *wasm.Inst) { x.bulk("fill", false) },
	wasm.OpMemoryCopy:   func(x *fn, _ *wasm.Inst) { x.bulk("copy", true) },
}

func (x *fn) top() *block { return &x.blocks[len(x.blocks)-1] }

// globalSet writes the stack pointer in order with accesses to memory: a fault
// must find it as it was.
func (x *fn) globalSet(in *wasm.Inst) {
	v, to := x.pop(), x.u.globals[in.A]
	if to == "c->"+guestabi.RSP.String() {
		to = "*(volatile u64 *)&" + to
	}
	x.linef("%s = %s;", to, v)
}

func (x *fn) constant(format string, args ...any) {
	x.stack = append(x.stack, operand{fmt.Sprintf(format, args...), -1})
}

func (x *fn) v128Const(in *wasm.Inst) {
	le := binary.LittleEndian
	x.constant("((v128){%#xull, %#xull})", le.Uint64(in.Raw), le.Uint64(in.Raw[8:]))
}

func (x *fn) shuffle(in *wasm.Inst) {
	b, a := x.pop(), x.pop()
	var lanes []string
	for _, l := range in.Raw {
		lanes = append(lanes, fmt.Sprint(l))
	}
	x.push("(v128)__builtin_shufflevector((u8x16)%s, (u8x16)%s, %s)", a, b, strings.Join(lanes, ", "))
}

func (x *fn) bulk(name string, source bool) {
	n, v, to := x.pop(), x.pop(), x.pop()
	also := ""
	if source {
		also = fmt.Sprintf(" || outside(c, %s, %s)", v, n)
	}
	x.linef("if (UNLIKELY(outside(c, %s, %s)%s)) host_trap(c, %d, %d);", to, n, also, guestabi.NativeTrapMemory, x.place-1)
	x.linef("bulk_%s(c, %s, %s, %s);", name, to, v, n)
}

func (x *fn) trap(t guestabi.NativeTrap) { x.linef("host_trap(c, %d, %du);", t, noPlace) }

func (x *fn) selectOp() {
	cond, b, a := x.pop(), x.pop(), x.pop()
	x.push("%s ? %s : %s", cond, a, b)
}

// openResult opens a block and declares its result.
func (x *fn) openResult(in *wasm.Inst) {
	x.open(in.Op, in.I)
	if bl := x.top(); bl.has {
		x.linef("%s r%d;", typeName(bl.result), bl.label)
	}
}

func (x *fn) iff(in *wasm.Inst) {
	cond := x.pop()
	x.openResult(in)
	x.linef("if (!(%s)) goto E%d;", cond, x.top().label)
}

// leave assigns a block's result at its end.
func (x *fn) leave(bl *block) {
	if bl.has {
		x.linef("r%d = %s;", bl.label, x.stack[len(x.stack)-1].text)
	}
}

func (x *fn) els(*wasm.Inst) {
	bl := x.top()
	if !x.dead {
		x.leave(bl)
		bl.used = true
		x.linef("goto L%d;", bl.label)
	}
	x.linef("E%d:;", bl.label)
	bl.started = true
	x.stack = x.stack[:bl.height]
	x.dead = false
}

func (x *fn) end(*wasm.Inst) {
	bl := *x.top()
	live := !x.dead
	if live {
		x.leave(&bl)
	}
	x.blocks = x.blocks[:len(x.blocks)-1]
	if bl.op == wasm.OpIf && !bl.started {
		x.linef("E%d:;", bl.label)
		live = true
	}
	if bl.used && bl.op != wasm.OpLoop {
		x.linef("L%d:;", bl.label)
		live = true
	}
	x.stack = x.stack[:bl.height]
	x.dead = !live
	if len(x.blocks) == 0 {
		if live && bl.has {
			x.linef("return r0;")
		} else if live {
			x.linef("return;")
		}
		return
	}
	if bl.has && live {
		x.stack = append(x.stack, operand{fmt.Sprintf("r%d", bl.label), -1})
	}
}

// branch returns the statements that go to the label of that depth.
func (x *fn) branch(depth uint32) string {
	if int(depth) >= len(x.blocks) {
		panic(fmt.Sprintf("no label of depth %d", depth))
	}
	bl := &x.blocks[len(x.blocks)-1-int(depth)]
	if bl.op == wasm.OpLoop {
		return fmt.Sprintf("goto L%d;", bl.label)
	}
	bl.used = true
	if bl.has {
		return fmt.Sprintf("r%d = %s; goto L%d;", bl.label, x.stack[len(x.stack)-1].text, bl.label)
	}
	return fmt.Sprintf("goto L%d;", bl.label)
}

func (x *fn) brTable(in *wasm.Inst) {
	v := x.pop()
	last := in.Labels[len(in.Labels)-1]
	x.linef("switch (%s) {", v)
	for i, l := range in.Labels[:len(in.Labels)-1] {
		if l != last {
			x.linef("case %d: %s", i, x.branch(l))
		}
	}
	x.linef("default: %s }", x.branch(last))
	x.dead = true
}

func (x *fn) ret() {
	if x.blocks[0].has {
		x.linef("return %s;", x.pop())
	} else {
		x.linef("return;")
	}
	x.dead = true
}

func (x *fn) call(index uint32, tail bool) {
	typ, ok := x.u.m.FuncType(index)
	if !ok {
		panic(fmt.Sprintf("no function %d", index))
	}
	name := fmt.Sprintf("fn%d", index)
	if index < x.u.imported {
		name = x.u.calls[index].name
	} else {
		x.called[index] = true
	}
	args := ""
	if n := len(typ.Params); n > 0 {
		args = ", " + x.popN(n)
	}
	if index < x.u.hosts && !tail {
		x.linef("c->place = %d;", x.place-1)
	}
	switch {
	case tail && typ.Equal(x.typ):
		x.linef("__attribute__((musttail)) return %s(c%s);", name, args)
		x.dead = true
	case tail:
		x.linef("return %s(c%s);", name, args)
		x.dead = true
	case len(typ.Results) == 1:
		x.push("%s(c%s)", name, args)
	default:
		x.linef("%s(c%s);", name, args)
		for i, r := range typ.Results {
			x.push("(%s)c->args[%d]", typeName(r), i)
		}
	}
}
