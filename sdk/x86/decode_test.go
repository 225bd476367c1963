package x86

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDecode holds each fault of x86asm that this package mends.
func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"disp32 is sign-extended", "488b8000ffffff", "MOV RAX, [RAX-0x100]"},
		{"RIP-relative disp32 is sign-extended", "488b05f9ffffff", "MOV RAX, [RIP-0x7]"},
		{"moffs64 is a whole address", "48a110000000000000ff", "MOV RAX, [-0xfffffffffffff0]"},
		{"moffs32 is not sign-extended", "67a1100000ff", "ADDR32 MOV EAX, [+0xff000010]"},
		{"SIB without an index", "64488b042528000000", "MOV RAX, [+0x28]"},
		{"VEX is RIP-relative", "c5fb100510000000", "VMOVSD X0, [RIP+0x10]"},
		{"vzeroupper has no ModR/M", "c5f877 4889c0", "VZEROUPPER"},
		{"vzeroall has no ModR/M", "c5fc77 0505050505", "VZEROALL"},
		{"vzeroupper with the long prefix", "c4e17877 05", "VZEROUPPER"},
		{"VEX after a segment prefix", "64c5fb1000", "VMOVSD X0, [RAX]"},
		{"endbr64", "f30f1efa 90", "NOP"},
		{"rdsspq", "f3480f1ec8", "NOP"},
		{"hint nop with SIB and disp32", "0f1e842411223344", "NOP"},
		{"long nop", "66660f1f840000000000", "DATA16 NOP [RAX+RAX]"},
		{"rep bsf is tzcnt", "f30fbcc1", "TZCNT EAX, ECX"},
		{"rep ret", "f3c3", "RET"},
		{"bnd jmp", "f2ff20", "JMP [RAX]"},
		{"notrack jmp", "3effe0", "JMP RAX"},
		{"fstcw is two instructions", "9bd93f", "FWAIT"},
		{"call with addr32", "67e800000000", "ADDR32 CALL .+0"},
		{"rdfsbase keeps its prefix", "f3480faec0", "RDFSBASE RAX"},
		{"lfence", "0faee8", "LFENCE"},
		{"ADDR32 effective address", "678d0408", "LEA EAX, [EAX+ECX]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, _, _ := strings.Cut(c.code, " ")
			in, err := Decode(unhex(t, c.code), 0x1000)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.NewReplacer("+-", "-").Replace(in.String())
			for i := 0; i < len(in.Prefix) && in.Prefix[i] != 0; i++ { // keep only what says something
				for _, p := range []string{"Prefix(0xc5) ", "Prefix(0xf8) ", "Prefix(0xfc) ", "Prefix(0xc4) ", "Prefix(0xe1) ",
					"Prefix(0x78) ", "Prefix(0xfb) ", "REP ", "BND ", "DS "} {
					got = strings.TrimPrefix(got, p)
				}
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if c.name != "fstcw is two instructions" && in.Len != len(unhex(t, first)) {
				t.Errorf("length %d, want %d", in.Len, len(first)/2)
			}
			if in.PC != 0x1000 || in.Next() != 0x1000+uint64(in.Len) || len(in.Bytes) != in.Len {
				t.Errorf("PC %#x, next %#x, %d bytes", in.PC, in.Next(), len(in.Bytes))
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ name, code, reason string }{
		{"nothing", "", "no bytes"},
		{"adcx", "660f38f6c0", "ADX"},
		{"adox", "f30f38f6c0", "ADX"},
		{"incsspq", "f3480faee8", "CET"},
		{"tpause", "660faef0", "CET or WAITPKG"},
		{"lock mov", "f048890f", "LOCK before"},
		{"lock inc register", "f0ffc0", "LOCK before"},
		{"call with a 16-bit operand", "66e800000000", "operand-size prefix"},
		{"ret with a 16-bit operand", "66c3", "operand-size prefix"},
		{"lone prefix", "f3", "unknown instruction"},
		{"fifteen prefixes", "666666666666666666666666666666", "unknown instruction"},
		{"push es", "06", "unknown instruction"},
		{"cut off", "48b8112233", "unknown instruction"},
		{"VEX cut off before ModR/M", "c5f810", "truncated vector instruction"},
		{"VEX cut off", "c4", "truncated vector instruction"},
		{"EVEX map 5", "62f57e481000", "AVX-512"},
		{"rdpkru", "0f01ee", "PKU"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := Decode(unhex(t, c.code), 0x40)
			var bad *DecodeError
			if !errors.As(err, &bad) {
				t.Fatalf("decoded as %v, error %v", in, err)
			}
			if bad.PC != 0x40 || !strings.Contains(bad.Reason, c.reason) || len(bad.Bytes) != len(c.code)/2 {
				t.Errorf("%v, want %q", err, c.reason)
			}
		})
	}
}

