package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// moveRows are moves, extensions and the stack.
func moveRows() Table {
	t := Table{
		x86asm.MOV:    {Lift: liftMov},
		x86asm.MOVNTI: {Lift: liftMov},
		x86asm.MOVZX:  {Lift: extension(false)},
		x86asm.MOVSX:  {Lift: extension(true)},
		x86asm.MOVSXD: {Lift: extension(true)},
		x86asm.LEA:    {Lift: liftLea},
		x86asm.XCHG:   {Lift: liftXchg, Lock: true},
		x86asm.PUSH:   {Lift: liftPush},
		x86asm.POP:    {Lift: liftPop},
		x86asm.ENTER:  {Lift: liftEnter},
		x86asm.LEAVE:  {Lift: liftLeave},
		x86asm.CBW:    {Lift: widen(x86asm.AL, x86asm.AX)},
		x86asm.CWDE:   {Lift: widen(x86asm.AX, x86asm.EAX)},
		x86asm.CDQE:   {Lift: widen(x86asm.EAX, x86asm.RAX)},
		x86asm.CWD:    {Lift: signOf(x86asm.AX, x86asm.DX)},
		x86asm.CDQ:    {Lift: signOf(x86asm.EAX, x86asm.EDX)},
		x86asm.CQO:    {Lift: signOf(x86asm.RAX, x86asm.RDX)},
		x86asm.BSWAP:  {Lift: liftBswap},
		x86asm.XLATB:  {Lift: liftXlat},
	}
	for c, op := range cmovOps {
		t[op] = Row{Lift: cmov(condition(c)), Reads: condition(c).reads()}
	}
	for c, op := range setOps {
		t[op] = Row{Lift: setcc(condition(c)), Reads: condition(c).reads()}
	}
	return t
}

var cmovOps = [16]x86asm.Op{
	x86asm.CMOVO, x86asm.CMOVNO, x86asm.CMOVB, x86asm.CMOVAE, x86asm.CMOVE, x86asm.CMOVNE, x86asm.CMOVBE, x86asm.CMOVA,
	x86asm.CMOVS, x86asm.CMOVNS, x86asm.CMOVP, x86asm.CMOVNP, x86asm.CMOVL, x86asm.CMOVGE, x86asm.CMOVLE, x86asm.CMOVG,
}

var setOps = [16]x86asm.Op{
	x86asm.SETO, x86asm.SETNO, x86asm.SETB, x86asm.SETAE, x86asm.SETE, x86asm.SETNE, x86asm.SETBE, x86asm.SETA,
	x86asm.SETS, x86asm.SETNS, x86asm.SETP, x86asm.SETNP, x86asm.SETL, x86asm.SETGE, x86asm.SETLE, x86asm.SETG,
}

func liftMov(l *Lifter, in x86.Inst) error {
	if r, ok := in.Args[1].(x86asm.Reg); ok && r >= x86asm.ES && r <= x86asm.GS {
		return l.moveSegment(in, r)
	}
	if !l.integer(in.Args[0], in.Args[1]) {
		return l.unsupported("operands")
	}
	w := l.width(in.Args[0])
	if m, ok := in.Args[1].(x86asm.Mem); ok && w == 32 {
		base, disp := l.addr(m)
		r, _, _, _ := gpr(in.Args[0].(x86asm.Reg))
		l.setReg(r, l.load(ir.I64Load32U, base, disp))
		return nil
	}
	l.set(in.Args[0], l.raw(in.Args[1], w))
	return nil
}

// moveSegment reads a segment register: Linux gives every 64-bit process the
// same selectors (arch/x86/include/asm/segment.h: __USER_CS, __USER_DS).
func (l *Lifter) moveSegment(in x86.Inst, r x86asm.Reg) error {
	if !l.integer(in.Args[0]) {
		return l.unsupported("operands")
	}
	selector := int64(0)
	switch r {
	case x86asm.CS:
		selector = 0x33
	case x86asm.SS:
		selector = 0x2b
	}
	l.set(in.Args[0], l.constW(l.width(in.Args[0]), selector))
	return nil
}

// extension is a move from a narrower operand.
func extension(signed bool) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0], in.Args[1]) {
			return l.unsupported("operands")
		}
		to, from := l.width(in.Args[0]), l.width(in.Args[1])
		if in.Op == x86asm.MOVSXD {
			from = min(to, 32)
		}
		if m, ok := in.Args[1].(x86asm.Mem); ok {
			base, disp := l.addr(m)
			l.set(in.Args[0], l.load(extendingLoad(from, to, signed), base, disp))
			return nil
		}
		v := l.raw(in.Args[1], from)
		if signed {
			v = l.sx(v, from)
		} else {
			v = l.zx(v, from)
		}
		if to == 64 && from < 64 {
			v = l.extend(v, signed)
		}
		l.set(in.Args[0], v)
		return nil
	}
}

func (l *Lifter) extend(v ir.Value, signed bool) ir.Value {
	if signed {
		return l.extendS(v)
	}
	return l.extendU(v)
}

