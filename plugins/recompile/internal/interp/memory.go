package interp

import (
	"encoding/binary"
	"fmt"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// Memory is guest memory: windows at guest addresses. Bytes outside of every
// window fault, and so does an access that lies in two.
type Memory []Window

// Window is a piece of guest memory.
type Window struct {
	Base uint32
	Data []byte
}

// FaultError is a guest access outside of memory.
type FaultError struct {
	Addr uint32
	Size int
}

func (e *FaultError) Error() string {
	return fmt.Sprintf("access of %d bytes at %#x is outside of memory", e.Size, e.Addr)
}

// scratch is how much of the machine's scratch page is here: masked loads read
// it in place of elements that they leave out.
const scratch = 16

// At returns the n bytes at addr.
func (m Memory) At(addr uint32, n int) ([]byte, error) {
	if addr >= guestabi.AddrBias && uint64(addr)+uint64(n) <= guestabi.AddrBias+scratch {
		return make([]byte, n), nil
	}
	for _, w := range m {
		off := uint64(addr) - uint64(w.Base)
		if addr >= w.Base && off+uint64(n) <= uint64(len(w.Data)) {
			return w.Data[off:][:n:n], nil
		}
	}
	return nil, &FaultError{addr, n}
}

// Load implements x87.Memory.
func (m Memory) Load(addr uint32, p []byte) error {
	b, err := m.At(addr, len(p))
	copy(p, b)
	return err
}

// Store implements x87.Memory.
func (m Memory) Store(addr uint32, p []byte) error {
	b, err := m.At(addr, len(p))
	copy(b, p)
	return err
}

// ea returns the guest address that in accesses.
func (m *machine) ea(in *ir.Inst) uint32 {
	a := uint32(m.vals[in.Args[0]].Lo) + uint32(in.Imm)
	if in.Imm2 != 0 { // the base is a linear address
		a += guestabi.AddrBias
	}
	return a
}

// linearAddr is the base of such accesses.
func linearAddr(m *machine, in *ir.Inst) (Val, error) {
	return Val{Lo: uint64(uint32(m.vals[in.Args[0]].Lo) + uint32(in.Imm) - guestabi.AddrBias)}, nil
}

func shareAddr(m *machine, in *ir.Inst) (Val, error) {
	if m.shared == nil {
		m.shared = map[int64]Val{}
	}
	m.shared[in.Imm] = m.vals[in.Args[0]]
	return Val{}, nil
}

func sharedAddr(m *machine, in *ir.Inst) (Val, error) { return m.shared[in.Imm], nil }

func readInt(b []byte) uint64 {
	var p [8]byte
	copy(p[:], b)
	return binary.LittleEndian.Uint64(p[:])
}

func writeInt(b []byte, v uint64) {
	var p [8]byte
	binary.LittleEndian.PutUint64(p[:], v)
	copy(b, p[:])
}

// load is a load of the row's size, extended by ext.
func load(ext func(uint64) uint64) handler {
	return func(m *machine, in *ir.Inst) (Val, error) {
		b, err := m.st.Mem.At(m.ea(in), int(ir.Rows[in.Op].Size))
		if err != nil {
			return Val{}, err
		}
		return Val{Lo: ext(readInt(b))}, nil
	}
}

func loadV128(m *machine, in *ir.Inst) (Val, error) {
	b, err := m.st.Mem.At(m.ea(in), 16)
	if err != nil {
		return Val{}, err
	}
	return Val{readInt(b[:8]), readInt(b[8:])}, nil
}

func store(m *machine, in *ir.Inst) (Val, error) {
	b, err := m.st.Mem.At(m.ea(in), int(ir.Rows[in.Op].Size))
	if err != nil {
		return Val{}, err
	}
	v := m.vals[in.Args[1]]
	writeInt(b[:min(8, len(b))], v.Lo)
	if len(b) == 16 {
		writeInt(b[8:], v.Hi)
	}
	return Val{}, nil
}

// rmw is an atomic read-modify-write; its result is the old value.
func rmw(f func(old, arg uint64) uint64) handler {
	return func(m *machine, in *ir.Inst) (Val, error) {
		b, err := m.atomic(in)
		if err != nil {
			return Val{}, err
		}
		old := readInt(b)
		writeInt(b, f(old, m.vals[in.Args[1]].Lo))
		return Val{Lo: old}, nil
	}
}

// cmpxchg compares with the argument as wasm does: not wrapped to the size of
// the access.
func cmpxchg(m *machine, in *ir.Inst) (Val, error) {
	b, err := m.atomic(in)
	if err != nil {
		return Val{}, err
	}
	old := readInt(b)
	if old == m.vals[in.Args[1]].Lo {
		writeInt(b, m.vals[in.Args[2]].Lo)
	}
	return Val{Lo: old}, nil
}

// atomic returns the memory of a read-modify-write, which need not be aligned:
// the lowering asks the host where it is not.
func (m *machine) atomic(in *ir.Inst) ([]byte, error) {
	return m.st.Mem.At(m.ea(in), int(ir.Rows[in.Op].Size))
}

func memCopy(m *machine, in *ir.Inst) (Val, error) {
	n := int(uint32(m.vals[in.Args[2]].Lo))
	dst, err := m.st.Mem.At(uint32(m.vals[in.Args[0]].Lo), n)
	if err != nil {
		return Val{}, err
	}
	src, err := m.st.Mem.At(uint32(m.vals[in.Args[1]].Lo), n)
	if err != nil {
		return Val{}, err
	}
	copy(dst, src)
	return Val{}, nil
}

func memFill(m *machine, in *ir.Inst) (Val, error) {
	dst, err := m.st.Mem.At(uint32(m.vals[in.Args[0]].Lo), int(uint32(m.vals[in.Args[2]].Lo)))
	if err != nil {
		return Val{}, err
	}
	for i := range dst {
		dst[i] = byte(m.vals[in.Args[1]].Lo)
	}
	return Val{}, nil
}