// TestLayout holds the lengths of instructions that are refused but whose
// extension is known.
func TestLayout(t *testing.T) {
	for _, c := range []struct {
		name, code string // a space ends the instruction
		len        int
	}{
		{"adcx", "664c0f38f6c9 c4", 6},
		{"adox with memory", "f34c0f38f643e0 66", 7},
		{"incsspq", "f3480faee8 90", 5},
		{"rdseed", "480fc7f8 90", 4},
		{"rdpkru", "0f01ee 90", 3},
		{"fma4", "c4e3f96bc210 c3", 6},
		{"fma4 with memory", "c4e3796b0d7e710300 20", 10},
		{"xop rotate", "8fe878c2ec0e 41", 6},
		{"xop map 9", "8fe97812c0 90", 5},
		{"xop map 10", "8fea781000 11223344", 9},
		{"padlock", "f30fa7c8 66", 4},
		{"xstore", "0fa7c0 89", 3},
		{"avx-512 fp16", "62f57e481000 90", 6},
		{"pop, not xop", "8fc0 06", 0},
		{"push es", "06 90 90 90", 0},
		{"lock mov", "f048890f 90", 0},
		{"cut off in an xop immediate", "8fe878c2ec", 0},
		{"cut off in a displacement", "c4e3796b0d7e71", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := Decode(unhex(t, c.code), 0x40)
			var bad *DecodeError
			if !errors.As(err, &bad) {
				if c.len != 0 || err != nil {
					t.Fatalf("decoded as %v, error %v", in, err)
				}
				return
			}
			if bad.Len != c.len {
				t.Errorf("%v: length %d, want %d", err, bad.Len, c.len)
			}
		})
	}
}

func TestPrefixes(t *testing.T) {
	for _, c := range []struct {
		code             string
		lock, rep, repne bool
	}{
		{"f00fc10f", true, false, false},
		{"0fc10f", false, false, false},
		{"f3a4", false, true, false},
		{"f2ae", false, false, true},
		{"f3c3", false, false, false},
		{"f30fbcc0", false, false, false},
		{"f20f10c1", false, false, false},
		{"f0f20fc10f", true, false, false}, // xacquire
	} {
		in, err := Decode(unhex(t, c.code), 0)
		if err != nil || in.Lock != c.lock || in.Rep != c.rep || in.Repne != c.repne {
			t.Errorf("%s: lock %v rep %v repne %v, error %v", c.code, in.Lock, in.Rep, in.Repne, err)
		}
	}
}

func TestArgSize(t *testing.T) {
	for _, c := range []struct {
		code string
		want []int
	}{
		{"00d8", []int{1, 1}},           // add al, bl
		{"6601d8", []int{2, 2}},         // add ax, bx
		{"01d8", []int{4, 4}},           // add eax, ebx
		{"4801d8", []int{8, 8}},         // add rax, rbx
		{"660fefc1", []int{16, 16}},     // pxor xmm0, xmm1
		{"0fefc1", []int{8, 8}},         // pxor mm0, mm1
		{"0fb600", []int{4, 1}},         // movzx eax, byte [rax]
		{"480fbf00", []int{8, 2}},       // movsx rax, word [rax]
		{"486300", []int{8, 4}},         // movsxd rax, dword [rax]
		{"6a05", []int{8}},              // push 5
		{"666a05", []int{2}},            // push word 5
		{"50", []int{8}},                // push rax
		{"ff30", []int{8}},              // push [rax]
		{"83c005", []int{4, 4}},         // add eax, 5
		{"c60005", []int{1, 1}},         // mov byte [rax], 5
		{"db28", []int{10}},             // fld tbyte [rax]
		{"dd00", []int{8}},              // fld qword [rax]
		{"d930", []int{28}},             // fnstenv
		{"0fae00", []int{512}},          // fxsave
		{"488d00", []int{8, 0}},         // lea
		{"a4", []int{1, 1}},             // movsb
		{"48a5", []int{8, 8}},           // movsq
		{"66ab", []int{2, 2}},           // stosw
		{"f20f1000", []int{16, 8}},      // movsd xmm0, [rax]
		{"c5fc1000", []int{32, 32}},     // vmovups ymm0, [rax]
		{"62f17c481000", []int{64, 64}}, // vmovups zmm0, [rax]
		{"d9c1", []int{10, 10}},         // fld st1
		{"c20800", []int{2}},            // ret 8
		{"e800000000", []int{8}},        // call
		{"480fc70f", []int{16}},         // cmpxchg16b
		{"f20f38f0c1", []int{4, 1}},     // crc32 eax, cl
	} {
		in, err := Decode(unhex(t, c.code), 0)
		if err != nil {
			t.Error(err)
			continue
		}
		for i, want := range c.want {
			if i == 1 && in.Op == x86asm.FLD {
				continue
			}
			if got := in.ArgSize(i); got != want {
				t.Errorf("%v: argument %d has %d bytes, want %d", in.Inst, i, got, want)
			}
		}
	}
}

