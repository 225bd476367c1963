package x87

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// memory is 256 bytes at guest address 0x1000.
type memory [256]byte

var errFault = errors.New("fault")

func (m *memory) at(addr uint32, n int) ([]byte, error) {
	if addr < 0x1000 || addr-0x1000+uint32(n) > uint32(len(m)) {
		return nil, errFault
	}
	return m[addr-0x1000:][:n], nil
}

func (m *memory) Load(addr uint32, p []byte) error {
	b, err := m.at(addr, len(p))
	copy(p, b)
	return err
}

func (m *memory) Store(addr uint32, p []byte) error {
	b, err := m.at(addr, len(p))
	copy(b, p)
	return err
}

// machine runs instructions given by their two bytes.
type machine struct {
	t   *testing.T
	s   State
	mem memory
}

func newMachine(t *testing.T) *machine { return &machine{t: t, s: New()} }

func (m *machine) exec(b0, b1 uint32) uint64 {
	m.t.Helper()
	r, err := m.s.Exec((b0-0xd8)<<8|b1, 0x1000, &m.mem)
	if err != nil {
		m.t.Fatalf("%02x %02x: %v", b0, b1, err)
	}
	return r
}

func (m *machine) loadFloat(v float64) {
	m.t.Helper()
	binary.LittleEndian.PutUint64(m.mem[:], math.Float64bits(v))
	m.exec(0xdd, 0x00) // fld m64
}

func (m *machine) storeFloat() float64 {
	m.t.Helper()
	m.exec(0xdd, 0x18) // fstp m64
	return math.Float64frombits(binary.LittleEndian.Uint64(m.mem[:]))
}

func TestArithmeticOnDoubles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	m := newMachine(t)
	m.s.setControl(0x027f) // 53 bits, as float64 arithmetic
	for range 10_000 {
		a, b := math.Ldexp(rng.Float64()-0.5, rng.IntN(200)-100), math.Ldexp(rng.Float64()-0.5, rng.IntN(200)-100)
		for _, op := range []struct {
			modrm uint32
			want  float64
		}{{0xc1, a + b}, {0xc9, a * b}, {0xe9, a - b}, {0xf9, a / b}} { // faddp, fmulp, fsubp, fdivp
			m.loadFloat(a)
			m.loadFloat(b)
			m.exec(0xde, op.modrm)
			if got := m.storeFloat(); got != op.want {
				t.Fatalf("de %02x of %g, %g = %g, want %g", op.modrm, a, b, got, op.want)
			}
		}
		m.loadFloat(math.Abs(a))
		m.exec(0xd9, 0xfa)
		if got := m.storeFloat(); got != math.Sqrt(math.Abs(a)) {
			t.Fatalf("fsqrt of %g = %g", math.Abs(a), got)
		}
	}
}

// TestRoundingModes compares 64-bit results in all modes with math/big.
func TestRoundingModes(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	random := func() Float80 {
		return Float80{rng.Uint64() | intBit, uint16(expBias-100+rng.IntN(200)) | uint16(rng.IntN(2))<<15}
	}
	modes := [4]big.RoundingMode{big.ToNearestEven, big.ToNegativeInf, big.ToPositiveInf, big.ToZero}
	for range 20_000 {
		a, b := random(), random()
		for rc, mode := range modes {
			exact := func() *big.Float { return new(big.Float).SetPrec(64).SetMode(mode) }
			u := unit{rc: uint16(rc), prec: 64}
			for name, c := range map[string]struct {
				got  Float80
				want *big.Float
			}{
				"add": {u.add(a, b, false), exact().Add(toBig(a, 64), toBig(b, 64))},
				"sub": {u.add(a, b, true), exact().Sub(toBig(a, 64), toBig(b, 64))},
				"mul": {u.mul(a, b), exact().Mul(toBig(a, 64), toBig(b, 64))},
				"div": {u.div(a, b), exact().Quo(toBig(a, 64), toBig(b, 64))},
			} {
				if toBig(c.got, 64).Cmp(c.want) != 0 {
					t.Fatalf("%s of %x, %x in mode %d = %x, want %s", name, a, b, rc, c.got, c.want.Text('p', 0))
				}
			}
		}
	}
}

func TestStackFaults(t *testing.T) {
	m := newMachine(t)
	m.exec(0xd8, 0xc1) // fadd st, st(1) of an empty stack
	if m.s.status&(swIE|swSF|swC1) != swIE|swSF || m.s.reg(0) != indefinite {
		t.Errorf("underflow: status %#x, st0 %x", m.s.status, m.s.reg(0))
	}
	m = newMachine(t)
	for range 9 {
		m.exec(0xd9, 0xe8) // fld1
	}
	if m.s.status&(swIE|swSF|swC1) != swIE|swSF|swC1 || m.s.reg(0) != indefinite {
		t.Errorf("overflow: status %#x, st0 %x", m.s.status, m.s.reg(0))
	}
}

