package x87

import "fmt"

// Memory is guest memory as x87 instructions use it. An error is a fault of the
// guest's access.
type Memory interface {
	// Load reads len(p) bytes at the guest address addr.
	Load(addr uint32, p []byte) error
	// Store writes p at the guest address addr.
	Store(addr uint32, p []byte) error
}

// Exec executes one x87 instruction. op is (escape opcode - 0xd8)<<8 | modrm,
// with ZF, PF and CF in bits 16 to 18 for fcmovcc; addr is the guest address of
// the memory operand, if it has one. The result is that of guestabi.FuncX87.
func (s *State) Exec(op, addr uint32, mem Memory) (uint64, error) {
	return 0, fmt.Errorf("executing x87 opcode %#x: not implemented", op)
}
