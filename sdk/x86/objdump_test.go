package x86

import (
	"bufio"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestAgreesWithObjdump decodes every instruction that objdump finds in the text
// of real programs and compares the lengths.
func TestAgreesWithObjdump(t *testing.T) {
	for _, c := range []struct {
		path, debian string
		maxUnknown   float64 // instructions per million
	}{
		{"/bin/busybox", "busybox-static", 200},
		{"/lib/x86_64-linux-gnu/libc.so.6", "libc6", 500},
		{"/lib/x86_64-linux-gnu/libm.so.6", "libc6", 10000},
	} {
		t.Run(c.debian, func(t *testing.T) {
			compareWithObjdump(t, c.path, c.debian, c.maxUnknown)
		})
	}
}

func compareWithObjdump(t *testing.T, path, debian string, maxUnknown float64) {
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v (install the Debian package %s)", err, debian)
	}
	objdump, err := exec.LookPath("objdump")
	if err != nil {
		t.Fatal("objdump is missing (install the Debian package binutils)")
	}
	text, base := textOf(t, path)
	cmd := exec.Command(objdump, "-d", "-w", "--section=.text", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var total, unknown, wrong int
	byReason := map[string]int{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		pc, length, dis, ok := parseObjdump(lines.Text())
		if !ok {
			continue
		}
		total++
		in, err := Decode(text[pc-base:], pc)
		got := in.Len
		if err == nil && in.Bytes[0] == 0x9b && length > 1 { // objdump joins FWAIT and what follows
			if next, err := Decode(text[pc-base+1:], pc+1); err == nil {
				got += next.Len
			}
		}
		switch {
		case strings.Contains(dis, "(bad)") || strings.HasPrefix(dis, ".byte"):
		case err != nil:
			unknown++
			var bad *DecodeError
			if errors.As(err, &bad) && bad.Len != 0 && bad.Len != length {
				t.Errorf("%#x: %s has %d bytes, %v has %d", pc, dis, length, err, bad.Len)
			}
			byReason[strings.Fields(dis)[0]]++
		case got != length:
			if wrong++; wrong < 20 {
				t.Errorf("%#x: %s has %d bytes, %v has %d", pc, dis, length, in.Inst, got)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	rate := float64(unknown) / float64(total) * 1e6
	t.Logf("%d instructions, %d of another length, %d unknown (%.0f per million): %v", total, wrong, unknown, rate, byReason)
	if total < 100_000 || rate > maxUnknown {
		t.Errorf("%d of %d instructions are unknown, want at most %.0f per million", unknown, total, maxUnknown)
	}
}

// parseObjdump splits a line like "  401000:\tf3 0f 1e fa          \tendbr64".
func parseObjdump(line string) (pc uint64, length int, dis string, ok bool) {
	addr, rest, ok1 := strings.Cut(line, ":\t")
	code, dis, ok2 := strings.Cut(rest, "\t")
	if !ok1 || !ok2 {
		return 0, 0, "", false
	}
	pc, err := strconv.ParseUint(strings.TrimSpace(addr), 16, 64)
	return pc, len(strings.Fields(code)), dis, err == nil
}

func textOf(t *testing.T, path string) ([]byte, uint64) {
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := f.Section(".text")
	data, err := s.Data()
	if err != nil {
		t.Fatal(err)
	}
	return data, s.Addr
}
