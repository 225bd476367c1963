package recompile

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/sdk/artifact/programpb"
)

// Unsupported is an instruction for which translated code raises SIGILL. What
// follows it in its block is not translated.
type Unsupported struct {
	Address uint64 // link-time
	Name    string // mnemonic, or "(bad)" if it cannot be decoded
	Reason  string
	Guarded bool // the analyzer says that only CPUID leads there
}

// FindUnsupported returns the instructions of p that cannot be translated, by
// address, and the number of those that can. elf is the file that p describes.
func FindUnsupported(ctx context.Context, elf io.ReaderAt, p *programpb.Program) (missing []Unsupported, translated int, err error) {
	im, err := newImage(elf, p)
	if err != nil {
		return nil, 0, err
	}
	for _, fn := range p.GetFunctions() {
		if err := ctx.Err(); err != nil {
			return nil, 0, fmt.Errorf("lifting: %w", err)
		}
		if len(fn.GetBlocks()) == 0 {
			continue
		}
		_, report, err := lift.Func(p, fn, im.code, lift.Options{})
		if err != nil {
			return nil, 0, err
		}
		translated += report.Instructions
		for _, e := range report.Errors {
			missing = append(missing, Unsupported{Address: e.PC, Name: e.Name, Reason: e.Reason, Guarded: guarded(fn, e.PC)})
		}
	}
	for _, u := range p.GetUnknown() {
		if u.GetReason() != "" && len(u.GetCode()) > 0 {
			missing = append(missing, Unsupported{Address: u.GetAddress(), Name: "(bad)", Reason: u.GetReason(), Guarded: u.GetGuarded()})
		}
	}
	slices.SortStableFunc(missing, func(a, b Unsupported) int { return cmp.Compare(a.Address, b.Address) })
	return missing, translated, nil
}

// guarded reports whether the block of fn that holds addr is guarded.
func guarded(fn *programpb.Function, addr uint64) bool {
	for _, b := range fn.GetBlocks() {
		if addr >= b.GetStart() && addr-b.GetStart() < uint64(b.GetSize()) {
			return b.GetGuarded()
		}
	}
	return false
}