func TestFlow(t *testing.T) {
	for _, c := range []struct {
		code   string
		target uint64 // 0: none
		ends   bool
		falls  bool
	}{
		{"e8fb0f0000", 0x2000, true, true},
		{"ebfe", 0x1000, true, false},
		{"74fe", 0x1000, true, true},
		{"e2fe", 0x1000, true, true},
		{"67e3fd", 0x1000, true, true},
		{"ffe0", 0, true, false},
		{"ffd0", 0, true, true},
		{"c3", 0, true, false},
		{"0f05", 0, true, true},
		{"0f0b", 0, true, false},
		{"cc", 0, true, false},
		{"f4", 0, true, false},
		{"90", 0, false, true},
		{"c7f800000000", 0, false, true}, // xbegin
	} {
		in, err := Decode(unhex(t, c.code), 0x1000)
		if err != nil {
			t.Error(err)
			continue
		}
		target, ok := in.DirectTarget()
		if ok != (c.target != 0) || ok && target != c.target {
			t.Errorf("%v: target %#x %v, want %#x", in.Inst, target, ok, c.target)
		}
		if in.EndsBlock() != c.ends || in.FallsThrough() != c.falls {
			t.Errorf("%v: ends %v falls through %v", in.Inst, in.EndsBlock(), in.FallsThrough())
		}
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct {
		code string
		want uint64
		ok   bool
	}{
		{"488b05f9ffffff", 0x1000, true},
		{"67488b05f8ffffff", 0x1000, true},
		{"488b042500100000", 0x1000, true},
		{"64488b042528000000", 0, false},
		{"488b00", 0, false},
		{"c5fb100510000000", 0x1018, true},
	} {
		in, err := Decode(unhex(t, c.code), 0x1000)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, ok := in.Address(1); got != c.want || ok != c.ok {
			t.Errorf("%v: %#x %v, want %#x %v", in.Inst, got, ok, c.want, c.ok)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"f30f1efa", "c5f877", "62f17c481000", "64c5fb1000", "f0480fb10f", "66666666662e0f1f840000000000"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		in, err := Decode(code, 0x1000)
		if err != nil {
			var bad *DecodeError
			if !errors.As(err, &bad) {
				t.Fatalf("%T is not a DecodeError", err)
			}
			if bad.Len < 0 || bad.Len > len(code) || bad.Len > maxLen {
				t.Fatalf("%x: a refused instruction has length %d", code, bad.Len)
			}
			return
		}
		if in.Op == 0 || in.Len <= 0 || in.Len > maxLen || in.Len > len(code) || len(in.Bytes) != in.Len {
			t.Fatalf("%x: %v has length %d", code, in.Inst, in.Len)
		}
		for i := range in.Args {
			in.ArgSize(i)
		}
		in.DirectTarget()
		// What follows the instruction must not change it.
		if again, err := Decode(in.Bytes, 0x1000); err != nil || again.Inst != in.Inst {
			t.Fatalf("%x alone: %v, %v", in.Bytes, again.Inst, err)
		}
	})
}
