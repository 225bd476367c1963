package x86

import "testing"

func TestExtension(t *testing.T) {
	for code, want := range map[string]string{
		"01d8":             "",    // add
		"660f3a0fc108":     "",    // palignr
		"f20f38f0c1":       "",    // crc32
		"f30fbcc1":         "",    // tzcnt, as rep bsf
		"660f38dcc1":       "AES", // aesenc
		"660f3a44c100":     "PCLMULQDQ",
		"0f38cbc1":         "SHA",     // sha256rnds2
		"c5fb100510000000": "AVX",     // vmovsd
		"64c5fb1000":       "AVX",     // behind a segment prefix
		"c4e2fbf6c1":       "BMI2",    // mulx
		"c4e278f2c1":       "BMI1",    // andn
		"62f17c481000":     "AVX-512", // vmovups zmm
		"c5f892c0":         "AVX-512", // kmovw
		"0f01d0":           "XSAVE",   // xgetbv
		"664c0f38f6c9":     "ADX or shadow stacks",
		"c4e3f96bc210":     "FMA4",
		"8fe878c2ec0e":     "XOP",
		"f30fa7c8":         "PadLock",
		"f3480faee8":       "CET or WAITPKG",
		"480fc7f8":         "RDSEED, PKU or another of groups 7 and 9",
		"06":               "", // no instruction at all
		"f0890f":           "", // LOCK before MOV
	} {
		in, err := Decode(unhex(t, code), 0x40)
		got := RefusedExtension(err)
		if err == nil {
			got = Extension(&in)
		}
		if got != want {
			t.Errorf("%s (%v, %v) is of %q, want %q", code, in.Inst, err, got, want)
		}
	}
}