// extendingLoad returns the load of from bits into the type of width to.
func extendingLoad(from, to int, signed bool) ir.Op {
	if from == to {
		return loadOp(to)
	}
	ops := map[int][4]ir.Op{ // unsigned and signed to i32, unsigned and signed to i64
		8:  {ir.I32Load8U, ir.I32Load8S, ir.I64Load8U, ir.I64Load8S},
		16: {ir.I32Load16U, ir.I32Load16S, ir.I64Load16U, ir.I64Load16S},
		32: {ir.I32Load, ir.I32Load, ir.I64Load32U, ir.I64Load32S},
	}
	i := 0
	if signed {
		i = 1
	}
	if to == 64 {
		i += 2
	}
	return ops[from][i]
}

func liftLea(l *Lifter, in x86.Inst) error {
	dst, ok := in.Args[0].(x86asm.Reg)
	m, isMem := in.Args[1].(x86asm.Mem)
	if !ok || !isMem {
		return l.unsupported("operands")
	}
	_, w, _, ok := gpr(dst)
	if !ok {
		return l.unsupported("operands")
	}
	m.Segment = 0
	if w < 64 || in.AddrSize == 32 {
		base, disp := l.computeAddr(m)
		if disp != 0 {
			base = l.opImm(ir.I32Add, base, int64(disp))
		}
		if w == 64 {
			base = l.extendU(base)
		}
		l.set(dst, base)
		return nil
	}
	l.set(dst, l.address64(m))
	return nil
}

// address64 returns the whole 64-bit sum of a memory operand.
func (l *Lifter) address64(m x86asm.Mem) ir.Value {
	if m.Base == x86asm.RIP {
		return l.b.GuestAddr(l.in.Next() + uint64(m.Disp))
	}
	sum := ir.None
	add := func(v ir.Value) {
		if sum == ir.None {
			sum = v
		} else {
			sum = l.b.Op(ir.I64Add, sum, v)
		}
	}
	if m.Base != 0 {
		add(l.get64(m.Base))
	}
	if m.Index != 0 && m.Scale != 0 {
		add(l.scaled(l.get64(m.Index), m.Scale))
	}
	if m.Disp != 0 || sum == ir.None {
		add(l.b.I64(m.Disp))
	}
	return sum
}

// liftXchg exchanges. With memory it is atomic, LOCK prefix or not.
func liftXchg(l *Lifter, in x86.Inst) error {
	a, b := in.Args[0], in.Args[1]
	if !l.integer(a, b) {
		return l.unsupported("operands")
	}
	if _, ok := b.(x86asm.Mem); ok {
		a, b = b, a
	}
	if m, ok := a.(x86asm.Mem); ok {
		l.set(b, l.atomic(ir.I32AtomicRmwXchg, m, l.width(b), l.get(b)))
		return nil
	}
	x, y := l.raw(a, l.width(a)), l.raw(b, l.width(b))
	l.set(a, y)
	l.set(b, x)
	return nil
}

// push stores v, of w bits, below the stack pointer and moves it.
func (l *Lifter) push(v ir.Value, w int) {
	sp := l.getReg(guestabi.RSP)
	l.store(storeOp(w), l.wrap(sp), int32(-w/8), v)
	l.setReg(guestabi.RSP, l.opImm(ir.I32Add, sp, int64(-w/8)))
}

func liftPush(l *Lifter, in x86.Inst) error {
	w := in.ArgSize(0) * 8
	if r, ok := in.Args[0].(x86asm.Reg); ok && r >= x86asm.ES && r <= x86asm.GS {
		return l.unsupported("segment register")
	}
	if w != 16 && w != 64 {
		return l.unsupported("operand size")
	}
	l.push(l.getW(in.Args[0], w), w)
	return nil
}

func liftPop(l *Lifter, in x86.Inst) error {
	w := in.ArgSize(0) * 8
	if w != 16 && w != 64 || !l.integer(in.Args[0]) {
		return l.unsupported("operands")
	}
	sp := l.getReg(guestabi.RSP)
	v := l.load(loadOp(w), l.wrap(sp), 0)
	after := l.opImm(ir.I32Add, sp, int64(w/8))
	if m, ok := in.Args[0].(x86asm.Mem); ok {
		if m.Base == x86asm.RSP || m.Base == x86asm.ESP { // the address is computed after the pop
			m.Disp += int64(w / 8)
		}
		base, disp := l.addr(m)
		l.store(storeOp(w), base, disp, v)
		l.setReg(guestabi.RSP, after)
		return nil
	}
	l.setReg(guestabi.RSP, after)
	l.set(in.Args[0], v)
	return nil
}

