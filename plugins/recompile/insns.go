package recompile

import (
	"sort"
	"strings"

	"megabinary.dev/plugins/recompile/internal/lift"
)

// Instruction describes a row of the table of instructions.
type Instruction struct {
	Mnemonic string   `json:"mnemonic"`
	Family   string   `json:"family"`
	Reads    []string `json:"reads,omitempty"`     // status flags that it reads
	Writes   []string `json:"writes,omitempty"`    // status flags that it sets
	Undef    []string `json:"undefined,omitempty"` // status flags that it leaves undefined
	Lock     bool     `json:"lock,omitempty"`      // takes a LOCK prefix
	Absent   bool     `json:"absent,omitempty"`    // raises #UD, because our CPUID denies it
	CPU      string   `json:"cpu,omitempty"`       // the first processor that has it, if it is not x86-64-v2
	Cases    int      `json:"cases"`               // test cases in which it occurs
}

// Instructions describes the table of instructions, by mnemonic.
func Instructions() []Instruction {
	cases := lift.CaseCounts()
	var all []Instruction
	for _, f := range lift.Families() {
		for op, row := range f.Rows {
			if later, _ := lift.Find(op); row.Absent && !later.Absent {
				continue // another family has it, for a later processor
			}
			all = append(all, Instruction{
				Mnemonic: op.String(), Family: f.Name,
				Reads: flagNames(row.Reads), Writes: flagNames(row.Writes), Undef: flagNames(row.Undef),
				Lock: row.Lock, Absent: row.Absent, CPU: f.CPU.Label(), Cases: cases[op.String()],
			})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Mnemonic < all[j].Mnemonic })
	return all
}

func flagNames(f lift.Flags) []string { return strings.Fields(f.String()) }
