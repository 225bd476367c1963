package analyzeelf

import (
	"math/rand"
	"os"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/sdk/x86"
)

// checkQuick holds quick against the decoder on one instruction.
func checkQuick(t *testing.T, table *formTable, code []byte) (known bool) {
	t.Helper()
	for _, absolute := range []bool{false, true} {
		q, ok := table.quick(code, absolute)
		if !ok {
			continue
		}
		known = true
		in, err := x86.Decode(code, 0x401000)
		if err != nil || in.Len != int(q.length) || kindOf(&in) != q.kind {
			t.Fatalf("% x: quick says %d bytes, kind %d; the decoder %v, %d bytes, kind %d, %v",
				code, q.length, q.kind, in.Inst, in.Len, kindOf(&in), err)
		}
		checkRef(t, &in, q, absolute)
	}
	return known
}

// checkRef holds the address that quick names against the operands.
func checkRef(t *testing.T, in *x86.Inst, q quick, absolute bool) {
	t.Helper()
	var want ref
	var value int64
	m, i := in.MemArg()
	imm, isImm := in.Args[0].(x86asm.Imm)
	if in.Op != x86asm.PUSH {
		imm, isImm = in.Args[1].(x86asm.Imm)
	}
	if i >= 0 && absolute && m.Base == 0 && m.Index != 0 && in.Op != x86asm.LEA {
		want, value = refTable, m.Disp
	}
	if addr, ok := in.Address(1); ok && in.Op == x86asm.LEA {
		want, value = refLEA, int64(addr)-int64(in.Next())
	}
	if isImm && absolute && imm > 0xffff && (in.Op == x86asm.MOV || in.Op == x86asm.CMP || in.Op == x86asm.PUSH) {
		want, value = refImm, int64(imm)
	}
	if q.ref != want && !(q.ref == refImm && isImm && imm <= 0xffff) {
		t.Fatalf("%v: quick names %d, want %d", in.Inst, q.ref, want)
	}
	if want != refNone && int64(int32(le.Uint32(in.Bytes[q.at:]))) != value {
		t.Fatalf("%v: the address is not at offset %d", in.Inst, q.at)
	}
}

// TestQuick goes through all opcodes of the two maps with every ModR/M byte.
func TestQuick(t *testing.T) {
	table := newFormTable()
	code := make([]byte, 15)
	for _, prefix := range [][]byte{nil, {0x66}, {0xf3}, {0xf2}} {
		for _, rex := range [][]byte{nil, {0x40}, {0x48}, {0x41}, {0x4f}} {
			for _, escape := range [][]byte{nil, {0x0f}} {
				for op := range 256 {
					for modrm := range 256 {
						head := append(append(append(code[:0], prefix...), rex...), escape...)
						head = append(head, byte(op), byte(modrm))
						for i := len(head); i < 15; i++ {
							code[i] = byte(0x25 + i*37)
						}
						checkQuick(t, table, code)
					}
				}
			}
		}
	}
	rnd := rand.New(rand.NewSource(1))
	for range 300_000 {
		for i := range code {
			code[i] = byte(rnd.Intn(256))
		}
		checkQuick(t, table, code)
	}
}

func TestQuickOnBusybox(t *testing.T) {
	p, data := analyzeFile(t, "/bin/busybox")
	m := newModel(p, data)
	table := newFormTable()
	total, known := 0, 0
	for _, start := range m.starts {
		end := start + uint64(m.blocks[start].Size)
		for at := start; at < end; {
			code := m.bytes(at, 15)
			if code == nil {
				break
			}
			total++
			if checkQuick(t, table, code) {
				known++
			}
			in, err := x86.Decode(code, at)
			if err != nil {
				t.Fatal(err)
			}
			at = in.Next()
		}
	}
	t.Logf("%d of %d instructions are quick", known, total)
	if known*10 < total*8 {
		t.Error("fewer than 80 %")
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Fatalf("%v (install the Debian package busybox-static)", err)
	}
}
