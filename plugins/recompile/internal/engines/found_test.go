package engines

import (
	"encoding/hex"
	"testing"

	"megabinary.dev/plugins/recompile"
)

// found are programs, made small, in which the engines differed, each with the
// fault of wazero that lower now avoids.
var found = []struct {
	name    string
	program func() Program
}{
	{"v128.bitselect whose temporary is spilled beside a call", func() Program {
		return Program{class{name: "integers"}, [][]*statement{{{
			kind: intoLoop, form: testFirst, n: 2, cc: 4, body: []*statement{
				{code: unhex("498d8ff42486f1" + // lea rcx, [r15-0xe79db0c]
					"4ad9fc" + // frndint: a call of the host
					"0dad69080f")}, // or eax, 0xf0869ad
				{code: unhex("4d8d9f20100000" + // lea r11, [r15+0x1020]
					"664f0f141b" + // unpcklpd xmm11, [r11]
					"4d8d97004a92ba" + // lea r10, [r15-0x456db600]
					"66410f38109200c66d45")}, // pblendvb xmm2, [r10+0x456dc600]
			},
		}}}}
	}},
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return b
}

// TestFoundFaults runs each program from a few states.
func TestFoundFaults(t *testing.T) {
	for _, f := range found {
		for seed := range uint64(8) {
			tr := trial{f.program(), seed}
			compiled, interpreted, _, err := runBoth([]trial{tr}, recompile.Options{}, false)
			if err != nil {
				t.Fatal(err)
			}
			if text := compiled[0].differs(interpreted[0], tr.program.class); text != "" {
				t.Errorf("%s, state %d:\n%s", f.name, seed, text)
			}
		}
	}
}
