package x87

import "encoding/binary"

func nop(*State, int) uint64 { return 0 }

// Loads.

func loadFloat(f small, size int) memoryOp {
	return func(a *access) (uint64, error) {
		v, err := a.loadInt(size)
		if err != nil {
			return 0, err
		}
		s := a.s
		u := s.unit()
		r := u.widen(f, v)
		if s.full() {
			u = unit{}
		}
		s.finish(&u)
		s.push(r)
		return 0, nil
	}
}

func loadInt(size int) memoryOp {
	return func(a *access) (uint64, error) {
		v, err := a.loadInt(size)
		if err != nil {
			return 0, err
		}
		a.s.status &^= swC1
		a.s.push(fromInt(signed(v, size)))
		return 0, nil
	}
}

func load80(a *access) (uint64, error) {
	p, err := a.load(10)
	if err != nil {
		return 0, err
	}
	a.s.status &^= swC1
	a.s.push(Float80{binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint16(p[8:])})
	return 0, nil
}

func fbld(a *access) (uint64, error) {
	p, err := a.load(10)
	if err != nil {
		return 0, err
	}
	a.s.status &^= swC1
	a.s.push(fromBCD(p))
	return 0, nil
}

func fldST(s *State, i int) uint64 {
	s.status &^= swC1
	if s.empty(i) {
		s.setTop(s.top() - 1)
		s.stackUnderflow(0)
		return 0
	}
	s.push(s.reg(i))
	return 0
}

func constant(n int) one {
	return func(s *State, _ int) uint64 {
		c := &rom[n]
		s.status &^= swC1
		v := Float80{}
		if c.mant != 0 {
			u := unit{rc: s.control >> 10 & 3}
			v = u.roundTo(false, c.exp, c.mant, c.rest, 64)
		}
		s.push(v)
		return 0
	}
}

// Stores. A store that faults leaves the state as it was.

func storeFloat(f small, size int, pops bool) memoryOp {
	return func(a *access) (uint64, error) {
		s := a.s
		u := s.unit()
		var v uint64
		if s.empty(0) {
			u.flags = swIE | swSF
			v = 1<<(f.frac+f.exp) | uint64(f.expMax())<<f.frac | 1<<(f.frac-1)
		} else {
			v = u.narrow(f, s.reg(0))
		}
		if err := a.storeInt(v, size); err != nil {
			return 0, err
		}
		s.finish(&u)
		if pops {
			s.pop()
		}
		return 0, nil
	}
}

// storeInt makes fist, fistp and, truncating, fisttp.
func storeInt(size int, pops, truncates bool) memoryOp {
	return func(a *access) (uint64, error) {
		s := a.s
		u := s.unit()
		v := uint64(1) << (8*size - 1)
		rc := u.rc
		if truncates {
			rc = rcZero
		}
		if s.empty(0) {
			u.flags = swIE | swSF
		} else {
			v = u.toInt(s.reg(0), uint(8*size), rc)
		}
		if err := a.storeInt(v, size); err != nil {
			return 0, err
		}
		s.finish(&u)
		if pops {
			s.pop()
		}
		return 0, nil
	}
}

func store80(a *access) (uint64, error) {
	s := a.s
	v, flags := s.reg(0), uint16(0)
	if s.empty(0) {
		v, flags = indefinite, swIE|swSF
	}
	var p [10]byte
	binary.LittleEndian.PutUint64(p[:], v.Mant)
	binary.LittleEndian.PutUint16(p[8:], v.SE)
	if err := a.mem.Store(a.addr, p[:]); err != nil {
		return 0, err
	}
	s.status &^= swC1
	s.raise(flags)
	s.pop()
	return 0, nil
}

func fbstp(a *access) (uint64, error) {
	s := a.s
	u := s.unit()
	p := [10]byte{7: 0xc0, 8: 0xff, 9: 0xff}
	if s.empty(0) {
		u.flags = swIE | swSF
	} else {
		p = u.toBCD(s.reg(0))
	}
	if err := a.mem.Store(a.addr, p[:]); err != nil {
		return 0, err
	}
	s.finish(&u)
	s.pop()
	return 0, nil
}

func fstST(s *State, i int) uint64 {
	s.status &^= swC1
	if s.empty(0) {
		s.stackUnderflow(i)
		return 0
	}
	s.setReg(i, s.reg(0))
	return 0
}

func fstpST(s *State, i int) uint64 {
	fstST(s, i)
	s.pop()
	return 0
}

// Registers.

func fxch(s *State, i int) uint64 {
	s.status &^= swC1
	a, b := s.reg(0), s.reg(i)
	if s.empty(0) || s.empty(i) {
		if s.empty(0) {
			a = indefinite
		}
		if s.empty(i) {
			b = indefinite
		}
		s.underflow()
	}
	s.setReg(0, b)
	s.setReg(i, a)
	return 0
}

