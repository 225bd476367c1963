package oracle

import (
	"encoding/binary"
	"math"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
	"megabinary.dev/sdk/x87"
)

// TestApproximations compares the instructions whose results processors round
// in their own ways: rcpps and its like to the relative error that they promise
// (Intel SDM volume 2: 1.5 * 2^-12), the transcendental x87 instructions to one
// unit in the last place.
func TestApproximations(t *testing.T) {
	cpu := startCPU(t)
	if cpu == nil {
		t.Skip("the oracle needs linux/amd64")
	}
	g := NewGenerator(3, func(op x86asm.Op) bool { return approximate[op] })
	for _, op := range g.Ops() {
		t.Run(op.String(), func(t *testing.T) {
			var cases []Case
			var insts []x86.Inst
			for len(cases) < 400 {
				if c, in, ok := g.NextOf(op); ok {
					maskX87(c.State)
					cases = append(cases, c)
					insts = append(insts, in)
				}
			}
			outcomes, err := cpu.Run(cases)
			if err != nil {
				t.Fatal(err)
			}
			bad := 0
			for i, r := range (Interp{}).Run(cases) {
				if r.Err != nil {
					t.Fatal(r.Err)
				}
				var text string
				if op == x86asm.FYL2XP1 && !inDomain(cases[i]) {
					continue
				}
				if op.String()[0] == 'F' {
					text = differX87(cases[i], outcomes[i], r.Outcome)
				} else {
					text = differReciprocal(insts[i], outcomes[i], r.Outcome)
				}
				if text != "" && bad < 5 {
					bad++
					before := DefaultState()
					before.X87, before.Regs[guestabi.XMM0] = cases[i].State.X87, cases[i].State.Regs[guestabi.XMM0]
					t.Errorf("%x: %s\nbefore %s\nCPU    %s\ninterp %s", cases[i].Code, text,
						FormatChanges(DefaultState(), Outcome{State: before, PC: CodeAt + uint64(len(cases[i].Code))}, len(cases[i].Code), 0),
						FormatChanges(cases[i].State, outcomes[i], len(cases[i].Code), allFlags),
						FormatChanges(cases[i].State, r.Outcome, len(cases[i].Code), allFlags))
				}
			}
		})
	}
}

// maskX87 masks all x87 exceptions: which of PE and UE is raised is up to the
// processor here, and so would be whether one is pending.
func maskX87(st *interp.State) {
	var fx [512]byte
	st.X87.MarshalFXSave(fx[:])
	fx[0] |= 0x3f
	st.X87.UnmarshalFXSave(fx[:])
}

const allFlags = 0xfff

// differReciprocal compares each lane of the destination.
func differReciprocal(in x86.Inst, want, got Outcome) string {
	if want.Signal != 0 || got.Signal != 0 {
		return ""
	}
	r := guestabi.XMM0 + guestabi.Reg(in.Args[0].(x86asm.Reg)-x86asm.X0)
	w, g := want.State.Regs[r], got.State.Regs[r]
	for lane := range 4 {
		a, b := lane32(w, lane), lane32(g, lane)
		fa, fb := float64(math.Float32frombits(a)), float64(math.Float32frombits(b))
		switch {
		case a == b:
		case fb != fb && (fa != fa || fa == math.Inf(-1)):
		case math.Abs(fb) < 0x1p-126 && fa == 0, math.Abs(fa) == math.Inf(1) && math.Abs(fb) >= 0x1p63:
			// Processors take denormals for zero, before and after.
		case math.Abs(fa-fb) <= 1.5*0x1p-12*math.Abs(fb):
		default:
			return "error too large"
		}
	}
	return ""
}

func lane32(v interp.Val, i int) uint32 {
	if i < 2 {
		return uint32(v.Lo >> (32 * i))
	}
	return uint32(v.Hi >> (32 * (i - 2)))
}

// inDomain reports whether fyl2xp1 is defined: |ST(0)| < 1 - sqrt(1/2).
func inDomain(c Case) bool {
	var fx [512]byte
	c.State.X87.MarshalFXSave(fx[:])
	return read80(fx[32:]).SE&0x7fff < 0x3ffd
}

// differX87 compares two x87 states: values to one unit in the last place; the
// status word but for C1, which says how the result was rounded, and what
// depends on it.
func differX87(c Case, want, got Outcome) string {
	var w, g [512]byte
	want.State.X87.MarshalFXSave(w[:])
	got.State.X87.MarshalFXSave(g[:])
	le := binary.LittleEndian
	const c1, pe, ue = 1 << 9, 1 << 5, 1 << 4
	if (le.Uint16(w[2:])^le.Uint16(g[2:]))&^(c1|pe|ue) != 0 {
		return "status"
	}
	if w[4] != g[4] {
		return "tags"
	}
	for i := range 8 {
		a, b := read80(w[32+16*i:]), read80(g[32+16*i:])
		if a == b {
			continue
		}
		if a.SE == b.SE || a.SE&0x7ffe == 0 && a.SE^b.SE == 1 { // denormals have the scale of exponent 1
			if d := int64(a.Mant - b.Mant); d >= -1 && d <= 1 {
				continue
			}
		}
		if int16(a.SE-b.SE) == 1 && a.Mant == 1<<63 && b.Mant == math.MaxUint64 || int16(b.SE-a.SE) == 1 && b.Mant == 1<<63 && a.Mant == math.MaxUint64 {
			continue
		}
		return "value"
	}
	return ""
}

func read80(p []byte) x87.Float80 {
	return x87.Float80{Mant: binary.LittleEndian.Uint64(p), SE: binary.LittleEndian.Uint16(p[8:])}
}
