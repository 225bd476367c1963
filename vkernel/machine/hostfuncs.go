package machine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x87"
)

// core is what a machine of every engine has, and all that most functions of
// module guestabi.ModuleKernel need.
type core struct {
	mem     *Memory
	kernel  Kernel
	x87     x87.State
	cpu     guestabi.CPU
	started time.Time // zero of the time stamp counter
}

// hostFunc is one function of module guestabi.ModuleKernel that does not pass
// control on. It takes its parameters from stack and leaves its results there;
// the upper halves of i32 parameters hold garbage.
type hostFunc func(c *core, stack []uint64)

// Call implements api.GoModuleFunction. The context that a machine calls guest
// code with is the machine itself, so that finding it costs one comparison.
func (f hostFunc) Call(ctx context.Context, _ api.Module, stack []uint64) {
	f(&ctx.(*wazeroMachine).core, stack)
}

// controlFunc is one that does.
type controlFunc func(m *wazeroMachine, stack []uint64)

// Call implements api.GoModuleFunction.
func (f controlFunc) Call(ctx context.Context, _ api.Module, stack []uint64) {
	f(ctx.(*wazeroMachine), stack)
}

// controlFuncs and hostFuncs have one row for each of guestabi.KernelFuncs.
func controlFuncs() map[string]controlFunc {
	return map[string]controlFunc{
		guestabi.FuncSyscall:   hostSyscall,
		guestabi.FuncSafepoint: hostSafepoint,
		guestabi.FuncFault:     hostFault,
		guestabi.FuncResolve:   hostResolve,
	}
}

func hostFuncs() map[string]hostFunc {
	return map[string]hostFunc{
		guestabi.FuncCPUID:   hostCPUID,
		guestabi.FuncRDTSC:   hostRDTSC,
		guestabi.FuncX87:     hostX87,
		guestabi.FuncMMX:     hostMMX,
		guestabi.FuncDivU128: hostDivU128,
		guestabi.FuncDivS128: hostDivS128,
		guestabi.FuncCAS128:  hostCAS128,
		guestabi.FuncAtomic:  hostAtomic,
		guestabi.FuncSSE:     hostSSE,
		guestabi.FuncFXSave:  hostFXSave,
		guestabi.FuncFXRstor: hostFXRstor,
		guestabi.FuncFMA64:   hostFMA64,
		guestabi.FuncFMA32:   hostFMA32,
	}
}

// instantiateHost puts module guestabi.ModuleKernel into rt.
func instantiateHost(ctx context.Context, rt wazero.Runtime) error {
	b := rt.NewHostModuleBuilder(guestabi.ModuleKernel)
	funcs, control := hostFuncs(), controlFuncs()
	for _, f := range guestabi.KernelFuncs() {
		var h api.GoModuleFunction = control[f.Name]
		if control[f.Name] == nil {
			if funcs[f.Name] == nil {
				panic("BUG: no handler for host function " + f.Name)
			}
			h = funcs[f.Name]
		}
		b = b.NewFunctionBuilder().WithGoModuleFunction(h, valueTypes(f.Params), valueTypes(f.Results)).WithName(f.Name).Export(f.Name)
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("instantiating host module %s: %w", guestabi.ModuleKernel, err)
	}
	return nil
}

func valueTypes(types []guestabi.Type) []api.ValueType {
	out := make([]api.ValueType, len(types))
	for i, t := range types {
		out[i] = api.ValueType(t)
	}
	return out
}

func hostSyscall(m *wazeroMachine, s []uint64) {
	m.leaveGuest()
	rax, pc := m.kernel.Syscall(s[0], [6]uint64(s[1:7]), uint32(s[7]))
	m.enterGuest()
	s[0], s[1] = rax, uint64(pc)
}

func hostSafepoint(m *wazeroMachine, s []uint64) {
	m.leaveGuest()
	s[0] = uint64(m.kernel.Safepoint(uint32(s[0])))
	m.enterGuest()
}

func hostFault(m *wazeroMachine, s []uint64) {
	if m.moved { // no fault: see enter
		s[0] = uint64(Unwind)
		return
	}
	m.leaveGuest()
	s[0] = uint64(m.kernel.Fault(guestabi.Fault(uint32(s[0])), uint32(s[1])))
	m.enterGuest()
}

func hostResolve(m *wazeroMachine, s []uint64) {
	pc := uint32(s[0])
	m.profiled.running.Store(false)
	defer m.profiled.running.Store(true)
	unit := m.kernel.Resolve(pc)
	if unit >= 0 {
		var err error
		if unit, err = m.enter(unit, pc); err != nil {
			panic(err)
		}
	}
	s[0] = uint64(uint32(unit))
}

func hostFMA64(_ *core, s []uint64) { s[0] = guestabi.FMA64(s[0], s[1], s[2]) }

func hostFMA32(_ *core, s []uint64) {
	s[0] = uint64(guestabi.FMA32(uint32(s[0]), uint32(s[1]), uint32(s[2])))
}

func hostCPUID(c *core, s []uint64) {
	eax, ebx, ecx, edx := cpuid(c.cpu, uint32(s[0]), uint32(s[1]))
	s[0], s[1], s[2], s[3] = uint64(eax), uint64(ebx), uint64(ecx), uint64(edx)
}

