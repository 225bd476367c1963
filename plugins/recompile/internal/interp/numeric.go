package interp

import (
	"math"
	"math/bits"
	"unsafe"
)

type lane interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

type wide interface {
	~int16 | ~int32 | ~int64 | ~uint16 | ~uint32 | ~uint64
}

func width[T lane]() int { return int(unsafe.Sizeof(T(0))) * 8 }

// get returns lane i of v.
func get[T lane](v Val, i int) T {
	bit := i * width[T]()
	if bit < 64 {
		return T(v.Lo >> bit)
	}
	return T(v.Hi >> (bit - 64))
}

// put sets lane i of v, which is zero there.
func put[T lane](v *Val, i int, x T) {
	w := width[T]()
	bit := i * w
	u := uint64(x) & (1<<w - 1)
	if bit < 64 {
		v.Lo |= u << bit
	} else {
		v.Hi |= u << (bit - 64)
	}
}

func replace[T lane](v Val, i int, x T) Val {
	w := width[T]()
	bit, mask := i*w, uint64(1)<<w-1
	if bit < 64 {
		v.Lo &^= mask << bit
	} else {
		v.Hi &^= mask << (bit - 64)
	}
	put(&v, i, x)
	return v
}

func map1[T lane](x Val, f func(T) T) (r Val) {
	for i := range 128 / width[T]() {
		put(&r, i, f(get[T](x, i)))
	}
	return r
}

func map2[T lane](x, y Val, f func(a, b T) T) (r Val) {
	for i := range 128 / width[T]() {
		put(&r, i, f(get[T](x, i), get[T](y, i)))
	}
	return r
}

func splat[T lane](x T) (r Val) {
	for i := range 128 / width[T]() {
		put(&r, i, x)
	}
	return r
}

func allTrue[T lane](x Val) uint64 {
	for i := range 128 / width[T]() {
		if get[T](x, i) == 0 {
			return 0
		}
	}
	return 1
}

func bitmask[T lane](x Val) (r uint64) {
	w := width[T]()
	for i := range 128 / w {
		if uint64(get[T](x, i))>>(w-1)&1 != 0 {
			r |= 1 << i
		}
	}
	return r
}

// clamp limits x to the values of T.
func clamp[T lane](x int64) T {
	lo, hi := int64(0), int64(1)<<width[T]()-1
	if T(0)-1 < 0 { // signed
		hi >>= 1
		lo = -hi - 1
	}
	return T(min(max(x, lo), hi))
}

// narrow packs the lanes of x and then of y, which are signed, with saturation.
func narrow[To lane, From wide](x, y Val) (r Val) {
	n := 128 / width[From]()
	for i := range n {
		put(&r, i, clamp[To](int64(get[From](x, i))))
		put(&r, n+i, clamp[To](int64(get[From](y, i))))
	}
	return r
}

// extend widens the lanes of x from lane first on.
func extend[To wide, From lane](x Val, high bool) (r Val) {
	n := 128 / width[To]()
	first := 0
	if high {
		first = n
	}
	for i := range n {
		put(&r, i, To(get[From](x, first+i)))
	}
	return r
}

func extMul[To wide, From lane](x, y Val, high bool) Val {
	return map2(extend[To, From](x, high), extend[To, From](y, high), func(a, b To) To { return a * b })
}

func extAddPairwise[To wide, From lane](x Val) (r Val) {
	for i := range 128 / width[To]() {
		put(&r, i, To(get[From](x, 2*i))+To(get[From](x, 2*i+1)))
	}
	return r
}