// liftEnter makes a stack frame. At nesting level n it copies the n-1 frame
// pointers below that of the caller, and adds its own.
func liftEnter(l *Lifter, in x86.Inst) error {
	size, ok := in.Args[0].(x86asm.Imm)
	nesting, ok2 := in.Args[1].(x86asm.Imm)
	if !ok || !ok2 {
		return l.unsupported("operands")
	}
	w, bytes := 64, int32(8)
	if in.DataSize == 16 {
		w, bytes = 16, 2
	}
	level := int32(nesting & 31)
	rsp, rbp := l.getReg(guestabi.RSP), l.getReg(guestabi.RBP)
	at, from := l.wrap(rsp), l.wrap(rbp)
	truncated := func(v ir.Value) ir.Value {
		if w == 16 {
			return l.wrap(v)
		}
		return v
	}
	l.store(storeOp(w), at, -bytes, truncated(rbp))
	frame := l.opImm(ir.I32Sub, rsp, int64(bytes))
	for i := int32(1); i < level; i++ {
		l.store(storeOp(w), at, -bytes*(i+1), l.load(loadOp(w), from, -bytes*i))
	}
	if level > 0 {
		l.store(storeOp(w), at, -bytes*(level+1), truncated(frame))
		rsp = l.opImm(ir.I32Sub, rsp, int64(bytes*(level+1)))
	} else {
		rsp = frame
	}
	if w == 16 {
		l.setGPR(x86asm.BP, l.wrap(frame))
	} else {
		l.setReg(guestabi.RBP, frame)
	}
	l.setReg(guestabi.RSP, l.opImm(ir.I32Sub, rsp, int64(uint16(size))))
	return nil
}

func liftLeave(l *Lifter, in x86.Inst) error {
	frame := l.getReg(guestabi.RBP)
	if in.DataSize == 16 {
		saved := l.load(ir.I32Load16U, l.wrap(frame), 0)
		l.setReg(guestabi.RSP, l.opImm(ir.I32Add, frame, 2))
		l.setGPR(x86asm.BP, saved)
		return nil
	}
	saved := l.load(ir.I64Load, l.wrap(frame), 0)
	l.setReg(guestabi.RSP, l.opImm(ir.I32Add, frame, 8))
	l.setReg(guestabi.RBP, saved)
	return nil
}

// widen sign-extends one part of rax into another.
func widen(from, to x86asm.Reg) handler {
	_, w, _, _ := gpr(from)
	return func(l *Lifter, _ x86.Inst) error {
		v := l.sx(l.rawGPR(from), w)
		if to == x86asm.RAX {
			v = l.extendS(v)
		}
		l.set(to, v)
		return nil
	}
}

// signOf fills a register with the sign of another.
func signOf(from, to x86asm.Reg) handler {
	_, w, _, _ := gpr(from)
	return func(l *Lifter, _ x86.Inst) error {
		v := l.sx(l.rawGPR(from), w)
		shift := int64(31)
		if w == 64 {
			shift = 63
		}
		l.set(to, l.opImm(ir.I32ShrS, v, shift))
		return nil
	}
}

func liftBswap(l *Lifter, in x86.Inst) error {
	if w := l.width(in.Args[0]); w != 32 && w != 64 {
		return l.unsupported("operand size")
	}
	l.set(in.Args[0], l.swapBytes(l.get(in.Args[0])))
	return nil
}

// swapBytes returns the bytes of v, an i32 or i64, in the other order.
func (l *Lifter) swapBytes(v ir.Value) ir.Value {
	step := func(v ir.Value, shift, mask int64) ir.Value {
		return l.op(ir.I32Or, l.opImm(ir.I32And, l.opImm(ir.I32ShrU, v, shift), mask),
			l.opImm(ir.I32Shl, l.opImm(ir.I32And, v, mask), shift))
	}
	if l.b.TypeOf(v) == ir.I32 {
		return l.opImm(ir.I32Rotl, step(v, 8, 0x00ff00ff), 16)
	}
	v = step(v, 8, 0x00ff00ff00ff00ff)
	return l.opImm(ir.I32Rotl, step(v, 16, 0x0000ffff0000ffff), 32)
}

func liftXlat(l *Lifter, in x86.Inst) error {
	base := l.b.Op(ir.I32Add, l.wrap(l.getReg(guestabi.RBX)), l.getGPR(x86asm.AL))
	if m, ok := in.Args[0].(x86asm.Mem); ok {
		if seg, ok := segment(m); ok {
			base = l.b.Op(ir.I32Add, base, l.wrap(l.getReg(seg)))
		}
	}
	l.set(x86asm.AL, l.load(ir.I32Load8U, base, 0))
	return nil
}

// cmov reads its source always, and always writes its destination: a 32-bit
// register loses its upper half.
func cmov(c condition) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0], in.Args[1]) {
			return l.unsupported("operands")
		}
		w := l.width(in.Args[0])
		v := l.raw(in.Args[1], w)
		cond := l.cond(c)
		l.set(in.Args[0], l.b.Select(v, l.raw(in.Args[0], w), cond))
		return nil
	}
}

func setcc(c condition) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0]) || l.width(in.Args[0]) != 8 {
			return l.unsupported("operands")
		}
		l.set(in.Args[0], l.cond(c))
		return nil
	}
}
