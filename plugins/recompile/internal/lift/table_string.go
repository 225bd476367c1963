package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// stringRows are the string instructions, alone and repeated. The repeated ones
// keep rcx, rsi and rdi exact after each element, so that a fault or a
// safepoint in the middle finds an instruction that can go on.
func stringRows() Table {
	t := Table{}
	for i, n := range []int{8, 16, 32, 64} {
		t[movsOps[i]] = Row{Lift: movs(n)}
		t[stosOps[i]] = Row{Lift: stos(n)}
		t[lodsOps[i]] = Row{Lift: lods(n)}
		t[cmpsOps[i]] = Row{Lift: cmps(n), Reads: arith, Writes: arith}
		t[scasOps[i]] = Row{Lift: scas(n), Reads: arith, Writes: arith}
	}
	return t
}

// The string instructions by element size: 8, 16, 32, 64 bits.
var (
	movsOps = [4]x86asm.Op{x86asm.MOVSB, x86asm.MOVSW, x86asm.MOVSD, x86asm.MOVSQ}
	stosOps = [4]x86asm.Op{x86asm.STOSB, x86asm.STOSW, x86asm.STOSD, x86asm.STOSQ}
	lodsOps = [4]x86asm.Op{x86asm.LODSB, x86asm.LODSW, x86asm.LODSD, x86asm.LODSQ}
	cmpsOps = [4]x86asm.Op{x86asm.CMPSB, x86asm.CMPSW, x86asm.CMPSD, x86asm.CMPSQ}
	scasOps = [4]x86asm.Op{x86asm.SCASB, x86asm.SCASW, x86asm.SCASD, x86asm.SCASQ}
)

// pointer returns rsi or rdi, or its low half under a 32-bit address size.
func (l *Lifter) pointer(r ir.Reg) x86asm.Reg {
	if l.in.AddrSize == 32 {
		return x86asm.EAX + x86asm.Reg(r)
	}
	return x86asm.RAX + x86asm.Reg(r)
}

// source returns the guest address in rsi, whose segment a prefix may change.
func (l *Lifter) source() ir.Value {
	addr := l.wrap(l.getReg(guestabi.RSI))
	for _, a := range l.in.Args {
		m, ok := a.(x86asm.Mem)
		if !ok || m.Base != l.pointer(guestabi.RSI) {
			continue
		}
		if seg, ok := segment(m); ok {
			return l.b.Op(ir.I32Add, addr, l.wrap(l.getReg(seg)))
		}
	}
	return addr
}

func (l *Lifter) destination() ir.Value { return l.wrap(l.getReg(guestabi.RDI)) }

// advance moves pointers by one element in the direction of DF.
func (l *Lifter) advance(w int, regs ...ir.Reg) {
	up, down := l.constW(l.in.AddrSize, int64(w/8)), l.constW(l.in.AddrSize, int64(-w/8))
	step := ir.None
	if c, ok := l.constant(l.getReg(guestabi.DF)); ok && c == 0 {
		step = up
	} else {
		step = l.b.Select(down, up, l.getReg(guestabi.DF))
	}
	for _, r := range regs {
		p := l.pointer(r)
		l.setGPR(p, l.op(ir.I32Add, l.getGPR(p), step))
	}
}

// repeat runs body once, or under a prefix until rcx is 0 (and until the
// condition that body returns, if any, fails). It leaves the lifter in a block
// after the loop.
func (l *Lifter) repeat(body func() (goOn ir.Value)) {
	if !l.in.Rep && !l.in.Repne {
		body()
		return
	}
	loop, done := l.newBlock(), l.newBlock()
	reg, _ := l.counter()
	l.branch(l.nonzero(l.getGPR(reg)), loop, done)
	l.repeatLoop(loop, done, body)
	l.startBlock(done)
}

// repeatLoop fills loop, which is entered with rcx other than 0.
func (l *Lifter) repeatLoop(loop, done *ir.Block, body func() (goOn ir.Value)) {
	l.startBlock(loop)
	goOn := body()
	reg, _ := l.counter()
	n := l.opImm(ir.I32Sub, l.getGPR(reg), 1)
	l.setGPR(reg, n)
	cond := l.nonzero(n)
	if goOn != ir.None {
		cond = l.b.Op(ir.I32And, cond, goOn)
	}
	l.branch(cond, loop, done)
}

