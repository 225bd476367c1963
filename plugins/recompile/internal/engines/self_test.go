package engines

import (
	"math"
	"testing"

	"megabinary.dev/plugins/recompile"
)

// TestDiffers plants differences into an ending and wants them found.
func TestDiffers(t *testing.T) {
	g := NewGenerator(7)
	tr := trial{program: g.Next(), seed: 1}
	compiled, interpreted, _, err := runBoth([]trial{tr}, recompile.Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	integers, doubles := class{}, class{lane: 8}
	nan := math.Float64bits(math.NaN())
	for _, test := range []struct {
		name  string
		class class
		plant func(e *ending)
		found bool
	}{
		{"nothing", integers, func(*ending) {}, false},
		{"a register", integers, func(e *ending) { e.context.GPR[3]++ }, true},
		{"a flag", integers, func(e *ending) { e.context.RFLAGS ^= 1 }, true},
		{"a byte of memory", integers, func(e *ending) { e.memory[dataFrom+5]++ }, true},
		{"where it left to", integers, func(e *ending) { e.pc++ }, true},
		{"a system call", integers, func(e *ending) { e.events = append(e.events, "syscall") }, true},
		{"the x87 unit", integers, func(e *ending) { e.x87[40]++ }, true},
		{"a vector", doubles, func(e *ending) { e.context.XMM[0][0]++ }, true},
		{"another NaN among integers", integers, func(e *ending) { put64(e.memory[floatFrom:], nan^1) }, true},
		{"another NaN among doubles", doubles, func(e *ending) { put64(e.memory[floatFrom:], nan^1) }, false},
		{"another NaN where integers are", doubles, func(e *ending) { put64(e.memory[dataFrom:], nan^1) }, true},
	} {
		a, b := compiled[0], interpreted[0]
		for _, e := range []*ending{&a, &b} {
			e.memory = append([]byte{}, e.memory...)
			put64(e.memory[floatFrom:], nan)
			put64(e.memory[dataFrom:], nan)
			put64(e.context.XMM[0][:], 0)
		}
		test.plant(&a)
		if text := a.differs(b, test.class); (text != "") != test.found {
			t.Errorf("%s: %q", test.name, text)
		}
	}
}

func put64(b []byte, v uint64) {
	for i := range 8 {
		b[i] = byte(v >> (8 * i))
	}
}

// TestShrink keeps only what makes a program bad: here one system call.
func TestShrink(t *testing.T) {
	g := NewGenerator(3)
	for range 20 {
		p := g.Next()
		if count(p.functions, system) == 0 {
			continue
		}
		shrink(p.functions, func() bool { return count(p.functions, system) > 0 })
		total := 0
		for k := range numberOfKinds {
			total += count(p.functions, k)
		}
		if total != 1 {
			t.Errorf("%d statements are left of which one counts", total)
		}
	}
}

// count counts the statements of a kind.
func count(functions [][]*statement, k kind) int {
	n := 0
	for _, list := range functions {
		for _, s := range list {
			if s.kind == k {
				n++
			}
			n += count(append([][]*statement{s.body, s.other}, s.arms...), k)
		}
	}
	return n
}

// TestProgramsVary wants every kind of statement from few programs.
func TestProgramsVary(t *testing.T) {
	g := NewGenerator(1)
	seen := map[string]bool{}
	kinds := map[kind]int{}
	for range 60 {
		p := g.Next()
		seen[p.class.name] = true
		for k := range numberOfKinds {
			kinds[k] += count(p.functions, k)
		}
	}
	for k := range numberOfKinds {
		if kinds[k] == 0 {
			t.Errorf("no statement of kind %d", k)
		}
	}
	if len(seen) != 3 {
		t.Errorf("classes %v", seen)
	}
}