func TestResults(t *testing.T) {
	m := newMachine(t)
	m.exec(0xd9, 0xe8) // fld1
	m.exec(0xd9, 0xee) // fldz
	if got := m.exec(0xdb, 0xf1); got != 4 {
		t.Errorf("fcomi of 0 and 1 gives %#x, want CF", got)
	}
	if got := m.exec(0xdb, 0xf0); got != 1 {
		t.Errorf("fcomi of 0 and 0 gives %#x, want ZF", got)
	}
	m.exec(0xdd, 0xe1) // fucom st(1)
	if got := m.exec(0xdf, 0xe0); got != uint64(swC0|6<<11) {
		t.Errorf("fnstsw ax after fucom of 0 and 1 gives %#x", got)
	}
	for _, c := range []struct {
		op    uint32
		flags uint32
		taken uint64
	}{{0xdac1, 4, 1}, {0xdac1, 0, 0}, {0xdbc1, 4, 0}, {0xdad1, 1, 1}, {0xdad9, 2, 1}, {0xdbd9, 2, 0}} {
		op := (c.op>>8-0xd8)<<8 | c.op&0xff | c.flags<<16
		if got, err := m.s.Exec(op, 0, nil); err != nil || got != c.taken {
			t.Errorf("fcmov %#x gives %d, %v", op, got, err)
		}
	}
}

func TestFaultsChangeNothing(t *testing.T) {
	for op := uint32(0); op < 8<<8; op++ {
		if op&0xff >= 0xc0 {
			continue
		}
		s := New()
		s.push(Float80{intBit | 5, expBias + 3})
		s.push(Float80{intBit | 7, expBias + 2})
		before := s
		_, err := s.Exec(op, 0xffff_fff0, &memory{})
		var undefined *UndefinedError
		if !errors.Is(err, errFault) && !errors.As(err, &undefined) {
			t.Errorf("%#x: %v", op, err)
		}
		if s != before {
			t.Errorf("%#x changed the state", op)
		}
	}
}

func TestFXSaveRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 1000 {
		var a, b [512]byte
		for i := range a {
			a[i] = byte(rng.Uint32())
		}
		var s, again State
		s.UnmarshalFXSave(a[:])
		s.MarshalFXSave(b[:])
		again.UnmarshalFXSave(b[:])
		if s != again {
			t.Fatalf("%+v came back as %+v", s, again)
		}
	}
}

func TestDecimalRoundTrip(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 99, -123456789, 999_999_999_999_999_999, -999_999_999_999_999_999} {
		u := unit{prec: 64}
		p := u.toBCD(fromInt(v))
		if got := fromBCD(p[:]); got != fromInt(v) {
			t.Errorf("%d came back as %x", v, got)
		}
	}
}

// FuzzExec executes random opcodes on random states: no panic, and the state
// can be saved.
func FuzzExec(f *testing.F) {
	f.Add(uint32(0x1f0), make([]byte, 512))
	f.Fuzz(func(t *testing.T, op uint32, area []byte) {
		if len(area) < 512 {
			return
		}
		var s State
		s.UnmarshalFXSave(area)
		_, _ = s.Exec(op&0x7ffff, 0x1000, &memory{})
		s.MarshalFXSave(area)
	})
}

func TestRandomStatesDoNotPanic(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	var area [512]byte
	for op := uint32(0); op < 8<<8; op++ {
		for range 20 {
			for i := range area {
				area[i] = byte(rng.Uint32())
			}
			var s State
			s.UnmarshalFXSave(area[:])
			_, _ = s.Exec(op|rng.Uint32()&7<<16, 0x1000, &memory{})
		}
	}
}

func TestElementaryFunctions(t *testing.T) {
	for _, c := range []struct {
		name  string
		modrm uint32
		args  []float64
		want  float64
	}{
		{"fsin", 0xfe, []float64{0.5}, math.Sin(0.5)},
		{"fcos", 0xff, []float64{0.5}, math.Cos(0.5)},
		{"f2xm1", 0xf0, []float64{0.25}, math.Exp2(0.25) - 1},
		{"fyl2x", 0xf1, []float64{3, 10}, 3 * math.Log2(10)},
		{"fyl2xp1", 0xf9, []float64{2, 1e-10}, 2 * math.Log1p(1e-10) / math.Ln2},
		{"fpatan", 0xf3, []float64{1, -2}, math.Atan2(1, -2)},
		{"fscale", 0xfd, []float64{3, 1.5}, 12},
		{"fprem", 0xf8, []float64{3, 10}, 1},
		{"fprem1", 0xf5, []float64{3, 11}, -1},
	} {
		m := newMachine(t)
		for _, a := range c.args {
			m.loadFloat(a)
		}
		m.exec(0xd9, c.modrm)
		if got := m.storeFloat(); math.Abs(got-c.want) > 1e-15*math.Abs(c.want) {
			t.Errorf("%s %v = %g, want %g", c.name, c.args, got, c.want)
		}
	}
}

func BenchmarkFaddp(b *testing.B) {
	s := New()
	for b.Loop() {
		_, _ = s.Exec(0x1e8, 0, nil) // fld1
		_, _ = s.Exec(0x1eb, 0, nil) // fldpi
		_, _ = s.Exec(0x6c1, 0, nil) // faddp
		_, _ = s.Exec(0x5d8, 0, nil) // fstp st(0)
	}
}

func BenchmarkFsin(b *testing.B) {
	s := New()
	s.push(Float80{intBit, expBias - 1})
	for b.Loop() {
		_, _ = s.Exec(0x1fe, 0, nil)
	}
}
