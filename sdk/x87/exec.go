package x87

import (
	"encoding/binary"
	"fmt"
)

// Memory is guest memory as x87 instructions use it. An error is a fault of the
// guest's access.
type Memory interface {
	// Load reads len(p) bytes at the guest address addr.
	Load(addr uint32, p []byte) error
	// Store writes p at the guest address addr.
	Store(addr uint32, p []byte) error
}

// UndefinedError is returned by Exec for an opcode that is no instruction.
type UndefinedError struct{ Op uint32 }

func (e *UndefinedError) Error() string {
	return fmt.Sprintf("executing x87 opcode %02x %02x: no such instruction", 0xd8+e.Op>>8&7, e.Op&0xff)
}

// Exec executes one x87 instruction. op is (escape opcode - 0xd8)<<8 | modrm,
// with ZF, PF and CF in bits 16 to 18 for fcmovcc; addr is the guest address of
// the memory operand, if it has one. Bit 19 says that the operand size is 16
// bits. fwait is fnop (D9 D0). The result is that of guestabi.FuncX87. When it
// returns an error, of which ErrPending is one, nothing has changed.
func (s *State) Exec(op, addr uint32, mem Memory) (uint64, error) {
	waits, control := waits(op>>8&7, op&0xff)
	if waits && s.Pending() {
		return 0, ErrPending
	}
	if control || s.control&swExceptions == swExceptions {
		return s.exec(op, addr, mem)
	}
	return s.unmasked(op, mem, func(mem Memory) (uint64, error) { return s.exec(op, addr, mem) })
}

// exec executes an instruction as if exceptions were masked, but for results
// that are out of range.
func (s *State) exec(op, addr uint32, mem Memory) (uint64, error) {
	esc, modrm := op>>8&7, op&0xff
	reg, rm := int(modrm>>3&7), int(modrm&7)
	if modrm < 0xc0 {
		h := memoryOps[esc][reg]
		if h == nil {
			return 0, &UndefinedError{op}
		}
		return h(&access{s: s, addr: addr, mem: mem, reg: reg, short: op>>19&1 != 0})
	}
	if (esc == 2 || esc == 3) && reg < 4 { // fcmovcc
		taken := cmovTaken(reg, esc == 3, op>>16)
		s.cmov(taken, rm)
		return b2u(taken), nil
	}
	row := &registerOps[esc][reg]
	h := row.any
	if h == nil {
		h = row.each[rm]
	}
	if h == nil {
		return 0, &UndefinedError{op}
	}
	return h(s, rm), nil
}

// registerRow is what the instructions of one escape opcode and one reg field
// do: one for all of ST(0) to ST(7), or one for each rm.
type registerRow struct {
	any  func(s *State, i int) uint64
	each [8]func(s *State, i int) uint64
}

type memoryOp func(a *access) (uint64, error)

// access is an instruction with a memory operand.
type access struct {
	s    *State
	addr uint32
	mem  Memory
	reg  int // reg field of modrm
	// short says that the operand size is 16 bits.
	short bool
}

func (a *access) load(n int) ([]byte, error) {
	p := make([]byte, n)
	return p, a.mem.Load(a.addr, p)
}

func (a *access) loadInt(n int) (uint64, error) {
	var p [8]byte
	err := a.mem.Load(a.addr, p[:n])
	return binary.LittleEndian.Uint64(p[:]), err
}

func (a *access) storeInt(v uint64, n int) error {
	var p [8]byte
	binary.LittleEndian.PutUint64(p[:], v)
	return a.mem.Store(a.addr, p[:n])
}

// unit returns a unit with the rounding and precision of the control word.
func (s *State) unit() unit {
	prec := [4]uint{24, 64, 53, 64}[s.control>>8&3]
	return unit{rc: s.control >> 10 & 3, prec: prec, adjusts: ^s.control & swRange}
}

// finish puts what u raised into the status word; C1 says that the result was
// rounded up.
func (s *State) finish(u *unit) {
	s.status &^= swC1
	if u.up {
		s.status |= swC1
	}
	s.raise(u.flags)
}

func (s *State) raise(flags uint16) {
	s.status |= flags
	s.summarize()
}

func (s *State) pop() {
	s.tags &^= 1 << s.top()
	s.setTop(s.top() + 1)
}

// push makes v the new ST(0), or the indefinite on a stack overflow.
func (s *State) push(v Float80) {
	s.setTop(s.top() - 1)
	if !s.empty(0) {
		s.raise(swIE | swSF)
		s.status |= swC1
		v = indefinite
	}
	s.setReg(0, v)
}

// full reports whether a push would overflow; it is asked before a conversion,
// whose exceptions are not raised then.
func (s *State) full() bool { return s.tags>>((s.top()-1)&7)&1 != 0 }

// underflow raises the stack fault of reading an empty register.
func (s *State) underflow() {
	s.status &^= swC1
	s.raise(swIE | swSF)
}

// stackUnderflow gives the indefinite to ST(i).
func (s *State) stackUnderflow(i int) {
	s.underflow()
	s.setReg(i, indefinite)
}