func fdecstp(s *State, _ int) uint64 {
	s.status &^= swC1
	s.setTop(s.top() - 1)
	return 0
}

func fincstp(s *State, _ int) uint64 {
	s.status &^= swC1
	s.setTop(s.top() + 1)
	return 0
}

func ffree(s *State, i int) uint64 {
	s.status &^= swC1
	s.tags &^= 1 << s.phys(i)
	return 0
}

func ffreep(s *State, i int) uint64 {
	ffree(s, i)
	s.pop()
	return 0
}

// unary makes an instruction that replaces ST(0).
func unary(f func(u *unit, v Float80) Float80) one {
	return func(s *State, _ int) uint64 {
		if s.empty(0) {
			s.stackUnderflow(0)
			return 0
		}
		u := s.unit()
		r := f(&u, s.reg(0))
		s.finish(&u)
		s.setReg(0, r)
		return 0
	}
}

var (
	fchs    = unary(func(_ *unit, v Float80) Float80 { return Float80{v.Mant, v.SE ^ 0x8000} })
	fabs    = unary(func(_ *unit, v Float80) Float80 { return Float80{v.Mant, v.SE &^ 0x8000} })
	fsqrt   = unary((*unit).sqrt)
	frndint = unary((*unit).roundInt)
)

func ftst(s *State, _ int) uint64 {
	u := s.unit()
	s.compareWith(&u, Float80{}, true)
	return 0
}

func fxam(s *State, _ int) uint64 {
	v := s.reg(0)
	s.status &^= swC0 | swC1 | swC2 | swC3
	if v.sign() {
		s.status |= swC1
	}
	if s.empty(0) {
		s.status |= swC3 | swC0
		return 0
	}
	s.status |= [...]uint16{clZero: swC3, clDenormal: swC3 | swC2, clNormal: swC2, clInf: swC2 | swC0, clNaN: swC0, clUnsupported: 0}[v.class()]
	return 0
}

// fxtract replaces ST(0) with its exponent and pushes its significand.
func fxtract(s *State, _ int) uint64 {
	s.status &^= swC1
	if s.empty(0) || s.full() {
		if s.empty(0) {
			s.underflow()
		} else {
			s.raise(swIE | swSF)
			s.status |= swC1
		}
		s.setReg(0, indefinite)
		s.setTop(s.top() - 1)
		s.setReg(0, indefinite)
		return 0
	}
	u := s.unit()
	v := s.reg(0)
	var exponent, significand Float80
	switch v.class() {
	case clUnsupported:
		exponent = u.invalid()
		significand = exponent
	case clNaN:
		exponent = u.nan(v, v)
		significand = exponent
	case clInf:
		exponent, significand = inf(false), v
	case clZero:
		u.flags |= swZE
		exponent, significand = inf(true), v
	default:
		u.denormal(v)
		e, m := v.finite()
		exponent, significand = fromInt(int64(e-expBias)), pack(v.sign(), expBias, m)
	}
	s.finish(&u)
	s.setReg(0, exponent)
	s.push(significand)
	return 0
}

// binary2 makes an instruction on ST(0) and ST(1) that replaces ST(0), or
// replaces ST(1) and pops.
func binary2(f func(s *State, u *unit, st0, st1 Float80) Float80, pops bool) one {
	return func(s *State, _ int) uint64 {
		dst := 0
		if pops {
			dst = 1
		}
		if s.empty(0) || s.empty(1) {
			s.stackUnderflow(dst)
		} else {
			u := s.unit()
			r := f(s, &u, s.reg(0), s.reg(1))
			s.finish(&u)
			s.setReg(dst, r)
		}
		if pops {
			s.pop()
		}
		return 0
	}
}

var fscale = binary2(func(_ *State, u *unit, a, b Float80) Float80 {
	if r, ok := u.special(a, b); ok {
		return r
	}
	ca, cb := a.class(), b.class()
	switch {
	case cb == clInf && !b.sign() && ca == clZero, cb == clInf && b.sign() && ca == clInf:
		return u.invalid()
	case cb == clInf:
		u.denormal(a)
		if b.sign() {
			return zero(a.sign())
		}
		return inf(a.sign())
	case ca == clInf, ca == clZero:
		u.denormal(b)
		return a
	}
	u.denormal(a)
	u.denormal(b)
	var t unit
	n, ok := t.toMagnitude(b, rcZero)
	if !ok || n > 0x10000 {
		n = 0x10000
	}
	shift := int32(n)
	if b.sign() {
		shift = -shift
	}
	e, m := a.finite()
	return u.roundTo(a.sign(), e+shift, m, 0, 64)
}, false)

// Control.

func fninit(s *State, _ int) uint64 {
	regs := s.regs
	*s = New()
	s.regs = regs
	return 0
}