// hostRDTSC counts nanoseconds of the monotonic clock, see tscHertz.
func hostRDTSC(c *core, s []uint64) {
	s[0] = uint64(time.Since(c.started)) * (tscHertz / uint64(time.Second))
}

func hostDivU128(_ *core, s []uint64) {
	hi, lo, d := s[0], s[1], s[2]
	if d <= hi {
		panic(fmt.Sprintf("BUG: div_u128: divisor %#x is not above %#x", d, hi))
	}
	s[0], s[1] = bits.Div64(hi, lo, d)
}

func hostDivS128(_ *core, s []uint64) {
	q, r, ok := divS128(int64(s[0]), s[1], int64(s[2]))
	s[0], s[1], s[2] = uint64(q), uint64(r), 0
	if !ok {
		s[0], s[1], s[2] = 0, 0, 1
	}
}

// divS128 divides hi:lo by d, rounding towards zero. It fails if d is 0 or the
// quotient does not fit.
func divS128(hi int64, lo uint64, d int64) (q, r int64, ok bool) {
	uhi, ulo, ud := uint64(hi), lo, uint64(d)
	if hi < 0 {
		var borrow uint64
		ulo, borrow = bits.Sub64(0, ulo, 0)
		uhi, _ = bits.Sub64(0, uhi, borrow)
	}
	if d < 0 {
		ud = -ud
	}
	if ud <= uhi { // d == 0, too
		return 0, 0, false
	}
	uq, ur := bits.Div64(uhi, ulo, ud)
	if (hi < 0) != (d < 0) {
		if uq > 1<<63 {
			return 0, 0, false
		}
		uq = -uq
	} else if uq > math.MaxInt64 {
		return 0, 0, false
	}
	if hi < 0 {
		ur = -ur
	}
	return int64(uq), int64(ur), true
}

// guestFault is a guest's access outside of its memory, made by the host on its
// behalf. Host functions panic with it; Run makes it a TrapMemory.
type guestFault struct{ addr uint32 }

func (f *guestFault) Error() string {
	return fmt.Sprintf("guest address %#x is outside of guest memory", f.addr)
}

// mustGuest is guest, but panics with a guestFault.
func (m *Memory) mustGuest(addr uint32, n int) []byte {
	b := m.guest(addr, n)
	if b == nil {
		panic(&guestFault{addr})
	}
	return b
}

func hostCAS128(c *core, s []uint64) {
	b := c.mem.mustGuest(uint32(s[0]), 16)
	c.mem.cas.Lock()
	defer c.mem.cas.Unlock()
	le := binary.LittleEndian
	lo, hi := le.Uint64(b), le.Uint64(b[8:])
	if lo == s[1] && hi == s[2] {
		le.PutUint64(b, s[3])
		le.PutUint64(b[8:], s[4])
	}
	s[0], s[1] = lo, hi
}

func hostX87(c *core, s []uint64) {
	r, err := c.x87.Exec(uint32(s[0]), uint32(s[1]), guestMemory{c.mem})
	if err != nil {
		var f *guestFault
		if errors.As(err, &f) {
			panic(f)
		}
		panic(fmt.Errorf("executing x87 opcode %#x: %w", uint32(s[0]), err))
	}
	s[0] = r
}

func hostMMX(c *core, s []uint64) {
	r, err := c.x87.MMX(uint32(s[0]), s[1])
	if err != nil {
		panic(err)
	}
	s[0] = r
}

func hostSSE(_ *core, s []uint64) {
	r, mxcsr, fault := x87.SSE(uint32(s[0]), uint32(s[1]), [2]uint64{s[2], s[3]}, [2]uint64{s[4], s[5]})
	s[0], s[1], s[2], s[3] = r[0], r[1], uint64(mxcsr), 0
	if fault {
		s[3] = 1
	}
}

// guestMemory gives the x87 unit access to memory.
type guestMemory struct{ mem *Memory }

// Load implements x87.Memory.
func (g guestMemory) Load(addr uint32, p []byte) error {
	b := g.mem.guest(addr, len(p))
	if b == nil {
		return &guestFault{addr}
	}
	copy(p, b)
	return nil
}

// Store implements x87.Memory.
func (g guestMemory) Store(addr uint32, p []byte) error {
	b := g.mem.guest(addr, len(p))
	if b == nil {
		return &guestFault{addr}
	}
	copy(b, p)
	return nil
}

// The parts of an FXSAVE area (Intel SDM volume 1, table 10-2), in bytes.
const (
	fxsaveSize  = 512
	fxsaveMXCSR = 24
	mxcsrMask   = 0xffff // DAZ is supported
)

func hostFXSave(c *core, s []uint64) {
	area := c.mem.mustGuest(uint32(s[0]), fxsaveSize)
	c.x87.MarshalFXSave(area)
	binary.LittleEndian.PutUint32(area[fxsaveMXCSR:], uint32(s[1]))
	binary.LittleEndian.PutUint32(area[fxsaveMXCSR+4:], mxcsrMask)
}

func hostFXRstor(c *core, s []uint64) {
	c.x87.UnmarshalFXSave(c.mem.mustGuest(uint32(s[0]), fxsaveSize))
}
