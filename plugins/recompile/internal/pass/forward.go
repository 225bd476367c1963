package pass

import (
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// forward replaces reads of registers by the value that the block has last
// written or read, and removes writes of what the register holds already.
func forward(c *Context, f *ir.Func) {
	var known [guestabi.EndRegs]ir.Value
	for _, b := range f.Blocks {
		for i := range known {
			known[i] = ir.None
		}
		c.ids = resize(c.ids, len(b.Insts))
		alias := c.ids
		for i := range b.Insts {
			in := &b.Insts[i]
			alias[i] = ir.Value(i)
			eachArg(in, func(v *ir.Value) { *v = alias[*v] })
			switch in.Op {
			case ir.Get:
				if v := known[in.Reg]; v != ir.None {
					alias[i] = v
				} else {
					known[in.Reg] = ir.Value(i)
				}
			case ir.Set:
				if known[in.Reg] == in.Args[0] {
					kill(in)
				} else {
					known[in.Reg] = in.Args[0]
				}
			}
		}
		if v := termValue(&b.Term); v != nil {
			*v = alias[*v]
		}
	}
}
