package pass

import "megabinary.dev/plugins/recompile/internal/ir"

func splitNodes(_ *Context, _ *ir.Func) {}
