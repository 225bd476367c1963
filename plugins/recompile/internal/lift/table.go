package lift

import (
	"fmt"
	"sync"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/sdk/guestabi"
)

// Family is a named part of the table; each has its file, table_<name>.go.
type Family struct {
	Name string
	Rows Table
	// CPU is the first processor that has the instructions; its rows stand in
	// for those of earlier families, which fault.
	CPU guestabi.CPU
}

// Families returns all parts of the table.
func Families() []Family {
	return []Family{
		{Name: "arith", Rows: arithRows()},
		{Name: "shift", Rows: shiftRows()},
		{Name: "muldiv", Rows: muldivRows()},
		{Name: "move", Rows: moveRows()},
		{Name: "bit", Rows: bitRows()},
		{Name: "exchange", Rows: compareExchangeRows()},
		{Name: "control", Rows: controlRows()},
		{Name: "flag", Rows: flagRows()},
		{Name: "system", Rows: systemRows()},
		{Name: "string", Rows: stringRows()},
		{Name: "sse", Rows: sseRows()},
		{Name: "crypto", Rows: cryptoRows()},
		{Name: "x87", Rows: x87Rows()},
		{Name: "mmx", Rows: mmxRows()},
		{Name: "vex", Rows: vexRows(), CPU: guestabi.CPUv3},
		{Name: "avx", Rows: avxRows(), CPU: guestabi.CPUv3},
		{Name: "gather", Rows: gatherRows(), CPU: guestabi.CPUv3},
		{Name: "fma", Rows: fmaRows(), CPU: guestabi.CPUv3},
		{Name: "bmi", Rows: bmiRows(), CPU: guestabi.CPUv3},
		{Name: "xsave", Rows: xsaveRows(), CPU: guestabi.CPUv3},
	}
}

// Find returns the row of op on the last processor.
func Find(op x86asm.Op) (Row, bool) {
	row, ok := table(guestabi.CPUv3)[op]
	return row, ok
}

// table returns the whole table for a processor, which nobody changes.
func table(cpu guestabi.CPU) Table { return tables()[cpu] }

var tables = sync.OnceValue(func() [guestabi.CPUv3 + 1]Table {
	var all [guestabi.CPUv3 + 1]Table
	for cpu := range all {
		all[cpu] = merge(guestabi.CPU(cpu))
	}
	return all
})

func merge(cpu guestabi.CPU) Table {
	all := Table{}
	for _, f := range Families() {
		if f.CPU > cpu {
			continue
		}
		for op, row := range f.Rows {
			if before, ok := all[op]; ok && !(before.Absent && f.CPU > 0) {
				panic(fmt.Sprintf("BUG: %s has two rows", op))
			}
			all[op] = row
		}
	}
	for op, f := range carefulRows() {
		row, ok := all[op]
		if !ok {
			panic(fmt.Sprintf("BUG: %s has a careful meaning and no row", op))
		}
		row.Careful = f
		all[op] = row
	}
	return all
}
