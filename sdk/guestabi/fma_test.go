package guestabi

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestFMA compares both functions with exact arithmetic on numbers whose
// exponents lie close together, so that sums cancel and halves tie.
func TestFMA(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	near := func(bits int) float64 { // few bits set, and a small exponent
		m := 1 + float64(rng.Uint64N(8))/8 + float64(rng.Uint64N(16))*math.Ldexp(1, -bits)
		return math.Ldexp(m, rng.IntN(6)-3) * float64(1-2*rng.IntN(2))
	}
	exact := func(x, y, z float64) *big.Float {
		a, b, c := new(big.Float).SetPrec(2000), new(big.Float).SetPrec(2000), new(big.Float).SetPrec(2000)
		return a.Add(a.Mul(a.SetFloat64(x), b.SetFloat64(y)), c.SetFloat64(z))
	}
	for range 200_000 {
		scale := math.Ldexp(1, rng.IntN(120)-60)
		x, y, z := near(52), near(52), near(52)*scale
		want, _ := exact(x, y, z).Float64()
		got := math.Float64frombits(FMA64(math.Float64bits(x), math.Float64bits(y), math.Float64bits(z)))
		if got != want {
			t.Fatalf("%x * %x + %x = %x, not %x", x, y, z, want, got)
		}
		fx, fy, fz := float32(near(23)), float32(near(23)), float32(near(23)*scale)
		// Close to the smallest numbers, where results are denormal.
		if rng.IntN(4) == 0 {
			fx, fz = fx*0x1p-126, fz*0x1p-126
		}
		want32, _ := exact(float64(fx), float64(fy), float64(fz)).Float32()
		got32 := math.Float32frombits(FMA32(math.Float32bits(fx), math.Float32bits(fy), math.Float32bits(fz)))
		if got32 != want32 {
			t.Fatalf("%x * %x + %x = %x, not %x", fx, fy, fz, want32, got32)
		}
	}
}

func TestParseCPU(t *testing.T) {
	for text, want := range map[string]CPU{"": CPUv2, "x86-64-v2": CPUv2, "x86-64-v3": CPUv3} {
		if got, err := ParseCPU(text); err != nil || got != want {
			t.Errorf("ParseCPU(%q) = %v, %v", text, got, err)
		}
	}
	if _, err := ParseCPU("x86-64-v4"); err == nil {
		t.Error("x86-64-v4 is taken")
	}
	if a, b := CPUv2.ContextSize(), CPUv3.ContextSize(); a != 432 || b != 688 {
		t.Errorf("contexts have %d and %d bytes", a, b)
	}
}

// TestContextKeepsVectors writes and reads contexts of both processors.
func TestContextKeepsVectors(t *testing.T) {
	for _, cpu := range []CPU{CPUv2, CPUv3} {
		var in, out Context
		for i := range in.XMM {
			in.XMM[i][3], in.YMMH[i][5] = byte(i+1), byte(i+100)
		}
		b := make([]byte, CPUv3.ContextSize())
		in.Put(b, cpu)
		out.Get(b, cpu)
		if cpu == CPUv2 {
			in.YMMH = [NumXMM][16]byte{}
		}
		if in != out {
			t.Errorf("%s: %+v became %+v", cpu, in, out)
		}
	}
}
