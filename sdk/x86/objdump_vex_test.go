package x86

import (
	"bufio"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"
)

var (
	registerName = regexp.MustCompile(`\b(?:k[0-7]|[xy]mm\d+|r\d+[dwb]?|[er]?(?:ax|bx|cx|dx|si|di|bp|sp|ip))\b`)
	number       = regexp.MustCompile(`0x[0-9a-f]+$`)
	fma4         = regexp.MustCompile(`^vfn?m(?:add|sub)[ps][sd] `) // of AMD, which no guest has
	target       = regexp.MustCompile(`# ([0-9a-f]+)`)
)

// TestVEXAgreesWithObjdump compares mnemonic, registers, immediates and
// addresses of the VEX instructions of libc and libm.
func TestVEXAgreesWithObjdump(t *testing.T) {
	total := 0
	for _, path := range []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libm.so.6"} {
		text, base := textOf(t, path)
		cmd := exec.Command("objdump", "-d", "-w", "-M", "intel", "--section=.text", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wrong := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			pc, _, dis, ok := parseObjdump(lines.Text())
			code := text
			if ok {
				code = text[pc-base:]
			}
			if !ok || code[0] != vex2 && code[0] != vex3 || strings.Contains(dis, "(bad)") || fma4.MatchString(dis) {
				continue
			}
			total++
			if got, want := describe(t, code, pc), describeObjdump(dis); got != want {
				if wrong++; wrong < 10 {
					t.Errorf("%s %#x: % x: %q is %q to objdump (%s)", path, pc, code[:8], got, want, dis)
				}
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d instructions", total)
	if total < 10_000 {
		t.Errorf("only %d instructions of VEX", total)
	}
}

// describe decodes code: its mnemonic, then the registers that it names, then
// its immediate, then the address that it names if that is constant.
func describe(t *testing.T, code []byte, pc uint64) string {
	t.Helper()
	in, err := Decode(code, pc)
	if err != nil {
		return err.Error()
	}
	words := []string{strings.ToLower(in.Op.String())}
	add := func(r x86asm.Reg) {
		if r != 0 {
			words = append(words, strings.ToLower(x86asm.IntelSyntax(x86asm.Inst{Op: x86asm.PUSH, Args: x86asm.Args{r}, Mode: 64}, 0, nil)[len("push "):]))
		}
	}
	var imm, address string
	for i, a := range in.Args {
		switch a := a.(type) {
		case x86asm.Reg:
			add(a)
		case x86asm.Mem:
			add(a.Base)
			add(a.Index)
			if at, ok := in.Address(i); ok {
				address = strconv.FormatUint(at, 16)
			}
		case x86asm.Imm:
			imm = strconv.FormatUint(uint64(a)&0xff, 16)
		}
	}
	slices.Sort(words[1:])
	return strings.Join(append(words, imm, address), " ")
}

func describeObjdump(dis string) string {
	dis, comment, _ := strings.Cut(dis, "#")
	op, operands, _ := strings.Cut(strings.TrimSpace(dis), " ")
	var imm, address string
	last := operands[strings.LastIndexByte(operands, ',')+1:]
	if !strings.Contains(last, "[") {
		imm = strings.TrimPrefix(number.FindString(strings.TrimSpace(last)), "0x")
	}
	// cmpltps and its like hold the immediate in their name.
	if m := regexp.MustCompile(`^vcmp([a-z_]*)([ps][sd])$`).FindStringSubmatch(op); m != nil && m[1] != "" {
		op, imm = "vcmp"+m[2], strconv.FormatInt(int64(slices.Index(predicates, m[1])), 16)
	}
	if m := target.FindStringSubmatch("#" + comment); m != nil {
		address = m[1]
	}
	words := append([]string{op}, registerName.FindAllString(operands, -1)...)
	slices.Sort(words[1:])
	return strings.Join(append(words, imm, address), " ")
}

// predicates are the suffixes of vcmpps, by immediate.
var predicates = strings.Fields("eq lt le unord neq nlt nle ord eq_uq nge ngt false neq_oq ge gt true " +
	"eq_os lt_oq le_oq unord_s neq_us nlt_uq nle_uq ord_s eq_us nge_uq ngt_uq false_os neq_os ge_oq gt_oq true_us")
