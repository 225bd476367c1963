package interp

import "megabinary.dev/plugins/recompile/internal/ir"

// handler runs one instruction and returns its value.
type handler func(m *machine, in *ir.Inst) (Val, error)

func imm32(_ *machine, in *ir.Inst) (Val, error) { return Val{Lo: uint64(uint32(in.Imm))}, nil }
func imm64(_ *machine, in *ir.Inst) (Val, error) { return Val{Lo: uint64(in.Imm)}, nil }
func immV128(_ *machine, in *ir.Inst) (Val, error) {
	return Val{uint64(in.Imm), uint64(in.Imm2)}, nil
}

// guestAddr gives an address below 4 GiB, whatever its type.
func guestAddr(m *machine, in *ir.Inst) (Val, error) {
	if in.Op == ir.GuestAddr32 {
		return Val{Lo: uint64(uint32(in.Imm) + m.st.Base)}, nil
	}
	return Val{Lo: uint64(in.Imm) + uint64(m.st.Base)}, nil
}

func getReg(m *machine, in *ir.Inst) (Val, error) { return m.st.Regs[in.Reg], nil }

func setReg(m *machine, in *ir.Inst) (Val, error) {
	m.st.Regs[in.Reg] = m.vals[in.Args[0]]
	return Val{}, nil
}

func selectVal(m *machine, in *ir.Inst) (Val, error) {
	if uint32(m.vals[in.Args[2]].Lo) != 0 {
		return m.vals[in.Args[0]], nil
	}
	return m.vals[in.Args[1]], nil
}

func shuffleImm(m *machine, in *ir.Inst) (Val, error) {
	return shuffle(m.vals[in.Args[0]], m.vals[in.Args[1]], Val{uint64(in.Imm), uint64(in.Imm2)}), nil
}

func bitselect(m *machine, in *ir.Inst) (Val, error) {
	x, y, c := m.vals[in.Args[0]], m.vals[in.Args[1]], m.vals[in.Args[2]]
	return Val{x.Lo&c.Lo | y.Lo&^c.Lo, x.Hi&c.Hi | y.Hi&^c.Hi}, nil
}

func nothing(*machine, *ir.Inst) (Val, error) { return Val{}, nil }

func same(x uint64) uint64 { return x }

// sext sign-extends the low bits of x that From holds to To.
func sext[From, To lane](x uint64) uint64 { return uint64(To(From(x))) }

// The combinators below make handlers of functions on Go numbers.

func un[T lane](f func(T) uint64) handler {
	return func(m *machine, in *ir.Inst) (Val, error) {
		return Val{Lo: f(T(m.vals[in.Args[0]].Lo))}, nil
	}
}

// fun is un for floating point, whose functions give the bits of the same type.
func fun[T uint32 | uint64](f func(T) T) handler {
	return un(func(x T) uint64 { return uint64(f(x)) })
}

func bin[T lane](f func(x, y T) T) handler {
	mask := uint64(1)<<width[T]() - 1
	return func(m *machine, in *ir.Inst) (Val, error) {
		return Val{Lo: uint64(f(T(m.vals[in.Args[0]].Lo), T(m.vals[in.Args[1]].Lo))) & mask}, nil
	}
}

func divide[T lane](traps func(x, y T) bool, f func(x, y T) T) handler {
	op := bin(f)
	return func(m *machine, in *ir.Inst) (Val, error) {
		if traps(T(m.vals[in.Args[0]].Lo), T(m.vals[in.Args[1]].Lo)) {
			return Val{}, ErrDivide
		}
		return op(m, in)
	}
}

func cmp[T lane](f func(x, y T) bool) handler {
	return func(m *machine, in *ir.Inst) (Val, error) {
		return Val{Lo: b2u(f(T(m.vals[in.Args[0]].Lo), T(m.vals[in.Args[1]].Lo)))}, nil
	}
}

func vun(f func(Val) Val) handler {
	return func(m *machine, in *ir.Inst) (Val, error) { return f(m.vals[in.Args[0]]), nil }
}

func vbin(f func(x, y Val) Val) handler {
	return func(m *machine, in *ir.Inst) (Val, error) {
		return f(m.vals[in.Args[0]], m.vals[in.Args[1]]), nil
	}
}

func test(f func(Val) uint64) handler {
	return vun(func(x Val) Val { return Val{Lo: f(x)} })
}

func lun[T lane](f func(T) T) handler {
	return vun(func(x Val) Val { return map1(x, f) })
}

func lbin[T lane](f func(x, y T) T) handler {
	return vbin(func(x, y Val) Val { return map2(x, y, f) })
}

func lcmp[T lane](f func(x, y T) bool) handler {
	return lbin(func(x, y T) T { return ones[T](f(x, y)) })
}

func shift[T lane](f func(x T, n uint32) T) handler {
	return vbin(func(x, n Val) Val {
		return map1(x, func(x T) T { return f(x, uint32(n.Lo)) })
	})
}

func splatOf[T lane](f func(T) Val) handler {
	return vun(func(x Val) Val { return f(T(x.Lo)) })
}

// laneOf returns the lane that in names; the verifier has checked the
// immediate, and the mask keeps a wrong one from reading outside.
func laneOf[T lane](in *ir.Inst) int { return int(in.Imm) & (128/width[T]() - 1) }

func extract[T lane](f func(T) uint64) handler {
	return func(m *machine, in *ir.Inst) (Val, error) {
		return Val{Lo: f(get[T](m.vals[in.Args[0]], laneOf[T](in)))}, nil
	}
}

func replaceLane[T lane]() handler {
	return func(m *machine, in *ir.Inst) (Val, error) {
		return replace(m.vals[in.Args[0]], laneOf[T](in), T(m.vals[in.Args[1]].Lo)), nil
	}
}
