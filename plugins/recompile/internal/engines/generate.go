// Package engines compares wazero's compiler with its interpreter on modules
// that the recompiler emits: random guest functions with calls, loops, switches
// and system calls between random instructions. Only tests use it.
package engines

import (
	"encoding/binary"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/plugins/recompile/internal/oracle"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// A class of programs. Which of two NaNs an operation of wazero's interpreter
// gives is up to the Go compiler, so programs with floating-point arithmetic
// keep their numbers to themselves: lanes of one size, in registers and memory
// that nothing else looks at, and one NaN is as good as another.
type class struct {
	name string
	lane int // bytes of a floating-point number; 0: no arithmetic on them
	ops  []x86asm.Op
}

var (
	// arithmetic gives NaNs. x87 instructions do not count: the host runs them.
	arithmetic = regexp.MustCompile(`^(ADD|SUB|MUL|DIV|MIN|MAX|SQRT|HADD|HSUB|ADDSUB|DP|ROUND|CMP|CVTT?[A-Z0-9]*2|RCP|RSQRT|U?COMI)(PS|PD|SS|SD|PI|DQ|SI)?(_XMM)?$`)
	doubles    = regexp.MustCompile(`^(ADD|SUB|MUL|DIV|MIN|MAX|SQRT|HADD|HSUB|ADDSUB|DP|ROUND|CMP|U?COMI|MOVA|MOVU|UNPCKL|UNPCKH|SHUF|BLEND|MOVH|MOVL)(PD|SD|SD_XMM)$|^MOVSD_XMM$|^MOVDDUP$|^CVTT?SD2SI$|^CVTSI2SD$`)
	singles    = regexp.MustCompile(`^(ADD|SUB|MUL|DIV|MIN|MAX|SQRT|HADD|HSUB|ADDSUB|DP|ROUND|CMP|U?COMI|MOVA|MOVU|UNPCKL|UNPCKH|SHUF|BLEND|MOVH|MOVL)(PS|SS)$|^MOVSS$|^MOVS[LH]DUP$|^MOV(LH|HL)PS$|^CVTT?SS2SI$|^CVTSI2SS$`)
	// unfit leave the code, use the stack or memory in a way of their own, or fault.
	unfit = regexp.MustCompile(`^(PUSH|POP|ENTER|LEAVE|CALL|RET|JMP|J[A-Z]+|LOOP|I?DIV$|HLT|IN$|OUT$|INS|OUTS|UD|INT|XLAT|MASKMOV|FX|FNSAVE|FRSTOR|FNSTENV|FLDENV|FLDCW|FWAIT|LDMXCSR|STMXCSR|CLI|STI|PAUSE|RDPMC|RSQRT|RCP|FSIN|FCOS|FPTAN|FPATAN|F2XM1|FYL2X|XSAVE|XRSTOR|MONITOR|MWAIT|SYS|SWAPGS|LGS|LFS|LSS|RDFS|RDGS|WRFS|WRGS|CLFLUSH)`)
)

// Generator makes random programs.
type Generator struct {
	rng     *rand.Rand
	single  *oracle.Generator
	classes []class
}

// NewGenerator returns a generator; equal seeds give equal programs.
func NewGenerator(seed uint64) *Generator {
	g := &Generator{rng: rand.New(rand.NewPCG(seed, 1))}
	absent := map[x86asm.Op]bool{}
	for _, f := range lift.Families() {
		for op, row := range f.Rows {
			absent[op] = row.Absent || f.CPU > guestabi.CPUv2
		}
	}
	g.single = oracle.NewGenerator(seed, func(op x86asm.Op) bool { return !unfit.MatchString(op.String()) && !absent[op] })
	g.classes = []class{{name: "integers"}, {name: "doubles", lane: 8}, {name: "singles", lane: 4}}
	for _, op := range g.single.Ops() {
		name := op.String()
		for i, wanted := range []bool{
			!arithmetic.MatchString(name), doubles.MatchString(name), singles.MatchString(name),
		} {
			if wanted || i > 0 && general(name) {
				g.classes[i].ops = append(g.classes[i].ops, op)
				if wanted && i > 0 { // about as many numbers as integers
					g.classes[i].ops = append(g.classes[i].ops, op, op, op)
				}
			}
		}
	}
	return g
}

// general reports whether an instruction is of the integers that every program
// has: none of them takes vectors.
func general(name string) bool {
	switch name {
	case "ADD", "SUB", "ADC", "SBB", "AND", "OR", "XOR", "CMP", "TEST", "LEA", "MOV", "MOVZX", "MOVSX", "MOVSXD", "SHL", "SHR", "SAR",
		"IMUL", "INC", "DEC", "NEG", "NOT":
		return true
	}
	return strings.HasPrefix(name, "SET") || strings.HasPrefix(name, "CMOV")
}

// Program is a random program.
type Program struct {
	class     class
	functions [][]*statement
}

// Next makes a program.
func (g *Generator) Next() Program {
	p := Program{class: g.classes[[]int{0, 0, 1, 2}[g.rng.IntN(4)]]}
	n := 1 + g.rng.IntN(4)
	p.functions = make([][]*statement, n)
	costs := make([]int, n)
	for i := n - 1; i >= 0; i-- { // callees first: they have higher numbers
		w := &writer{g: g, class: p.class, fn: i, costs: costs}
		p.functions[i] = w.list(0, 3+g.rng.IntN(8), 1)
		costs[i] = w.cost
	}
	return p
}

// writer makes one function.
type writer struct {
	g     *Generator
	class class
	fn    int
	costs []int // of the functions, in statements that run
	cost  int
	loops int
}

// maxCost bounds the statements that one call of a function runs.
const maxCost = 3000

// list makes n statements that run times times.
func (w *writer) list(depth, n, times int) []*statement {
	var out []*statement
	for range n {
		if s := w.statement(depth, times); s != nil {
			out = append(out, s)
			w.cost += times
		}
	}
	return out
}

func (w *writer) statement(depth, times int) *statement {
	rng := w.g.rng
	size := func() int { return 1 + rng.IntN(5) }
	if rng.IntN(10) < 5 || depth > 3 {
		return &statement{kind: straight, code: w.straight()}
	}
	s := &statement{kind: kind(rng.IntN(int(numberOfKinds))), cc: byte(rng.IntN(16))}
	switch s.kind {
	case straight:
		s.code = w.straight()
	case choice:
		s.body = w.list(depth+1, size(), times)
		if rng.IntN(2) == 0 {
			s.other = w.list(depth+1, size(), times)
		}
	case loop, intoLoop:
		s.form, s.n = rng.IntN(numberOfForms), 1+rng.IntN(6)
		if times*s.n*8 > maxCost || w.loops >= 16 {
			return nil
		}
		w.loops++
		s.body = w.list(depth+1, 1+size(), times*s.n)
	case multiway:
		s.reg = rng.IntN(4)
		for range 1 << (1 + rng.IntN(2)) {
			s.arms = append(s.arms, w.list(depth+1, size(), times))
		}
	case call:
		if w.fn+1 >= len(w.costs) {
			return nil
		}
		s.callee, s.indirect = w.fn+1+rng.IntN(len(w.costs)-w.fn-1), rng.IntN(3) == 0
		more := times * w.costs[s.callee]
		if w.cost+more > maxCost {
			return nil
		}
		w.cost += more
	}
	return s
}

// straight makes a few instructions.
func (w *writer) straight() []byte {
	var code []byte
	for range 1 + w.g.rng.IntN(6) {
		code = append(code, w.instruction()...)
	}
	return code
}

// instruction makes one instruction, and before it those that make its memory
// operand lie in memory.
func (w *writer) instruction() []byte {
	ops := w.class.ops
	for {
		c, in, ok := w.g.single.NextOf(ops[w.g.rng.IntN(len(ops))])
		if !ok || in.EndsBlock() {
			continue
		}
		if f, err := lift.Bytes(c.Code, oracle.CodeAt); err != nil || faults(f) {
			continue
		}
		if before, ok := w.aim(&in); ok {
			return append(before, c.Code...)
		}
	}
}

// faults reports whether f may raise a fault on purpose: privileged instructions
// always do.
func faults(f *ir.Func) bool {
	return slices.ContainsFunc(f.Blocks, func(b *ir.Block) bool { return b.Term.Kind == ir.TermFault })
}

// reserved registers are the stack pointer, r12 for jumps, r13 and r14 for
// counters, and r15 for the address of memory.
func reserved(r x86asm.Reg) bool {
	switch r {
	case x86asm.RIP, x86asm.SPB, x86asm.SP, x86asm.ESP, x86asm.RSP:
		return true
	}
	for _, first := range []x86asm.Reg{x86asm.R12B, x86asm.R12W, x86asm.R12L, x86asm.R12} {
		if r >= first && r < first+4 {
			return true
		}
	}
	return false
}

// aim returns instructions that make the memory operand of in lie in memory, or
// false if in is of no use here.
func (w *writer) aim(in *x86.Inst) ([]byte, bool) {
	vector := false
	var mem *x86asm.Mem
	for _, a := range in.Args {
		switch a := a.(type) {
		case x86asm.Reg:
			if reserved(a) || a >= x86asm.ES && a <= x86asm.GS {
				return nil, false
			}
			vector = vector || a >= x86asm.X0 && a <= x86asm.X15
		case x86asm.Mem:
			if reserved(a.Base) || reserved(a.Index) || a.Segment != 0 {
				return nil, false
			}
			if mem == nil {
				mem = &a
			}
		case x86asm.Rel:
			return nil, false
		}
	}
	if w.class.lane > 0 && vector != (doubles.MatchString(in.Op.String()) || singles.MatchString(in.Op.String())) {
		return nil, false // mov between kinds of registers
	}
	if isString(in.Op) {
		return w.aimString(), true
	}
	if mem == nil || in.Op == x86asm.LEA {
		return nil, true
	}
	switch in.Op {
	case x86asm.CVTSI2SD, x86asm.CVTSI2SS:
		return nil, false // would read a NaN as an integer
	case x86asm.BT, x86asm.BTC, x86asm.BTR, x86asm.BTS:
		return nil, false // a register as offset reaches far
	}
	return w.point(*mem, w.target(vector))
}

// target draws the offset in memory of an operand.
func (w *writer) target(vector bool) int64 {
	from, align := int64(dataFrom), int64(16)
	switch {
	case vector && w.class.lane > 0:
		from, align = floatFrom, int64(w.class.lane)
	case w.g.rng.IntN(4) == 0:
		align = 8
	}
	room := int64(64) // mostly the same few places
	if w.g.rng.IntN(4) == 0 {
		room = dataRoom
	}
	return from + w.g.rng.Int64N(room)/align*align
}

// point sets the registers of m such that it lies at an offset of memory.
func (w *writer) point(m x86asm.Mem, target int64) ([]byte, bool) {
	base, index := register(m.Base), register(m.Index)
	var code []byte
	rest := target - m.Disp
	switch {
	case base >= 0 && base == index:
		return nil, false
	case base >= 0 && index >= 0:
		i := w.g.rng.Int64N(16)
		code = moveImm(index, uint64(i))
		rest -= i * int64(m.Scale)
	case base < 0 && index >= 0:
		at := memAt + rest
		if at%int64(m.Scale) != 0 {
			return nil, false
		}
		return moveImm(index, uint64(at/int64(m.Scale))), true
	case base < 0:
		return nil, false
	}
	if rest != int64(int32(rest)) {
		return append(code, moveImm(base, uint64(memAt+rest))...), true
	}
	return append(code, leaR15(base, int32(rest))...), true
}

func (w *writer) aimString() []byte {
	code := leaR15(7, int32(dataFrom+dataRoom/2+w.g.rng.IntN(64)))
	code = append(code, leaR15(6, int32(dataFrom+dataRoom/2+w.g.rng.IntN(64)))...)
	return append(code, moveImm(1, uint64(w.g.rng.IntN(40)))...)
}

func isString(op x86asm.Op) bool {
	switch op {
	case x86asm.MOVSB, x86asm.MOVSW, x86asm.MOVSD, x86asm.MOVSQ, x86asm.CMPSB, x86asm.CMPSW, x86asm.CMPSD, x86asm.CMPSQ,
		x86asm.STOSB, x86asm.STOSW, x86asm.STOSD, x86asm.STOSQ, x86asm.LODSB, x86asm.LODSW, x86asm.LODSD, x86asm.LODSQ,
		x86asm.SCASB, x86asm.SCASW, x86asm.SCASD, x86asm.SCASQ:
		return true
	}
	return false
}

// register returns the number of a 64-bit register, or -1.
func register(r x86asm.Reg) int {
	if r >= x86asm.RAX && r <= x86asm.R15 {
		return int(r - x86asm.RAX)
	}
	return -1
}

func moveImm(reg int, v uint64) []byte {
	if v <= 1<<31 && reg < 8 {
		return binary.LittleEndian.AppendUint32([]byte{0xb8 | byte(reg)}, uint32(v)) // mov r32, imm32
	}
	return binary.LittleEndian.AppendUint64([]byte{0x48 | byte(reg)>>3, 0xb8 | byte(reg)&7}, v)
}

// leaR15 is lea reg, [r15+disp].
func leaR15(reg int, disp int32) []byte {
	return binary.LittleEndian.AppendUint32([]byte{0x49 | byte(reg)>>3<<2, 0x8d, 0x87 | byte(reg)&7<<3}, uint32(disp))
}
