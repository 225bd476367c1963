package x87

// SSE arithmetic as MXCSR says: rounding, denormals as zeros, flushing to zero,
// exception flags and masks (Intel SDM volume 1, chapter 11). Translated code
// calls it only where MXCSR is not, or may not stay, as it is at the start of a
// process.

// MXCSR bits, beside the exception flags in bits 0 to 5 that the status word has
// too.
const (
	MXFlags   = 0x3f
	MXMasks   = 7                  // shift of the masks
	MXPreComp = swIE | swDE | swZE // raised before the result is computed

	mxDAZ = 1 << 6
	mxRC  = 13
	mxFTZ = 1 << 15
)

// SSEOp is an operation of SSE, below the bits of an SSECode.
type SSEOp uint32

// The operations.
const (
	SSEAdd SSEOp = iota
	SSESub
	SSEMul
	SSEDiv
	SSEMin
	SSEMax
	SSESqrt
	SSECompare  // imm: predicate, one of the 32 of AVX
	SSECompareI // imm: 1 if quiet NaNs are invalid; the result holds ZF, PF<<1 and CF<<2
	SSERound    // imm as of roundps
	SSEAddSub
	SSEHAdd
	SSEHSub
	SSEDot       // imm as of dpps
	SSEToFloat   // to the other format
	SSEToInt32   // imm: 1 truncates
	SSEToInt64   // likewise, scalar only
	SSEFromInt32 // of the integers in b
	SSEFromInt64 // likewise, scalar only
	SSEFMA       // scalar only: the product of both halves of a, plus b
)

// Bits of a code above the operation.
const (
	SSEDouble   = 1 << 8 // elements are f64: the source's, in a conversion
	SSEPacked   = 1 << 9 // all elements, not the lowest
	SSEImmShift = 16
)

// SSE executes an operation on a, the destination, and b, the source, each a
// vector's low and high 64 bits. Scalar operations give the lowest element, or
// the integer, and use no more of their operands. fault says that an exception
// is not masked: the result is a then. mxcsr comes back with the
// flags that were raised.
func SSE(code, mxcsr uint32, a, b [2]uint64) (r [2]uint64, out uint32, fault bool) {
	e := &sse{f: single, mxcsr: mxcsr, imm: code >> SSEImmShift & 0xff}
	if code&SSEDouble != 0 {
		e.f = double
	}
	op := SSEOp(code & 0xff)
	switch {
	case op == SSEFMA:
		r[0] = e.fma(a[0], a[1], b[0])
	case code&SSEPacked != 0:
		r = e.packed(op, a, b)
	default:
		r[0] = e.scalar(op, e.lane(a, 0), b[0])
	}
	if e.stops() {
		return a, mxcsr | uint32(e.flags), true
	}
	return r, mxcsr | uint32(e.flags), false
}

// stops reports whether an exception that is not masked was raised. One that is
// raised before results are computed hides those that come after.
func (e *sse) stops() bool {
	unmasked := ^uint16(e.mxcsr>>MXMasks) & MXFlags
	if e.flags&MXPreComp&unmasked != 0 {
		e.flags &= MXPreComp
	}
	return e.flags&unmasked != 0
}

type sse struct {
	f     small
	mxcsr uint32
	imm   uint32
	flags uint16
}

func (s small) size() uint { return 1 + s.frac + s.exp }

func (e *sse) lane(v [2]uint64, i uint) uint64 {
	bit := i * e.f.size()
	return v[bit/64] >> (bit % 64) & (1<<(e.f.size()-1)<<1 - 1)
}

// put sets lane i of size bits of v, which is zero there.
func put(v *[2]uint64, i, size uint, x uint64) { v[i*size/64] |= x << (i * size % 64) }

// packed runs an operation on all elements.
func (e *sse) packed(op SSEOp, a, b [2]uint64) (r [2]uint64) {
	n, size := 128/e.f.size(), e.f.size()
	switch op {
	case SSEDot:
		return e.dot(a, b)
	case SSEHAdd, SSEHSub:
		op -= SSEHAdd - SSEAdd
		for i := range n {
			from, k := a, 2*i
			if i >= n/2 {
				from, k = b, k-n
			}
			put(&r, i, size, e.scalar(op, e.lane(from, k), e.lane(from, k+1)))
		}
		return r
	case SSEFromInt32:
		for i := range n {
			put(&r, i, size, e.scalar(op, 0, b[i/2]>>(i%2*32)&0xffff_ffff))
		}
		return r
	case SSEToInt32:
		for i := range n {
			put(&r, i, 32, e.scalar(op, 0, e.lane(b, i)))
		}
		return r
	case SSEToFloat:
		for i := range uint(2) {
			put(&r, i, 96-size, e.scalar(op, 0, e.lane(b, i)))
		}
		return r
	}
	for i := range n {
		o := op
		if op == SSEAddSub {
			if o = SSEAdd; i%2 == 0 {
				o = SSESub
			}
		}
		put(&r, i, size, e.scalar(o, e.lane(a, i), e.lane(b, i)))
	}
	return r
}

