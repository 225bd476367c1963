package lift

// x87Rows are the x87 instructions.
func x87Rows() Table {
	return Table{}
}
