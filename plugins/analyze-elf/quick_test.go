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
		length, k, ok := table.quick(code, absolute)
		if !ok {
			continue
		}
		known = true
		in, err := x86.Decode(code, 0x401000)
		if err != nil || in.Len != int(length) || kindOf(&in) != k {
			t.Fatalf("% x: quick says %d bytes, kind %d; the decoder %v, %d bytes, kind %d, %v",
				code, length, k, in.Inst, in.Len, kindOf(&in), err)
		}
		if k != kindPlain {
			continue
		}
		if _, ok := in.Address(1); ok && in.Op == x86asm.LEA {
			t.Fatalf("% x: quick hides the address of %v", code, in.Inst)
		}
		if !absolute {
			continue
		}
		m, i := in.MemArg()
		imm, isImm := in.Args[1].(x86asm.Imm)
		if i >= 0 && m.Base == 0 && m.Index != 0 || isImm && imm > 0xffff && (in.Op == x86asm.MOV || in.Op == x86asm.CMP) {
			t.Fatalf("% x: quick hides an address in %v", code, in.Inst)
		}
	}
	return known
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
