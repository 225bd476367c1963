package lower

// Line says that a function's wasm code, from Offset up to the next Line's, was
// made from the guest instruction at PC, a link-time address; 0: from none.
type Line struct {
	Offset int // in wasm.Func.Code
	PC     uint32
}

// Lines asks for the Lines of one function, for people who look at it.
type Lines struct {
	PC   uint32             // of the function
	Done func(lines []Line) // called once, if the function is there
}

// lines is what a function knows of its Lines.
type lines struct {
	on  bool
	at  uint32
	all []Line
}

// mark says that code from here on is made from the guest instruction at pc. It
// returns what was marked before.
func (x *fn) mark(pc uint32) (before uint32) {
	l := &x.lines
	before = l.at
	if !l.on || before == pc {
		return before
	}
	l.at = pc
	if n := len(l.all); n > 0 && l.all[n-1].Offset == x.body.Len() {
		l.all = l.all[:n-1]
	}
	l.all = append(l.all, Line{x.body.Len(), pc})
	return before
}
