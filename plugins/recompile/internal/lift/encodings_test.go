package lift_test

import (
	"errors"
	"testing"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/plugins/recompile/internal/lift"
)

// TestEveryEncoding lifts every opcode under the usual prefixes with operands
// of every kind: whatever the decoder accepts must give valid IR or an
// UnsupportedError, never a panic.
func TestEveryEncoding(t *testing.T) {
	prefixes := [][]byte{{}, {0x66}, {0xf2}, {0xf3}, {0x48}, {0x66, 0x48}, {0xf3, 0x48}, {0xf2, 0x48}, {0xf0}, {0xf0, 0x48}, {0x67}}
	maps := [][]byte{{}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}}
	modes := []byte{0x00, 0x04, 0x05, 0x41, 0xc0, 0xc4} // [rax], SIB, [rip+d], [rcx+d], registers 0 and 4
	tail := []byte{0x25, 1, 2, 3, 4, 5, 6, 7, 8}
	lifted := 0
	for _, prefix := range prefixes {
		for _, m := range maps {
			for op := range 256 {
				for reg := range byte(8) {
					for _, mode := range modes {
						code := append([]byte(nil), prefix...)
						code = append(code, m...)
						code = append(code, byte(op), mode|reg<<3)
						lifted += liftOne(t, append(code, tail...))
					}
				}
			}
		}
	}
	if lifted < 100_000 {
		t.Errorf("only %d encodings were lifted", lifted)
	}
}

// liftOne lifts code, of which the first instruction counts, and returns 1 if
// that is known.
func liftOne(t *testing.T, code []byte) int {
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("% x: panic: %v", code, p)
		}
	}()
	f, err := lift.Bytes(code, 0x1000)
	var unsupported *lift.UnsupportedError
	if err != nil && !errors.As(err, &unsupported) {
		t.Fatalf("% x: %v", code, err)
	}
	if err := ir.Verify(f); err != nil {
		t.Fatalf("% x: %v\n%s", code, err, f)
	}
	if unsupported != nil && unsupported.PC == 0x1000 {
		return 0
	}
	return 1
}
