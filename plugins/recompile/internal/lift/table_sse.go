package lift

// sseRows are the instructions on xmm registers and MXCSR.
func sseRows() Table {
	return Table{}
}
