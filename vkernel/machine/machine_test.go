package machine

import (
	"context"
	"encoding/binary"
	"errors"
	"math/big"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"megabinary.dev/sdk/guestabi"
)

// fakeKernel answers syscalls with functions of the test.
type fakeKernel struct {
	syscall   func(nr uint64, args [6]uint64, next guestabi.PC) (uint64, guestabi.PC)
	fault     func(f guestabi.Fault, pc guestabi.PC) guestabi.PC
	safepoint func(next guestabi.PC) guestabi.PC
	resolve   func(pc guestabi.PC) int
}

func (k *fakeKernel) Syscall(nr uint64, args [6]uint64, next guestabi.PC) (uint64, guestabi.PC) {
	if k.syscall == nil {
		return 7, next
	}
	return k.syscall(nr, args, next)
}
func (k *fakeKernel) Safepoint(next guestabi.PC) guestabi.PC             { return k.safepoint(next) }
func (k *fakeKernel) Fault(f guestabi.Fault, pc guestabi.PC) guestabi.PC { return k.fault(f, pc) }
func (k *fakeKernel) Resolve(pc guestabi.PC) int {
	if k.resolve != nil {
		return k.resolve(pc)
	}
	if pc >= testBase && pc < testBase+0x1000 {
		return 0
	}
	return -1
}

// world is one engine, memory and machine for a test.
type world struct {
	u      *unitBuilder
	engine Engine
	mem    *Memory
	kernel *fakeKernel
	m      Machine
}

func newWorld(t testing.TB, o WazeroOptions) *world {
	t.Helper()
	return newWorldWith(t, o, 0)
}

// newWorldWith makes a world whose megabinary has more units, which are bound,
// so that unit 0 shares its registers.
func newWorldWith(t testing.TB, o WazeroOptions, more int) *world {
	t.Helper()
	return newWorldOn(t, more, func(megabinary []byte) (Engine, error) { return NewWazero(context.Background(), megabinary, o) })
}

// newWorldOn makes a world on the engine that open makes of its megabinary.
func newWorldOn(t testing.TB, more int, open func(megabinary []byte) (Engine, error)) *world {
	t.Helper()
	w := &world{u: testUnit(), kernel: &fakeKernel{}}
	w.u.company = more
	var err error
	if w.engine, err = open(w.u.megabinary(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.engine.Close(context.Background()) })
	if w.mem, err = NewMemory(1 << 24); err != nil {
		t.Fatal(err)
	}
	if w.m, err = w.engine.NewMachine(w.mem, w.kernel); err != nil {
		t.Fatal(err)
	}
	for unit := range more + 1 {
		if err := w.m.Bind(unit, 0); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// onAll runs a test on all engines, and with a unit that is not alone.
func onAll(t *testing.T, f func(t *testing.T, w *world)) {
	t.Run("compiler", func(t *testing.T) { f(t, newWorld(t, WazeroOptions{})) })
	t.Run("interpreter", func(t *testing.T) { f(t, newWorld(t, WazeroOptions{Interpreter: true})) })
	t.Run("compiler, shared", func(t *testing.T) { f(t, newWorldWith(t, WazeroOptions{}, 1)) })
	t.Run("interpreter, shared", func(t *testing.T) { f(t, newWorldWith(t, WazeroOptions{Interpreter: true}, 1)) })
	onNative(t, f)
}

// exact reports whether the engine knows where it traps.
func (w *world) exact() bool {
	m, ok := w.m.(*wazeroMachine)
	return !ok || !m.engine.oneByOne
}

// call enters a routine with the given registers and returns those after it.
func (w *world) call(t testing.TB, name string, regs map[guestabi.Reg]uint64) guestabi.Context {
	t.Helper()
	var c guestabi.Context
	for r, v := range regs {
		c.GPR[r] = v
	}
	w.m.LoadContext(&c)
	if pc, err := w.m.Run(w.u.pc(name)); err != nil || pc != 0 {
		t.Fatalf("%s: pc %#x, %v", name, pc, err)
	}
	w.m.SaveContext(&c)
	return c
}

func TestContextRoundTrip(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		rng := rand.New(rand.NewPCG(1, 2))
		for range 50 {
			var in, out guestabi.Context
			for i := range in.GPR {
				in.GPR[i] = rng.Uint64()
			}
			for i := range in.XMM {
				for j := range in.XMM[i] {
					in.XMM[i][j] = byte(rng.Uint32())
				}
			}
			in.RFLAGS = rng.Uint64()&(1<<guestabi.BitCF|1<<guestabi.BitPF|1<<guestabi.BitAF|1<<guestabi.BitZF|1<<guestabi.BitSF|1<<guestabi.BitDF|1<<guestabi.BitOF) | 2
			in.FSBase, in.GSBase = rng.Uint64(), rng.Uint64()
			in.MXCSR, in.Fuel, in.LastPC = rng.Uint32(), rng.Uint32(), rng.Uint32()
			w.m.LoadContext(&in)
			w.m.SaveContext(&out)
			if in != out {
				t.Fatalf("loaded %+v\nsaved %+v", in, out)
			}
		}
	})
}