// arith is the operation that a reg field of D8, DC and DE names, on ST(0) and
// another operand.
func (u *unit) arith(reg int, st0, other Float80) Float80 {
	switch reg {
	case 0:
		return u.add(st0, other, false)
	case 1:
		return u.mul(st0, other)
	case 4:
		return u.add(st0, other, true)
	case 5:
		return u.add(other, st0, true)
	case 6:
		return u.div(st0, other)
	case 7:
		return u.div(other, st0)
	default:
		panic("BUG: no arithmetic operation")
	}
}

// arithST is ST(dst) = ST(0) op ST(i).
func (s *State) arithST(reg, dst, i int) {
	if s.empty(0) || s.empty(i) {
		s.stackUnderflow(dst)
		return
	}
	u := s.unit()
	r := u.arith(reg, s.reg(0), s.reg(i))
	s.finish(&u)
	s.setReg(dst, r)
}

// registerArith makes the rows of D8, DC and DE.
func registerArith(reg int, toI, pops bool) registerRow {
	return registerRow{any: func(s *State, i int) uint64 {
		dst := 0
		if toI {
			dst = i
		}
		s.arithST(reg, dst, i)
		if pops {
			s.pop()
		}
		return 0
	}}
}

// memoryArith makes the rows of D8, DA, DC and DE with memory operands: ST(0)
// op what load gives.
func memoryArith(load func(a *access, u *unit) (Float80, error)) memoryOp {
	return func(a *access) (uint64, error) {
		s := a.s
		u := s.unit()
		v, err := load(a, &u)
		if err != nil {
			return 0, err
		}
		switch {
		case a.reg == 2 || a.reg == 3:
			s.compareWith(&u, v, true)
			if a.reg == 3 {
				s.pop()
			}
		case s.empty(0):
			s.stackUnderflow(0)
		default:
			denormal := u.flags & swDE
			u.flags = 0
			r := u.arith(a.reg, s.reg(0), v)
			if u.flags&(swIE|swZE) == 0 && s.reg(0).class() != clNaN && v.class() != clNaN {
				u.flags |= denormal
			}
			s.finish(&u)
			s.setReg(0, r)
		}
		return 0, nil
	}
}

// operandFloat loads an m32 or m64 operand of arithmetic. u.flags&swDE says
// that it was a denormal.
func operandFloat(f small, size int) func(a *access, u *unit) (Float80, error) {
	return func(a *access, u *unit) (Float80, error) {
		v, err := a.loadInt(size)
		r, denormal := raw(f, v)
		if denormal {
			u.flags |= swDE
		}
		return r, err
	}
}

func operandInt(size int) func(a *access, u *unit) (Float80, error) {
	return func(a *access, _ *unit) (Float80, error) {
		v, err := a.loadInt(size)
		return fromInt(signed(v, size)), err
	}
}

func signed(v uint64, size int) int64 {
	shift := 64 - 8*size
	return int64(v<<shift) >> shift
}

// compareWith compares ST(0) with v and sets C0, C2 and C3. u.flags may hold
// the DE of loading v.
func (s *State) compareWith(u *unit, v Float80, signals bool) {
	o := unordered
	if s.empty(0) {
		s.underflow()
	} else {
		denormal := u.flags & swDE
		u.flags = 0
		o = u.compare(s.reg(0), v, signals)
		if o != unordered {
			u.flags |= denormal
		}
		s.finish(u)
	}
	s.setCodes(o)
}

func (s *State) setCodes(o order) {
	s.status &^= swC0 | swC2 | swC3
	s.status |= [...]uint16{less: swC0, equal: swC3, greater: 0, unordered: swC0 | swC2 | swC3}[o]
}

// compareST makes the rows of fcom, fucom and their popping forms.
func compareST(signals bool, pops int) registerRow {
	return registerRow{any: func(s *State, i int) uint64 {
		if s.empty(i) {
			s.underflow()
			s.setCodes(unordered)
		} else {
			u := s.unit()
			s.compareWith(&u, s.reg(i), signals)
		}
		for range pops {
			s.pop()
		}
		return 0
	}}
}

// compareFlags makes the rows of fcomi and its like: the result holds ZF, PF
// and CF.
func compareFlags(signals, pops bool) registerRow {
	return registerRow{any: func(s *State, i int) uint64 {
		o := unordered
		if s.empty(0) || s.empty(i) {
			s.underflow()
		} else {
			u := s.unit()
			o = u.compare(s.reg(0), s.reg(i), signals)
			s.raise(u.flags) // C1 stays (AMD)
		}
		if pops {
			s.pop()
		}
		return [...]uint64{less: 4, equal: 1, greater: 0, unordered: 7}[o]
	}}
}

// cmovTaken evaluates the condition of fcmovcc: reg 0 to 3 is below, equal,
// below or equal, unordered; flags holds ZF, PF and CF.
func cmovTaken(reg int, negated bool, flags uint32) bool {
	zf, pf, cf := flags&1 != 0, flags&2 != 0, flags&4 != 0
	return [4]bool{cf, zf, cf || zf, pf}[reg] != negated
}

func (s *State) cmov(taken bool, i int) {
	switch {
	case s.empty(0) || s.empty(i):
		s.stackUnderflow(0)
	case taken:
		s.setReg(0, s.reg(i))
	}
}