// dot is dpps and dppd: sums of pairs, in the order of the processor, each step
// of which may be the last.
func (e *sse) dot(a, b [2]uint64) (r [2]uint64) {
	n, size := 128/e.f.size(), e.f.size()
	var p [4]uint64
	for i := range n {
		if e.imm>>(4+i)&1 != 0 {
			p[i] = e.scalar(SSEMul, e.lane(a, i), e.lane(b, i))
		}
	}
	if e.stops() {
		return r
	}
	sum := e.scalar(SSEAdd, p[0], p[1])
	if n == 4 {
		other := e.scalar(SSEAdd, p[2], p[3])
		if e.stops() {
			return r
		}
		sum = e.scalar(SSEAdd, sum, other)
	}
	for i := range n {
		if e.imm>>i&1 != 0 {
			put(&r, i, size, sum)
		}
	}
	return r
}

// operand takes an element apart, as MXCSR says of denormals.
func (e *sse) operand(v uint64) (f Float80, denormal bool) {
	f, denormal = raw(e.f, v)
	if denormal && e.mxcsr&mxDAZ != 0 {
		return zero(f.sign()), false
	}
	return f, denormal
}

// flush is v, or a zero if MXCSR takes v for one.
func (e *sse) flush(v uint64) uint64 {
	if _, denormal := raw(e.f, v); denormal && e.mxcsr&mxDAZ != 0 {
		return v & (1 << (e.f.size() - 1))
	}
	return v
}

func (e *sse) rc() uint16 { return uint16(e.mxcsr >> mxRC & 3) }

// scalar runs an operation on one element.
func (e *sse) scalar(op SSEOp, a, b uint64) uint64 {
	switch op {
	case SSEFromInt32, SSEFromInt64:
		v := int64(b)
		if op == SSEFromInt32 {
			v = int64(int32(b))
		}
		return e.round(e.f, fromInt(v))
	case SSEMin, SSEMax:
		return e.choose(op, a, b)
	case SSECompare, SSECompareI:
		return e.compare(op, a, b)
	}
	y, denormal := e.operand(b)
	switch op {
	case SSESqrt:
		return e.result(y, y, denormal, func(u *unit) Float80 { return u.sqrt(y) })
	case SSERound:
		return e.roundInt(y)
	case SSEToInt32, SSEToInt64:
		return e.toInt(op, y)
	case SSEToFloat:
		return e.toFloat(y, denormal)
	}
	x, d := e.operand(a)
	return e.result(x, y, denormal || d, func(u *unit) Float80 {
		switch op {
		case SSEAdd:
			return u.add(x, y, false)
		case SSESub:
			return u.add(x, y, true)
		case SSEMul:
			return u.mul(x, y)
		default:
			return u.div(x, y)
		}
	})
}

// nan is the result if an operand is a NaN: the first one, quieted.
func (e *sse) nan(x, y Float80) (Float80, bool) {
	if x.class() != clNaN && y.class() != clNaN {
		return Float80{}, false
	}
	if x.signaling() || y.signaling() {
		e.flags |= swIE
	}
	if x.class() == clNaN {
		return x.quieted(), true
	}
	return y.quieted(), true
}

// result rounds what compute gives of x and y. compute rounds to odd with more
// bits than the format has, so that the second rounding is right.
func (e *sse) result(x, y Float80, denormal bool, compute func(u *unit) Float80) uint64 {
	if r, ok := e.nan(x, y); ok {
		return e.round(e.f, r)
	}
	u := unit{rc: e.rc(), prec: 64, odd: true}
	r := compute(&u)
	e.flags |= u.flags & (swIE | swZE)
	if u.flags&(swIE|swZE) != 0 {
		return e.round(e.f, r)
	}
	if denormal {
		e.flags |= swDE
	}
	return e.round(e.f, r)
}