func TestSyscallMayReplaceTheContext(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		w.kernel.syscall = func(nr uint64, args [6]uint64, next guestabi.PC) (uint64, guestabi.PC) {
			want := [6]uint64{1, 2, 3, 4, 5, 6}
			if nr != 42 || args != want || next != testBase+0x100 {
				t.Errorf("syscall %d %v, next %#x", nr, args, next)
			}
			var c guestabi.Context
			w.m.SaveContext(&c)
			if c.GPR[guestabi.RDI] != 1 {
				t.Errorf("rdi is %d inside of the call", c.GPR[guestabi.RDI])
			}
			c.GPR[guestabi.RAX] = 99
			w.m.LoadContext(&c)
			return 0, 0x1234
		}
		var c guestabi.Context
		c.GPR = [16]uint64{guestabi.RAX: 42, guestabi.RDI: 1, guestabi.RSI: 2, guestabi.RDX: 3, guestabi.R10: 4, guestabi.R8: 5, guestabi.R9: 6}
		w.m.LoadContext(&c)
		pc, err := w.m.Run(w.u.pc("syscall"))
		if err != nil || pc != 0x1234 {
			t.Fatalf("left at %#x, %v", pc, err)
		}
		w.m.SaveContext(&c)
		if c.GPR[guestabi.RAX] != 99 {
			t.Errorf("rax is %d", c.GPR[guestabi.RAX])
		}
	})
}

func TestTraps(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			routine string
			rdi     uint64
			want    TrapKind
			entry   int // of the code map, -1: none
		}{
			{"load", 0, TrapMemory, 0},
			{"load", 0xffff, TrapMemory, 0},
			{"load", 1<<24 + guestabi.AddrBias - 7, TrapMemory, 0},
			{"later", 8, TrapMemory, 3},
			{"later", 1<<24 + guestabi.AddrBias - 15, TrapMemory, 3},
			{"divide", 0, TrapDivide, -1},
			{"atomic", 1<<24 + guestabi.AddrBias, TrapMemory, 0},
			{"fxsave", 8, TrapMemory, 0},
			{"cas128", 1<<24 + guestabi.AddrBias - 15, TrapMemory, 0},
		} {
			var ctx guestabi.Context
			ctx.GPR[guestabi.RDI] = c.rdi
			ctx.GPR[guestabi.RSP] = 0x3_0000
			ctx.GPR[guestabi.RAX] = 4 << 8 // for atomic: 4 bytes
			w.m.LoadContext(&ctx)
			_, err := w.m.Run(w.u.pc(c.routine))
			var trap *Trap
			if !errors.As(err, &trap) || trap.Kind != c.want {
				t.Errorf("%s(%#x): got %v, want kind %d", c.routine, c.rdi, err, c.want)
				continue
			}
			w.m.SaveContext(&ctx)
			rsp := uint64(0x3_0000)
			if c.entry >= 0 && w.exact() {
				if want := testBase + 0x1000*(w.u.pc(c.routine)-testBase+1) + guestabi.PC(c.entry); trap.Place != nil || trap.PC != want {
					t.Errorf("%s(%#x): trap at %#x (%v), want %#x", c.routine, c.rdi, trap.PC, trap.Place, want)
				}
				if trap.Stale != (c.entry == 3) {
					t.Errorf("%s(%#x): stale: %v", c.routine, c.rdi, trap.Stale)
				}
				rsp += 8 * uint64(c.entry+1)
			} else if trap.Place == nil {
				t.Errorf("%s(%#x): the trap has an exact place, %#x", c.routine, c.rdi, trap.PC)
			}
			if got := ctx.GPR[guestabi.RSP]; got != rsp {
				t.Errorf("%s(%#x): rsp is %#x, want %#x", c.routine, c.rdi, got, rsp)
			}
			if c.routine == "load" && trap.Place != nil && trap.PC != w.u.pc("load") {
				t.Errorf("%s(%#x): trap at %#x", c.routine, c.rdi, trap.PC)
			}
		}
		// The machine goes on after a trap.
		w.call(t, "store", map[guestabi.Reg]uint64{guestabi.RDI: guestabi.MinAddr, guestabi.RSI: 5})
		if c := w.call(t, "load", map[guestabi.Reg]uint64{guestabi.RDI: guestabi.MinAddr}); c.GPR[guestabi.RAX] != 5 {
			t.Errorf("loaded %d", c.GPR[guestabi.RAX])
		}
		if got := w.mem.Bytes()[guestabi.MinAddr-guestabi.AddrBias]; got != 5 {
			t.Errorf("the byte in memory is %d", got)
		}
	})
}

