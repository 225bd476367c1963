package lift

import (
	"fmt"
	"sync"
)

// Family is a named part of the table; each has its file, table_<name>.go.
type Family struct {
	Name string
	Rows Table
}

// Families returns all parts of the table.
func Families() []Family {
	return []Family{
		{"arith", arithRows()},
		{"shift", shiftRows()},
		{"muldiv", muldivRows()},
		{"move", moveRows()},
		{"bit", bitRows()},
		{"exchange", compareExchangeRows()},
		{"control", controlRows()},
		{"flag", flagRows()},
		{"system", systemRows()},
		{"string", stringRows()},
		{"sse", sseRows()},
		{"x87", x87Rows()},
	}
}

// table returns the whole table, which nobody changes.
var table = sync.OnceValue(func() Table {
	all := Table{}
	for _, f := range Families() {
		for op, row := range f.Rows {
			if _, ok := all[op]; ok {
				panic(fmt.Sprintf("BUG: %s has two rows", op))
			}
			all[op] = row
		}
	}
	return all
})
