package interp

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x87"
)

// callHelper runs the host function in.Helper; Result instructions read what it
// gives.
func callHelper(m *machine, in *ir.Inst) (Val, error) {
	if out, ok := guestHelper(m, in); ok {
		m.keep(out)
		return Val{}, nil
	}
	args := make([]uint64, in.HelperArgs())
	for i := range args {
		args[i] = m.vals[in.HelperArg(i)].Lo
	}
	res, err := m.st.helper(in.Helper().Name, args)
	if err != nil {
		return Val{}, err
	}
	out := make([]Val, len(res))
	for i, r := range res {
		out[i].Lo = r
	}
	m.keep(out)
	return Val{}, nil
}

// keep holds the results of the instruction that runs for Result.
func (m *machine) keep(results []Val) {
	if m.results == nil {
		m.results = map[int][]Val{}
	}
	m.results[m.at] = results
}

func result(m *machine, in *ir.Inst) (Val, error) {
	res := m.results[int(in.Args[0])]
	if in.Imm < 0 || int(in.Imm) >= len(res) {
		return Val{}, fmt.Errorf("no result %d of instruction %d", in.Imm, in.Args[0])
	}
	return res[in.Imm], nil
}

func (st *State) helper(name string, a []uint64) ([]uint64, error) {
	switch name {
	case guestabi.FuncX87:
		r, err := st.X87.Exec(uint32(a[0]), uint32(a[1]), st.Mem)
		return []uint64{r}, err
	case guestabi.FuncMMX:
		r, err := st.X87.MMX(uint32(a[0]), a[1])
		return []uint64{r}, err
	case guestabi.FuncDivU128:
		if a[2] <= a[0] {
			return nil, fmt.Errorf("div_u128 of %#x:%#x by %#x overflows: %w", a[0], a[1], a[2], ErrDivide)
		}
		q, r := bits.Div64(a[0], a[1], a[2])
		return []uint64{q, r}, nil
	case guestabi.FuncDivS128:
		q, r, overflow := divS128(a[0], a[1], a[2])
		return []uint64{q, r, overflow}, nil
	case guestabi.FuncCAS128:
		b, err := st.Mem.At(uint32(a[0]), 16)
		if err != nil {
			return nil, err
		}
		lo, hi := readInt(b[:8]), readInt(b[8:])
		if lo == a[1] && hi == a[2] {
			writeInt(b[:8], a[3])
			writeInt(b[8:], a[4])
		}
		return []uint64{lo, hi}, nil
	case guestabi.FuncCPUID:
		var r [4]uint32
		if st.CPUID != nil {
			r = st.CPUID(uint32(a[0]), uint32(a[1]))
		}
		return []uint64{uint64(r[0]), uint64(r[1]), uint64(r[2]), uint64(r[3])}, nil
	case guestabi.FuncRDTSC:
		return []uint64{st.TSC}, nil
	case guestabi.FuncSSE:
		r, mxcsr, fault := x87.SSE(uint32(a[0]), uint32(a[1]), [2]uint64{a[2], a[3]}, [2]uint64{a[4], a[5]})
		return []uint64{r[0], r[1], uint64(mxcsr), b2u(fault)}, nil
	case guestabi.FuncFXSave:
		return nil, st.fxsave(uint32(a[0]), uint32(a[1]))
	case guestabi.FuncFXRstor:
		b, err := st.Mem.At(uint32(a[0]), 512)
		if err == nil {
			st.X87.UnmarshalFXSave(b)
		}
		return nil, err
	default:
		return nil, fmt.Errorf("helper %s has no meaning here", name)
	}
}

// mxcsrMask is the set of bits of MXCSR that exist, as FXSAVE reports it.
const mxcsrMask = 0xffff

func (st *State) fxsave(addr, mxcsr uint32) error {
	b, err := st.Mem.At(addr, 512)
	if err != nil {
		return err
	}
	st.X87.MarshalFXSave(b)
	binary.LittleEndian.PutUint32(b[24:], mxcsr)
	binary.LittleEndian.PutUint32(b[28:], mxcsrMask)
	return nil
}

// divS128 divides hi:lo by d as idiv does; overflow is 1 when the quotient does
// not fit or d is 0.
func divS128(hi, lo, d uint64) (q, r, overflow uint64) {
	if d == 0 {
		return 0, 0, 1
	}
	negN, negD := int64(hi) < 0, int64(d) < 0
	if negN {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	if negD {
		d = -d
	}
	if hi >= d {
		return 0, 0, 1
	}
	q, r = bits.Div64(hi, lo, d)
	limit := uint64(1) << 63
	if negN == negD {
		limit--
	}
	if q > limit {
		return 0, 0, 1
	}
	if negN != negD {
		q = -q
	}
	if negN {
		r = -r
	}
	return q, r, 0
}
