// Package recompiletest breaks the recompiler on purpose, for tests of what
// looks for faults in it. The product does not import it.
package recompiletest

import (
	"megabinary.dev/plugins/recompile"
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/stage"
)

// BrokenFunction is the name of the functions that the pass BrokenPass of Stage
// gets wrong: it turns their first addition into a subtraction.
const (
	BrokenFunction = "broken_on_purpose"
	BrokenPass     = "forward"
)

// Stage is the recompile stage with a pass that is broken.
func Stage() stage.Stage {
	return recompile.StageAfter(func(pass string, f *ir.Func) {
		if pass != BrokenPass || f.Name != BrokenFunction {
			return
		}
		wrong := map[ir.Op]ir.Op{ir.I32Add: ir.I32Sub, ir.I64Add: ir.I64Sub}
		for _, b := range f.Blocks {
			for i := range b.Insts {
				if op, ok := wrong[b.Insts[i].Op]; ok {
					b.Insts[i].Op = op
					return
				}
			}
		}
	})
}
