package recompile

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// Unsupported is an instruction for which translated code raises SIGILL. What
// follows it in its block is not translated.
type Unsupported struct {
	Address uint64 // link-time
	Name    string // mnemonic, or "(bad)" if it cannot be decoded
	Reason  string
	// Extension is what the instruction belongs to if that is beyond x86-64-v2,
	// so that a program may use it only after CPUID has reported it.
	Extension string
}

// FindUnsupported returns the instructions of p that cannot be translated for
// the processor, by address, and the number of those that can. elf is the file
// that p describes.
func FindUnsupported(ctx context.Context, elf io.ReaderAt, p *programpb.Program, cpu guestabi.CPU) (missing []Unsupported, translated int, err error) {
	im, err := newImage(elf, p)
	if err != nil {
		return nil, 0, err
	}
	add := func(addr uint64, name, reason string) {
		u := Unsupported{Address: addr, Name: name, Reason: reason}
		if in, err := x86.Decode(im.code(addr, maxInstLen), addr); err != nil {
			u.Extension = x86.RefusedExtension(err)
		} else {
			u.Extension = x86.Extension(&in)
		}
		missing = append(missing, u)
	}
	for _, fn := range p.GetFunctions() {
		if err := ctx.Err(); err != nil {
			return nil, 0, fmt.Errorf("lifting: %w", err)
		}
		if len(fn.GetBlocks()) == 0 {
			continue
		}
		_, report, err := lift.Func(p, fn, im.code, lift.Options{CPU: cpu})
		if err != nil {
			return nil, 0, err
		}
		translated += report.Instructions
		for _, e := range report.Errors {
			add(e.PC, e.Name, e.Reason)
		}
	}
	for _, u := range p.GetUnknown() {
		if len(im.code(u.GetAddress(), 1)) > 0 { // not a jump to where no code is
			add(u.GetAddress(), "(bad)", u.GetReason())
		}
	}
	slices.SortStableFunc(missing, func(a, b Unsupported) int { return cmp.Compare(a.Address, b.Address) })
	return missing, translated, nil
}

// maxInstLen is the length of the longest instruction in bytes.
const maxInstLen = 15
