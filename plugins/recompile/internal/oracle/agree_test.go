package oracle

import (
	"bytes"
	"encoding/binary"
	"syscall"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/sdk/guestabi"
)

// stray reports whether addr, modulo 2^32, is memory of the runner but not of
// the case: its code page.
func stray(addr uint32) bool { return addr-CodePage+64 < MemSize+64 }

// agrees compares an outcome of a sequence with what the CPU gave. Where that is
// a memory fault, the memory of wasm is larger than that of the case, and flags
// that nothing reads afterwards are not kept.
func agrees(want record, t *trial, state int, got Result) bool {
	sig, pc := want.end(len(t.code))
	if binary.LittleEndian.Uint32(want[recFX+fxMXCSR:])>>16 != 0 {
		return true // a bit that AMD has, and our CPUID does not, was loaded from what happened to be there
	}
	if sig == syscall.SIGSEGV {
		in, ok := want.faulting()
		switch {
		case !want.comparable() || got.wasm:
			return true
		case got.Signal != sig || got.PC != pc || !ok:
			return false
		case partial(in):
			return true
		}
	}
	if got.Err != nil || got.Signal != sig {
		return false
	}
	if got.PC != pc && !got.trapped {
		return false
	}
	if !got.trapped && !agreesRegisters(want, got.State, t.cases[state].State.Regs[guestabi.MXCSR].Lo) {
		return false
	}
	st := got.State
	if sig == 0 {
		const all = 1<<guestabi.BitCF | 1<<guestabi.BitPF | 1<<guestabi.BitAF | 1<<guestabi.BitZF | 1<<guestabi.BitSF | 1<<guestabi.BitDF | 1<<guestabi.BitOF
		if (RFLAGS(st)^want.u64(recFlags))&all&^t.undef != 0 {
			return false
		}
	}
	return bytes.Equal(want[recMem:recMem+MemSize], st.Mem[0].Data) && agreesX87(want[recFX:], st)
}

// agreesRegisters compares general and vector registers and MXCSR, which was
// mxcsr before.
func agreesRegisters(want record, st *interp.State, mxcsr uint64) bool {
	for i := range guestabi.NumGPR {
		if want.u64(recGPR+8*i) != st.Regs[i].Lo {
			return false
		}
	}
	for i := range guestabi.NumXMM {
		v := st.Regs[guestabi.XMM0+guestabi.Reg(i)]
		if want.u64(recFX+fxXMM+16*i) != v.Lo || want.u64(recFX+fxXMM+8+16*i) != v.Hi {
			return false
		}
		h := st.Regs[guestabi.YMMH0+guestabi.Reg(i)]
		if want.u64(recYMMH+16*i) != h.Lo || want.u64(recYMMH+8+16*i) != h.Hi {
			return false
		}
	}
	return (st.Regs[guestabi.MXCSR].Lo^uint64(binary.LittleEndian.Uint32(want[recFX+fxMXCSR:])))&mxcsrKept(mxcsr) == 0
}

func agreesX87(want []byte, st *interp.State) bool {
	var fx [512]byte
	st.X87.MarshalFXSave(fx[:])
	le := binary.LittleEndian
	if le.Uint16(want) != le.Uint16(fx[:]) || (le.Uint16(want[2:])^le.Uint16(fx[2:]))&^c1 != 0 || want[4] != fx[4] {
		return false
	}
	for i := range 8 {
		if !bytes.Equal(want[fxST+16*i:][:10], fx[fxST+16*i:][:10]) {
			return false
		}
	}
	return true
}