func fnclex(s *State, _ int) uint64 {
	s.status &^= swB | swES | swSF | swExceptions
	return 0
}

func fnstswAX(s *State, _ int) uint64 { return uint64(s.status) }

func fnstsw(a *access) (uint64, error) { return 0, a.storeInt(uint64(a.s.status), 2) }
func fnstcw(a *access) (uint64, error) { return 0, a.storeInt(uint64(a.s.control), 2) }

func fldcw(a *access) (uint64, error) {
	v, err := a.loadInt(2)
	if err == nil {
		a.s.setControl(uint16(v))
	}
	return 0, err
}

func (s *State) setControl(v uint16) {
	s.control = v&^controlReserved | 0x40
	s.summarize()
}

// Sizes of the environment in protected mode in bytes: that of 32 bits is what
// 64-bit code uses without an operand-size prefix.
const (
	envSize      = 28
	envSizeShort = 14
)

func (a *access) envSize() int {
	if a.short {
		return envSizeShort
	}
	return envSize
}

// tagWord returns the full tag word: two bits for each physical register.
func (s *State) tagWord() (w uint16) {
	for p := range 8 {
		tag := uint16(3)
		if s.tags>>p&1 != 0 {
			switch s.regs[p].class() {
			case clNormal:
				tag = 0
			case clZero:
				tag = 1
			default:
				tag = 2
			}
		}
		w |= tag << (2 * p)
	}
	return w
}

// putEnv writes the environment, in the format of the size of p. Selectors are
// those of 64-bit code, which has none.
func (s *State) putEnv(p []byte) {
	le := binary.LittleEndian
	if len(p) == envSizeShort {
		for i, v := range []uint16{s.control, s.status, s.tagWord(), uint16(s.ip), 0, uint16(s.dp), 0} {
			le.PutUint16(p[2*i:], v)
		}
		return
	}
	le.PutUint32(p[0:], uint32(s.control)|0xffff_0000)
	le.PutUint32(p[4:], uint32(s.status)|0xffff_0000)
	le.PutUint32(p[8:], uint32(s.tagWord())|0xffff_0000)
	le.PutUint32(p[12:], uint32(s.ip))
	le.PutUint32(p[16:], uint32(s.opcode)<<16)
	le.PutUint32(p[20:], uint32(s.dp))
	le.PutUint32(p[24:], 0xffff_0000)
}

func (s *State) setEnv(p []byte) {
	le := binary.LittleEndian
	var control, tags uint16
	if len(p) == envSizeShort {
		control, s.status, tags = le.Uint16(p[0:]), le.Uint16(p[2:]), le.Uint16(p[4:])
		s.ip, s.opcode, s.dp = uint64(le.Uint16(p[6:])), 0, uint64(le.Uint16(p[10:]))
	} else {
		control, s.status, tags = le.Uint16(p[0:]), le.Uint16(p[4:]), le.Uint16(p[8:])
		s.ip, s.dp = uint64(le.Uint32(p[12:])), uint64(le.Uint32(p[20:]))
		s.opcode = uint16(le.Uint32(p[16:])>>16) & 0x7ff
	}
	s.tags = 0
	for i := range 8 {
		if tags>>(2*i)&3 != 3 {
			s.tags |= 1 << i
		}
	}
	s.setControl(control)
}

func fnstenv(a *access) (uint64, error) {
	var env [envSize]byte
	p := env[:a.envSize()]
	a.s.putEnv(p)
	if err := a.mem.Store(a.addr, p); err != nil {
		return 0, err
	}
	a.s.control |= swExceptions
	a.s.summarize()
	return 0, nil
}

func fldenv(a *access) (uint64, error) {
	p, err := a.load(a.envSize())
	if err == nil {
		a.s.setEnv(p)
	}
	return 0, err
}

func fnsave(a *access) (uint64, error) {
	var area [envSize + 80]byte
	n := a.envSize()
	p := area[:n+80]
	a.s.putEnv(p[:n])
	for i := range 8 {
		r := a.s.reg(i)
		binary.LittleEndian.PutUint64(p[n+10*i:], r.Mant)
		binary.LittleEndian.PutUint16(p[n+10*i+8:], r.SE)
	}
	if err := a.mem.Store(a.addr, p); err != nil {
		return 0, err
	}
	fninit(a.s, 0)
	return 0, nil
}

func frstor(a *access) (uint64, error) {
	n := a.envSize()
	p, err := a.load(n + 80)
	if err != nil {
		return 0, err
	}
	s := a.s
	s.setEnv(p[:n])
	for i := range 8 {
		s.regs[s.phys(i)] = Float80{binary.LittleEndian.Uint64(p[n+10*i:]), binary.LittleEndian.Uint16(p[n+10*i+8:])}
	}
	return 0, nil
}