func abs[T lane](x T) T {
	if x < 0 {
		return -x
	}
	return x
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func ones[T lane](b bool) T {
	if b {
		return ^T(0)
	}
	return 0
}

func popcnt8(x uint8) uint8 { return uint8(bits.OnesCount8(x)) }

func swizzle(x, idx Val) (r Val) {
	for i := range 16 {
		if k := get[uint8](idx, i); k < 16 {
			put(&r, i, get[uint8](x, int(k)))
		}
	}
	return r
}

func shuffle(x, y, idx Val) (r Val) {
	for i := range 16 {
		k := int(get[uint8](idx, i)) & 31
		if k < 16 {
			put(&r, i, get[uint8](x, k))
		} else {
			put(&r, i, get[uint8](y, k-16))
		}
	}
	return r
}

func q15mulrSat(a, b int16) int16 { return clamp[int16]((int64(a)*int64(b) + 0x4000) >> 15) }

func dot(x, y Val) (r Val) {
	for i := range 4 {
		put(&r, i, int32(get[int16](x, 2*i))*int32(get[int16](y, 2*i))+
			int32(get[int16](x, 2*i+1))*int32(get[int16](y, 2*i+1)))
	}
	return r
}

// Floating point. Operands and results are bits, so that NaNs go through
// untouched. The NaN rules are those of SSE (Intel SDM volume 1, table 4-7): the
// first operand if it is a NaN, else the second, made quiet; the default NaN,
// which is negative, for an invalid operation.

const (
	quiet32, quiet64     = 1 << 22, 1 << 51
	default32, default64 = 0xffc0_0000, 0xfff8_0000_0000_0000
)

func isNaN32(x uint32) bool { return x&0x7fff_ffff > 0x7f80_0000 }
func isNaN64(x uint64) bool { return x&^(1<<63) > 0x7ff0_0000_0000_0000 }

func f32un(f func(float32) float32) func(uint32) uint32 {
	return func(x uint32) uint32 {
		if isNaN32(x) {
			return x | quiet32
		}
		r := math.Float32bits(f(math.Float32frombits(x)))
		if isNaN32(r) {
			return default32
		}
		return r
	}
}

func f64un(f func(float64) float64) func(uint64) uint64 {
	return func(x uint64) uint64 {
		if isNaN64(x) {
			return x | quiet64
		}
		r := math.Float64bits(f(math.Float64frombits(x)))
		if isNaN64(r) {
			return default64
		}
		return r
	}
}

// f32via runs f on the exact f64 of an f32. It is exact for rounding to
// integers, and correctly rounded for the square root (53 >= 2*24+2).
func f32via(f func(float64) float64) func(uint32) uint32 {
	return f32un(func(x float32) float32 { return float32(f(float64(x))) })
}

func f32bin(f func(a, b float32) float32) func(a, b uint32) uint32 {
	return func(a, b uint32) uint32 {
		switch {
		case isNaN32(a):
			return a | quiet32
		case isNaN32(b):
			return b | quiet32
		}
		r := math.Float32bits(f(math.Float32frombits(a), math.Float32frombits(b)))
		if isNaN32(r) {
			return default32
		}
		return r
	}
}

func f64bin(f func(a, b float64) float64) func(a, b uint64) uint64 {
	return func(a, b uint64) uint64 {
		switch {
		case isNaN64(a):
			return a | quiet64
		case isNaN64(b):
			return b | quiet64
		}
		r := math.Float64bits(f(math.Float64frombits(a), math.Float64frombits(b)))
		if isNaN64(r) {
			return default64
		}
		return r
	}
}

func f32cmp(f func(a, b float32) bool) func(a, b uint32) bool {
	return func(a, b uint32) bool { return f(math.Float32frombits(a), math.Float32frombits(b)) }
}

func f64cmp(f func(a, b float64) bool) func(a, b uint64) bool {
	return func(a, b uint64) bool { return f(math.Float64frombits(a), math.Float64frombits(b)) }
}

// pmin and pmax choose between bits: pmin(a, b) = b < a ? b : a.
func pmin32(a, b uint32) uint32 {
	if math.Float32frombits(b) < math.Float32frombits(a) {
		return b
	}
	return a
}

func pmax32(a, b uint32) uint32 {
	if math.Float32frombits(a) < math.Float32frombits(b) {
		return b
	}
	return a
}

func pmin64(a, b uint64) uint64 {
	if math.Float64frombits(b) < math.Float64frombits(a) {
		return b
	}
	return a
}

func pmax64(a, b uint64) uint64 {
	if math.Float64frombits(a) < math.Float64frombits(b) {
		return b
	}
	return a
}

func demote(x uint64) uint32 {
	if isNaN64(x) {
		return uint32(x>>32)&(1<<31) | 0x7fc0_0000 | uint32(x>>29)&0x3f_ffff
	}
	return math.Float32bits(float32(math.Float64frombits(x)))
}

func promote(x uint32) uint64 {
	if isNaN32(x) {
		return uint64(x>>31)<<63 | 0x7ff8_0000_0000_0000 | uint64(x&0x3f_ffff)<<29
	}
	return math.Float64bits(float64(math.Float32frombits(x)))
}

// truncS converts to a signed integer of n bits with saturation; NaN gives 0.
func truncS(x float64, n int) uint64 {
	limit := math.Ldexp(1, n-1)
	var r int64
	switch {
	case x != x:
	case x >= limit:
		r = int64(1)<<(n-1) - 1
	case x < -limit:
		r = -int64(1) << (n - 1)
	default:
		r = int64(x)
	}
	return uint64(r) & (1<<n - 1)
}

// truncU is truncS for unsigned integers.
func truncU(x float64, n int) uint64 {
	limit := math.Ldexp(1, n)
	switch {
	case !(x > -1):
		return 0
	case x >= limit:
		return 1<<n - 1
	case x >= 1<<63:
		return uint64(int64(x-1<<63)) ^ 1<<63
	case x < 0:
		return 0
	default:
		return uint64(int64(x))
	}
}

func f64of32(x uint64) float64 { return float64(math.Float32frombits(uint32(x))) }
func f64of64(x uint64) float64 { return math.Float64frombits(x) }

// f64FromU64 and f32FromU64 round to nearest once.
func f64FromU64(x uint64) uint64 {
	if x>>63 == 0 {
		return math.Float64bits(float64(int64(x)))
	}
	return math.Float64bits(2 * float64(int64(x>>1|x&1)))
}

func f32FromU64(x uint64) uint64 {
	if x>>63 == 0 {
		return uint64(math.Float32bits(float32(int64(x))))
	}
	return uint64(math.Float32bits(2 * float32(int64(x>>1|x&1))))
}
