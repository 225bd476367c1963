package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestInsns(t *testing.T) {
	code, out, stderr := megabin(t, "insns", "adc", "ADD")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[1], "adc ") || !strings.Contains(lines[1], "CPAZSO") {
		t.Errorf("megabin insns adc add printed\n%s", out)
	}
}

func TestInsnsJSON(t *testing.T) {
	_, out, _ := megabin(t, "insns", "--json")
	var rows []struct {
		Mnemonic, Family string
		Writes           []string
		Cases            int
	}
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatal(err)
	}
	found := false
	for i, r := range rows {
		if i > 0 && rows[i-1].Mnemonic >= r.Mnemonic {
			t.Errorf("%s comes after %s", r.Mnemonic, rows[i-1].Mnemonic)
		}
		if r.Mnemonic == "ADD" {
			found = r.Family == "arith" && len(r.Writes) == 6 && r.Cases > 10
		}
	}
	if !found {
		t.Error("no row, or a wrong one, for ADD")
	}
}

func TestInsnsUnknown(t *testing.T) {
	code, _, stderr := megabin(t, "insns", "frobnicate")
	if code != exitFailure || !strings.Contains(stderr, "no instruction frobnicate in the table") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}
