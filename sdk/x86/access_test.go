package x86

import (
	"slices"
	"testing"
)

func TestAccesses(t *testing.T) {
	const fs, gs = 0x10000, 0x20000
	regs := [16]uint64{0: 0x100, 1: 3, 3: 0x1_0000_0010, 4: 0x7000, 5: 0x7100, 6: 0x600, 7: 0x500}
	for _, c := range []struct {
		name string
		code []byte
		want []Access
	}{
		{"mov (%rax),%ecx", []byte{0x8b, 0x08}, []Access{{0x100, 4, false}}},
		{"mov %rcx,8(%rax,%rcx,8)", []byte{0x48, 0x89, 0x4c, 0xc8, 0x08}, []Access{{0x120, 8, true}}},
		{"cmpl $1,(%rax)", []byte{0x83, 0x38, 0x01}, []Access{{0x100, 4, false}}},
		{"lea 8(%rax),%rcx", []byte{0x48, 0x8d, 0x48, 0x08}, nil},
		{"mov 0x10(%rip),%eax", []byte{0x8b, 0x05, 0x10, 0, 0, 0}, []Access{{0x401016, 4, false}}},
		{"mov %fs:8(%rax),%rcx", []byte{0x64, 0x48, 0x8b, 0x48, 0x08}, []Access{{0x10108, 8, false}}},
		{"mov (%ebx),%eax", []byte{0x67, 0x8b, 0x03}, []Access{{0x10, 4, false}}},
		{"push (%rax)", []byte{0xff, 0x30}, []Access{{0x100, 8, false}, {0x6ff8, 8, true}}},
		{"pop (%rax)", []byte{0x8f, 0x00}, []Access{{0x7000, 8, false}, {0x100, 8, true}}},
		{"call *(%rax)", []byte{0xff, 0x10}, []Access{{0x100, 8, false}, {0x6ff8, 8, true}}},
		{"ret", []byte{0xc3}, []Access{{0x7000, 8, false}}},
		{"leave", []byte{0xc9}, []Access{{0x7100, 8, false}}},
		{"rep movsb", []byte{0xf3, 0xa4}, []Access{{0x500, 1, true}, {0x600, 1, false}}},
		{"repne scasb", []byte{0xf2, 0xae}, []Access{{0x500, 1, false}}},
		{"movups %xmm0,(%rax)", []byte{0x0f, 0x11, 0x00}, []Access{{0x100, 16, true}}},
		{"idivq (%rax)", []byte{0x48, 0xf7, 0x38}, []Access{{0x100, 8, false}}},
	} {
		in, err := Decode(c.code, 0x401000)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := in.Accesses(&regs, fs, gs); !slices.Equal(got, c.want) {
			t.Errorf("%s accesses %+v, want %+v", c.name, got, c.want)
		}
	}
}