func TestStackOverflowIsATrap(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		for range 2 {
			_, err := w.m.Run(w.u.pc("recurse"))
			var trap *Trap
			if !errors.As(err, &trap) || trap.Kind != TrapStackOverflow || trap.PC != w.u.pc("recurse") {
				t.Fatalf("got %v", err)
			}
		}
		w.call(t, "rdtsc", nil)
	})
}

func TestPanicOfAHandlerIsInternal(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		w.kernel.syscall = func(uint64, [6]uint64, guestabi.PC) (uint64, guestabi.PC) {
			var p *int
			return uint64(*p), 0
		}
		_, err := w.m.Run(w.u.pc("syscall"))
		var trap *Trap
		if !errors.As(err, &trap) || trap.Kind != TrapInternal || !strings.Contains(err.Error(), "nil pointer") {
			t.Fatalf("got %v", err)
		}
		w.kernel.syscall = func(uint64, [6]uint64, guestabi.PC) (uint64, guestabi.PC) { panic("integer divide by zero") }
		if _, err = w.m.Run(w.u.pc("syscall")); !errors.As(err, &trap) || trap.Kind != TrapInternal {
			t.Fatalf("got %v", err)
		}
	})
}

func TestFaults(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		var got []guestabi.Fault
		w.kernel.fault = func(f guestabi.Fault, _ guestabi.PC) guestabi.PC {
			got = append(got, f)
			return Unwind
		}
		fresh, err := w.engine.NewMachine(w.mem, w.kernel)
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range []struct {
			m    Machine
			pc   guestabi.PC
			want guestabi.Fault
		}{
			{w.m, w.u.pc("fault"), guestabi.FaultUndefined},
			{w.m, 0x100, guestabi.FaultBadPC},
			{w.m, testBase + 0x800, guestabi.FaultMiss},
			{fresh, w.u.pc("fault"), guestabi.FaultNotAdmitted},
		} {
			if pc, err := run.m.Run(run.pc); pc != Unwind || err != nil || got[len(got)-1] != run.want {
				t.Errorf("at %#x: left at %#x, %v, faults %v, want %d", run.pc, pc, err, got, run.want)
			}
		}
	})
}

func TestDivision(t *testing.T) {
	w := newWorld(t, WazeroOptions{})
	rng := rand.New(rand.NewPCG(3, 4))
	interesting := []uint64{0, 1, 2, 3, 1 << 63, 1<<63 - 1, ^uint64(0), ^uint64(0) - 1}
	pick := func() uint64 {
		if rng.IntN(2) == 0 {
			return interesting[rng.IntN(len(interesting))]
		}
		return rng.Uint64() >> rng.IntN(64)
	}
	for range 3000 {
		hi, lo, d := pick(), pick(), pick()
		regs := map[guestabi.Reg]uint64{guestabi.RDX: hi, guestabi.RAX: lo, guestabi.RCX: d}
		if d > hi {
			n := new(big.Int).SetUint64(hi)
			n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(lo))
			q, r := new(big.Int).QuoRem(n, new(big.Int).SetUint64(d), new(big.Int))
			c := w.call(t, "div_u128", regs)
			if c.GPR[guestabi.R8] != q.Uint64() || c.GPR[guestabi.R9] != r.Uint64() {
				t.Fatalf("div %#x:%#x by %#x: got %#x, %#x", hi, lo, d, c.GPR[guestabi.R8], c.GPR[guestabi.R9])
			}
		}
		n := big.NewInt(int64(hi))
		n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(lo))
		c := w.call(t, "div_s128", regs)
		overflow := d == 0
		var q, r big.Int
		if !overflow {
			q.QuoRem(n, big.NewInt(int64(d)), &r)
			overflow = !q.IsInt64()
		}
		if (c.GPR[guestabi.R10] != 0) != overflow {
			t.Fatalf("idiv %#x:%#x by %#x: overflow is %d", hi, lo, d, c.GPR[guestabi.R10])
		}
		if !overflow && (int64(c.GPR[guestabi.R8]) != q.Int64() || int64(c.GPR[guestabi.R9]) != r.Int64()) {
			t.Fatalf("idiv %#x:%#x by %#x: got %#x, %#x", hi, lo, d, c.GPR[guestabi.R8], c.GPR[guestabi.R9])
		}
	}
}

