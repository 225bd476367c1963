// Package pass improves IR functions before they are lowered. wazero does no
// common subexpression elimination, constant folding, dead store elimination of
// globals or loop-invariant code motion: what is not done here is not done.
package pass

import (
	"fmt"

	"megabinary.dev/plugins/recompile/internal/ir"
)

// Context is what passes over functions share, one function after the other.
type Context struct {
	Flags *FlagSummary

	simplifier *simplifier // nil: none yet
	// Buffers that are used again.
	used  []bool
	ids   []ir.Value
	insts []ir.Inst
}

// Pass is one step over a function.
type Pass struct {
	Name     string
	Required bool // runs at -O0 and cannot be disabled
	Run      func(c *Context, f *ir.Func)
}

// Passes returns the passes in the order in which they run.
func Passes() []Pass {
	return []Pass{
		{Name: "unreachable", Run: unreachable, Required: true}, // so that no pass looks at what cannot run
		{Name: "stackpos", Run: stackPositions, Required: true}, // while every write of rsp is there
		{Name: "deadregs", Run: deadRegs},                       // first: most flags are overwritten unread, and nothing below should look at what computes them
		{Name: "deadcode", Run: deadCode},                       // what computed them
		{Name: "merge", Run: mergeBlocks},                       // longer blocks for the passes that look at one block
		{Name: "split", Run: splitNodes},                        // irreducible loops become reducible, before loops are looked for
		{Name: "forward", Run: forward},                         // a register's value instead of the register
		{Name: "simplify", Run: simplify},                       // folding, narrowing and value numbering feed each other, so they are one walk
		{Name: "deadregs2", Run: deadRegs},                      // merging and forwarding left registers that nothing reads
		{Name: "deadcode2", Run: deadCode},                      //
		{Name: "unroll", Run: unroll},                           // before safepoints, of which the copies need none
		{Name: "safepoints", Run: safepoints, Required: true},   // needs the final loops; before promotion, which must know about the entries
		{Name: "promote", Run: promote},                         // needs the uses that are left
		{Name: "deadcode3", Run: deadCode},                      // vectors that became pairs of scalars
		{Name: "addrbase", Run: addressBases},                   // last: nothing above knows linear addresses
	}
}

// Order lists pairs of passes of which the first must run before the second.
var Order = [...][2]string{
	{"stackpos", "deadregs"},    // it drops writes of rsp
	{"stackpos", "merge"},       // it joins positions
	{"deadregs", "deadcode"},    // computations of dead flags die with them
	{"deadcode", "simplify"},    // do not number what is dead
	{"merge", "forward"},        // forwarding is per block
	{"split", "safepoints"},     // a copied loop needs a safepoint of its own
	{"forward", "simplify"},     // extensions and truncations meet only then
	{"simplify", "deadcode2"},   // it leaves what it has replaced
	{"unroll", "safepoints"},    // one for all copies
	{"deadcode2", "unroll"},     // its limit is by instructions
	{"safepoints", "promote"},   // the fuel counter is promoted too
	{"deadregs2", "promote"},    // registers are promoted by use
	{"promote", "deadcode3"},    // it makes values that may be unused
	{"promote", "addrbase"},     // promotion must not see linear addresses
	{"unreachable", "deadregs"}, //
	{"deadcode2", "addrbase"},   // bases are shared among what is left
	{"deadregs2", "deadcode2"},  //
}

// Options say which passes run; the zero value runs all of them silently.
type Options struct {
	RequiredOnly bool            // -O0
	Disabled     map[string]bool // names of passes to leave out
	Verify       bool            // check the IR after each pass
	Trace        func(name string, f *ir.Func)
}

// Check returns an error if o disables a pass that does not exist or is
// required.
func (o *Options) Check() error {
	known := make(map[string]bool)
	for _, p := range Passes() {
		known[p.Name] = true
		if p.Required && o.Disabled[p.Name] {
			return fmt.Errorf("pass %q cannot be disabled", p.Name)
		}
	}
	for name := range o.Disabled {
		if !known[name] {
			return fmt.Errorf("there is no pass %q", name)
		}
	}
	return nil
}

// Run runs the passes over f.
func Run(c *Context, f *ir.Func, o *Options) (err error) {
	name := "lift"
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("pass %s over %s at %#x: %v", name, f.Name, f.PC, r)
		}
	}()
	if o.Verify {
		if err := ir.Verify(f); err != nil {
			return fmt.Errorf("verifying lifted code: %w", err)
		}
	}
	if o.Trace != nil {
		o.Trace(name, f)
	}
	for _, p := range Passes() {
		if !p.Required && (o.RequiredOnly || o.Disabled[p.Name]) {
			continue
		}
		name = p.Name
		p.Run(c, f)
		if o.Verify {
			if err := ir.Verify(f); err != nil {
				return fmt.Errorf("verifying after pass %s: %w", name, err)
			}
		}
		if o.Trace != nil {
			o.Trace(name, f)
		}
	}
	return nil
}
