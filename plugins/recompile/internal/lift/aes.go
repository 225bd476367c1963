package lift

import "sync"

// aesPair is two tables of 16 bytes; what belongs to an index in each is added.
type aesPair [2][16]byte

// aesTables compute on bytes of AES's field in parts of four bits, each looked
// up in one vector (Hamburg, Accelerating AES with Vector Permute Instructions).
//
// With w + w^16 = 1, a byte is x = i*w + j*w', where i and j are in the subfield
// of 16 elements, w' = w^16, k = i+j and c = w*w' = 1/a. Then
//
//	io = 1/(1/i + a/k) + j,  jo = 1/(1/j + a/k) + i
//
// and 1/x is a linear function of 1/io and 1/jo. 1/0 is 0x80, which a swizzle
// takes for an index beyond the table: it gives 0.
type aesTables struct {
	into, intoInverse aesPair // from a byte's nibbles to i<<4|k; the second undoes the affine map of the S-box first
	inverse, ratio    [16]byte
	// From io and jo:
	sub     [2]aesPair // 1 and 2 times the S-box without its constant
	invLast aesPair    // the inverse
	invSub  [4]aesPair // 14, 11, 13 and 9 times the inverse
	// From a byte's nibbles:
	multiple [4]aesPair // 14, 11, 13 and 9 times the byte
}

var aes = sync.OnceValue(newAESTables)

// aesMul multiplies in AES's field.
func aesMul(x, y byte) (p byte) {
	for ; y != 0; y >>= 1 {
		if y&1 != 0 {
			p ^= x
		}
		carry := x >> 7
		x = x<<1 ^ carry*0x1b
	}
	return p
}

func aesPower(x byte, n int) byte {
	p := byte(1)
	for range n {
		p = aesMul(p, x)
	}
	return p
}

// aesInverse gives 0 for 0.
func aesInverse(x byte) byte { return aesPower(x, 254) }

// aesAdd adds x rotated to the left by each of the turns.
func aesAdd(x byte, turns ...int) (sum byte) {
	for _, n := range turns {
		sum ^= x<<n | x>>(8-n)
	}
	return sum
}

// aesLinear tabulates a linear function of a byte's lower and upper nibble.
func aesLinear(f func(byte) byte) (t aesPair) {
	for n := range byte(16) {
		t[0][n], t[1][n] = f(n), f(n<<4)
	}
	return t
}

// aesSubfield numbers the elements of the subfield so that numbers add as
// elements do.
func aesSubfield() (element [16]byte, number map[byte]byte) {
	number = map[byte]byte{0: 0}
	for x := 1; x < 256 && len(number) < 16; x++ {
		if _, known := number[byte(x)]; known || aesPower(byte(x), 16) != byte(x) {
			continue
		}
		for n, have := 0, len(number); n < have; n++ {
			element[have+n] = element[n] ^ byte(x)
			number[element[have+n]] = byte(have + n)
		}
	}
	return element, number
}

func newAESTables() *aesTables {
	const impossible = 0x80
	element, number := aesSubfield()
	w := byte(1)
	for w^aesPower(w, 16) != 1 {
		w++
	}
	conjugate := w ^ 1
	c := aesMul(w, conjugate)
	a := aesInverse(c)

	t := &aesTables{inverse: [16]byte{impossible}, ratio: [16]byte{impossible}}
	for n := 1; n < 16; n++ {
		t.inverse[n] = number[aesInverse(element[n])]
		t.ratio[n] = number[aesMul(a, aesInverse(element[n]))]
	}
	into := func(x byte) byte {
		k := x ^ aesPower(x, 16)
		return number[x^aesMul(k, conjugate)]<<4 | number[k]
	}
	undo := func(x byte) byte { return into(aesAdd(x, 1, 3, 6)) }
	t.into, t.intoInverse = aesLinear(into), aesLinear(undo)
	for n := range t.intoInverse[0] {
		t.intoInverse[0][n] ^= undo(0x63)
	}
	from := func(f func(byte) byte) (p aesPair) {
		for n, x := range element {
			inv := aesInverse(x)
			p[0][n] = f(aesMul(inv, c^conjugate))
			p[1][n] = f(aesMul(inv, c^w))
		}
		return p
	}
	for i := range t.sub {
		t.sub[i] = from(func(x byte) byte { return aesMul(byte(i+1), aesAdd(x, 0, 1, 2, 3, 4)) })
	}
	t.invLast = from(func(x byte) byte { return x })
	for i, factor := range [4]byte{14, 11, 13, 9} {
		times := func(x byte) byte { return aesMul(factor, x) }
		t.invSub[i], t.multiple[i] = from(times), aesLinear(times)
	}
	return t
}