// bulk lifts a repeated MOVS or STOS: op at once if possible() says so in a
// block of its own, else element by element. It asks for DF=0 and for a
// size that an i32 holds.
func (l *Lifter) bulk(w int, possible func(total ir.Value) ir.Value, op func(total ir.Value), body func(), moved ...ir.Reg) {
	loop, done, check, fast := l.newBlock(), l.newBlock(), l.newBlock(), l.newBlock()
	reg, _ := l.counter()
	l.branch(l.nonzero(l.getGPR(reg)), check, done)

	l.startBlock(check)
	n := l.getGPR(reg)
	small := l.opImm(ir.I32LtU, n, 1<<28) // any count up to there has a size below 4 GiB
	ok := l.b.Op(ir.I32And, l.not(l.getReg(guestabi.DF)), small)
	l.branch(l.b.Op(ir.I32And, ok, possible(l.bytes(n, w))), fast, loop)

	l.startBlock(fast)
	n = l.getGPR(reg)
	total := l.bytes(n, w)
	op(total)
	for _, r := range moved {
		p := l.pointer(r)
		delta := total
		if l.in.AddrSize == 64 {
			delta = l.extendU(total)
		}
		l.setGPR(p, l.op(ir.I32Add, l.getGPR(p), delta))
	}
	l.setGPR(reg, l.constLike(n, 0))
	l.jump(done)

	l.repeatLoop(loop, done, func() ir.Value {
		body()
		return ir.None
	})
	l.startBlock(done)
}

// bytes returns the size of n elements in bytes, modulo 2^32.
func (l *Lifter) bytes(n ir.Value, w int) ir.Value {
	shift := map[int]int64{8: 0, 16: 1, 32: 2, 64: 3}[w]
	if shift == 0 {
		return l.wrap(n)
	}
	return l.opImm(ir.I32Shl, l.wrap(n), shift)
}

// movs: REP MOVS copies upwards element by element, so that a destination
// within the source (ahead of it by less than the total) repeats what was
// copied; then it must not become a memmove.
func movs(w int) handler {
	return func(l *Lifter, in x86.Inst) error {
		body := func() {
			v := l.load(loadOp(w), l.source(), 0)
			l.store(storeOp(w), l.destination(), 0, v)
			l.advance(w, guestabi.RSI, guestabi.RDI)
		}
		if !in.Rep && !in.Repne {
			body()
			return nil
		}
		l.bulk(w, func(total ir.Value) ir.Value {
			return l.b.Op(ir.I32GeU, l.b.Op(ir.I32Sub, l.destination(), l.source()), total)
		}, func(total ir.Value) {
			l.b.Op(ir.MemCopy, l.destination(), l.source(), total)
		}, body, guestabi.RSI, guestabi.RDI)
		return nil
	}
}

// stos: REP STOS fills at once if all bytes of the element are the same.
func stos(w int) handler {
	return func(l *Lifter, in x86.Inst) error {
		body := func() {
			l.store(storeOp(w), l.destination(), 0, l.accumulator(w))
			l.advance(w, guestabi.RDI)
		}
		if !in.Rep && !in.Repne {
			body()
			return nil
		}
		l.bulk(w, func(ir.Value) ir.Value {
			if w == 8 {
				return l.b.I32(1)
			}
			v := l.accumulator(w)
			repeated := l.op(ir.I32Mul, l.opImm(ir.I32And, v, 0xff), l.constLike(v, 0x0101010101010101>>(64-w)))
			return l.op(ir.I32Eq, v, l.zx(repeated, w))
		}, func(total ir.Value) {
			l.b.Op(ir.MemFill, l.destination(), l.getGPR(x86asm.AL), total)
		}, body, guestabi.RDI)
		return nil
	}
}

func lods(w int) handler {
	return func(l *Lifter, _ x86.Inst) error {
		l.repeat(func() ir.Value {
			v := l.load(loadOp(w), l.source(), 0)
			l.advance(w, guestabi.RSI)
			l.setGPR(accumulator(w), v)
			return ir.None
		})
		return nil
	}
}

// goOn returns the condition under which REPE or REPNE goes on.
func (l *Lifter) goOn() ir.Value {
	switch {
	case l.in.Rep:
		return l.cond(condE)
	case l.in.Repne:
		return l.cond(condNE)
	}
	return ir.None
}

func cmps(w int) handler {
	return func(l *Lifter, _ x86.Inst) error {
		l.repeat(func() ir.Value {
			x := l.load(loadOp(w), l.source(), 0)
			y := l.load(loadOp(w), l.destination(), 0)
			l.advance(w, guestabi.RSI, guestabi.RDI)
			l.subFlags(x, y, l.op(ir.I32Sub, x, y), w)
			return l.goOn()
		})
		return nil
	}
}

func scas(w int) handler {
	return func(l *Lifter, _ x86.Inst) error {
		l.repeat(func() ir.Value {
			x := l.accumulator(w)
			y := l.load(loadOp(w), l.destination(), 0)
			l.advance(w, guestabi.RDI)
			l.subFlags(x, y, l.op(ir.I32Sub, x, y), w)
			return l.goOn()
		})
		return nil
	}
}