// round rounds r, which is exact but for its last bit, to format f.
func (e *sse) round(f small, r Float80) uint64 {
	u := unit{rc: e.rc()}
	v := u.narrow(f, r)
	if cl := r.class(); cl == clNormal || cl == clDenormal {
		tiny, inexact := e.unbounded(f, r)
		unmasked := ^uint16(e.mxcsr >> MXMasks)
		switch {
		case tiny && unmasked&swUE != 0:
			u.flags = swUE | swPE*uint16(b2u(inexact))
		case tiny && e.mxcsr&mxFTZ != 0:
			u.flags |= swUE | swPE
			v &= 1 << (f.size() - 1)
		case u.flags&swOE != 0 && unmasked&swOE != 0:
			u.flags = swOE | swPE*uint16(b2u(inexact))
		}
	}
	e.flags |= u.flags &^ swIE
	return v
}

// unbounded rounds r as if the exponent had no bounds: tiny says that the result
// lies below the normal numbers of f.
func (e *sse) unbounded(f small, r Float80) (tiny, inexact bool) {
	exp, mant := r.finite()
	exp += f.bias() - expBias
	u := unit{rc: e.rc()}
	_, carry, inexact, _ := u.roundAt(r.sign(), mant, 0, f.frac+1)
	return exp <= 0 && !(exp == 0 && carry), inexact
}

// choose is minss and its like: the source if the comparison does not hold.
func (e *sse) choose(op SSEOp, a, b uint64) uint64 {
	x, d1 := e.operand(a)
	y, d2 := e.operand(b)
	if x.class() == clNaN || y.class() == clNaN {
		e.flags |= swIE
		return e.flush(b)
	}
	if d1 || d2 {
		e.flags |= swDE
	}
	want := less
	if op == SSEMax {
		want = greater
	}
	var u unit
	if u.compare(x, y, false) == want {
		return e.flush(a)
	}
	return e.flush(b)
}

// compare is cmpss and its like, which give all ones or zeros, or comiss.
func (e *sse) compare(op SSEOp, a, b uint64) uint64 {
	x, d1 := e.operand(a)
	y, d2 := e.operand(b)
	signals := (e.imm&3 == 1 || e.imm&3 == 2) != (e.imm&16 != 0) // lt, le and their negations
	if op == SSECompareI {
		signals = e.imm != 0
	}
	var u unit
	o := u.compare(x, y, signals)
	e.flags |= u.flags & swIE
	if o != unordered && (d1 || d2) {
		e.flags |= swDE
	}
	if op == SSECompareI {
		return [...]uint64{less: 4, equal: 1, greater: 0, unordered: 7}[o]
	}
	if predicates[e.imm&15]>>o&1 != 0 {
		return 1<<(e.f.size()-1)<<1 - 1
	}
	return 0
}

// predicates holds, for each predicate of vcmpps less the bit that says which NaNs
// are invalid, a bit for each order of which it is true (Intel SDM volume 2,
// CMPPD, table 3-1).
var predicates = [16]uint8{
	1 << equal, 1 << less, 1<<less | 1<<equal, 1 << unordered,
	1<<less | 1<<greater | 1<<unordered, 1<<equal | 1<<greater | 1<<unordered, 1<<greater | 1<<unordered, 1<<less | 1<<equal | 1<<greater,
	1<<equal | 1<<unordered, 1<<less | 1<<unordered, 1<<less | 1<<equal | 1<<unordered, 0,
	1<<less | 1<<greater, 1<<equal | 1<<greater, 1 << greater, 1<<less | 1<<equal | 1<<greater | 1<<unordered,
}

// roundInt is roundss.
func (e *sse) roundInt(y Float80) uint64 {
	if r, ok := e.nan(y, y); ok {
		return e.round(e.f, r)
	}
	u := unit{rc: e.rc()}
	if e.imm&4 == 0 {
		u.rc = uint16(e.imm & 3)
	}
	r := u.roundInt(y)
	if e.imm&8 == 0 {
		e.flags |= u.flags & swPE
	}
	var exact unit
	return exact.narrow(e.f, r)
}

func (e *sse) toInt(op SSEOp, y Float80) uint64 {
	u := unit{}
	rc := e.rc()
	if e.imm&1 != 0 {
		rc = rcZero
	}
	size := uint(32)
	if op == SSEToInt64 {
		size = 64
	}
	v := u.toInt(y, size, rc)
	e.flags |= u.flags & (swIE | swPE)
	return v
}

// toFloat converts to the other format.
func (e *sse) toFloat(y Float80, denormal bool) uint64 {
	to := double
	if e.f == double {
		to = single
	}
	if r, ok := e.nan(y, y); ok {
		return e.round(to, r)
	}
	if denormal {
		e.flags |= swDE
	}
	return e.round(to, y)
}
