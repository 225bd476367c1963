package pass

import (
	"megabinary.dev/plugins/recompile/internal/cfg"
	"megabinary.dev/plugins/recompile/internal/ir"
)

// layout orders f's blocks and finds its loops.
func layout(f *ir.Func) *cfg.Layout {
	roots := []int{0}
	for i, b := range f.Blocks {
		if b.Entry && i != 0 {
			roots = append(roots, i)
		}
	}
	return cfg.Build(ir.Edges(f), roots)
}

// safepoints marks the entries of every loop. Control may come back to the
// function there, so the PC becomes one that can be entered: at the first block
// that has it, because the blocks inside of one guest instruction share its PC
// and the instruction starts anew.
func safepoints(_ *Context, f *ir.Func) {
	l := layout(f)
	first := make(map[uint32]*ir.Block)
	for _, b := range f.Blocks {
		if _, ok := first[b.PC]; !ok && !b.Copy {
			first[b.PC] = b
		}
	}
	for _, loop := range l.Loops {
		for _, e := range loop.Entries {
			b := f.Blocks[e]
			b.Safepoint = true
			if o := first[b.PC]; o != nil {
				o.Entry = true
			}
		}
	}
}