func TestCAS128(t *testing.T) {
	w := newWorld(t, WazeroOptions{})
	b := w.mem.Bytes()[guestabi.MinAddr-guestabi.AddrBias:]
	binary.LittleEndian.PutUint64(b, 1)
	binary.LittleEndian.PutUint64(b[8:], 2)
	regs := map[guestabi.Reg]uint64{guestabi.RDI: guestabi.MinAddr, guestabi.RAX: 1, guestabi.RDX: 2, guestabi.RBX: 3, guestabi.RCX: 4}
	for i, want := range [][4]uint64{{1, 2, 3, 4}, {3, 4, 3, 4}} { // the second does not match
		c := w.call(t, "cas128", regs)
		got := [4]uint64{c.GPR[guestabi.R8], c.GPR[guestabi.R9], binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
		if got != want {
			t.Errorf("exchange %d: %v, want %v", i, got, want)
		}
	}
}

// TestUnalignedAtomics runs each operation of each size, also over the end of
// memory's last four bytes.
func TestUnalignedAtomics(t *testing.T) {
	w := newWorld(t, WazeroOptions{})
	const last = 1<<24 + guestabi.AddrBias
	for _, at := range []uint64{guestabi.MinAddr + 3, guestabi.MinAddr + 4093, last - 8} {
		for _, size := range []uint64{1, 2, 4, 8} {
			for op := guestabi.AtomicAdd; op <= guestabi.AtomicCmpxchg; op++ {
				addr := at
				if at == last-8 {
					addr = last - size
				}
				old, arg, repl := uint64(0x8877665544332211), uint64(0xf0e1d2c3b4a59687), uint64(0x0102030405060708)
				mask := uint64(1)<<(8*size) - 1
				if op == guestabi.AtomicCmpxchg {
					arg = old & mask
				}
				want := op.Apply(old&mask, arg, repl) & mask
				b := w.mem.Bytes()[addr-guestabi.AddrBias:][:size]
				var word [8]byte
				binary.LittleEndian.PutUint64(word[:], old)
				copy(b, word[:])
				c := w.call(t, "atomic", map[guestabi.Reg]uint64{guestabi.RAX: uint64(op) | size<<8, guestabi.RDI: addr, guestabi.RBX: arg, guestabi.RCX: repl})
				copy(word[:], make([]byte, 8))
				copy(word[:], b)
				if got := binary.LittleEndian.Uint64(word[:]); got != want || c.GPR[guestabi.R8] != old&mask {
					t.Errorf("op %d of %d bytes at %#x: memory %#x, want %#x; old %#x", op, size, addr, got, want, c.GPR[guestabi.R8])
				}
			}
		}
	}
}

func TestCPUIDIsV2WithoutAVX(t *testing.T) {
	w := newWorld(t, WazeroOptions{})
	leaf := func(eax, ecx uint64) (r [4]uint32) {
		c := w.call(t, "cpuid", map[guestabi.Reg]uint64{guestabi.RAX: eax, guestabi.RCX: ecx})
		for i := range r {
			r[i] = uint32(c.GPR[guestabi.R8+guestabi.Reg(i)])
		}
		return r
	}
	l := leaf(0, 0)
	vendor := binary.LittleEndian.AppendUint32(nil, l[1])
	vendor = binary.LittleEndian.AppendUint32(vendor, l[3])
	vendor = binary.LittleEndian.AppendUint32(vendor, l[2])
	if string(vendor) != "GenuineIntel" {
		t.Errorf("vendor is %q", vendor)
	}
	const avx, osxsave, xsave, fma, movbe, rdrand = 1 << 28, 1 << 27, 1 << 26, 1 << 12, 1 << 22, 1 << 30
	l = leaf(1, 0)
	if l[2]&(avx|osxsave|xsave|fma|movbe|rdrand) != 0 || l[2]&ecxSSE42 == 0 || l[3]&edxSSE2 == 0 {
		t.Errorf("leaf 1 is %#x", l)
	}
	if l = leaf(7, 0); l != [4]uint32{1: ebxERMS} {
		t.Errorf("leaf 7 is %#x", l)
	}
	// Cache size as glibc computes it: ways * partitions * line * sets.
	l = leaf(4, 0)
	if size := (l[1]>>22 + 1) * (l[1]>>12&0x3ff + 1) * (l[1]&0xfff + 1) * (l[2] + 1); size != 32<<10 {
		t.Errorf("the first-level cache has %d bytes", size)
	}
	if l = leaf(4, 4); l[0]&31 != 0 {
		t.Errorf("leaf 4 does not end: %#x", l)
	}
}

func TestFXSave(t *testing.T) {
	w := newWorld(t, WazeroOptions{})
	w.call(t, "fxsave", map[guestabi.Reg]uint64{guestabi.RDI: guestabi.MinAddr, guestabi.RSI: guestabi.MXCSRInit})
	area := w.mem.Bytes()[guestabi.MinAddr-guestabi.AddrBias:]
	if cw, mxcsr := binary.LittleEndian.Uint16(area), binary.LittleEndian.Uint32(area[24:]); cw != 0x37f || mxcsr != guestabi.MXCSRInit {
		t.Errorf("control word %#x, mxcsr %#x", cw, mxcsr)
	}
	binary.LittleEndian.PutUint16(area, 0x27f)
	w.call(t, "fxrstor", map[guestabi.Reg]uint64{guestabi.RDI: guestabi.MinAddr})
	var saved [512]byte
	w.m.X87().MarshalFXSave(saved[:])
	if cw := binary.LittleEndian.Uint16(saved[:]); cw != 0x27f {
		t.Errorf("control word after fxrstor is %#x", cw)
	}
}

func TestThreadsShareMemory(t *testing.T) {
	w := newWorld(t, WazeroOptions{})
	var wg sync.WaitGroup
	for i := range 100 { // more than there are scratch slots
		m, err := w.engine.NewMachine(w.mem, w.kernel)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Bind(0, 0); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer m.Close()
			for range 50 {
				c := guestabi.Context{}
				c.GPR[guestabi.RDI], c.GPR[guestabi.RSI] = guestabi.MinAddr+uint64(i)*8, uint64(i)
				m.LoadContext(&c)
				if _, err := m.Run(w.u.pc("store")); err != nil {
					t.Error(err)
				}
				m.SaveContext(&c)
				if c.GPR[guestabi.RSI] != uint64(i) {
					t.Errorf("thread %d has rsi %d", i, c.GPR[guestabi.RSI])
				}
			}
		})
	}
	wg.Wait()
	for i := range 100 {
		if got := binary.LittleEndian.Uint64(w.mem.Bytes()[guestabi.MinAddr-guestabi.AddrBias+i*8:]); got != uint64(i) {
			t.Errorf("word %d is %d", i, got)
		}
	}
}

func TestAtomicsAreAtomicBetweenThreads(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		const threads, times = 8, 20_000
		w.kernel.safepoint = func(next guestabi.PC) guestabi.PC { return next }
		var wg sync.WaitGroup
		for range threads {
			m, err := w.engine.NewMachine(w.mem, w.kernel)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Bind(0, 0); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer m.Close()
				c := guestabi.Context{}
				c.GPR[guestabi.RSI] = times
				m.LoadContext(&c)
				if _, err := m.Run(w.u.pc("count")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := binary.LittleEndian.Uint64(w.mem.Bytes()[guestabi.MinAddr-guestabi.AddrBias:]); got != threads*times {
			t.Errorf("counted %d of %d", got, threads*times)
		}
	})
}

func TestBindChecksItsUnit(t *testing.T) {
	w := newWorld(t, WazeroOptions{})
	if err := w.m.Bind(1, 0); err == nil || !strings.Contains(err.Error(), "the megabinary has 1") {
		t.Errorf("unit 1: %v", err)
	}
	if err := w.m.Bind(0, 0x1000); err == nil || !strings.Contains(err.Error(), "not position-independent") {
		t.Errorf("base: %v", err)
	}
}
