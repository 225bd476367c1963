package analyzeelf

import (
	"context"
	"errors"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/analyze-elf/internal/elf64"
	pb "megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/x86"
)

// function is what is known of a function before it is cut into blocks.
type function struct {
	origin pb.Origin
	end    uint32 // index after its last byte; 0: unknown
}

// reference is an address that an instruction computes: LEA, or an immediate.
type reference struct {
	to   uint64
	from uint32 // index of the instruction
}

// analysis is the state of one run. Code is found by following flow from seeds
// (drain); what cannot be followed is guessed afterwards, from what is most
// certain to what is least: jump tables, addresses in instructions, addresses
// in data, gaps.
type analysis struct {
	*code
	ctx  context.Context
	file *elf64.File

	functions map[uint32]function
	work      []uint32
	steps     int // instructions decoded, for ctx

	origins  map[uint32]pb.Origin // of blocks that no direct edge reaches
	from     map[uint32]uint32    // a jump to each block that nothing falls into
	indirect []uint32             // indirect jumps
	tables   map[uint32]*table    // by indirect jump
	reasons  map[uint32]string    // why an indirect jump has no table
	refused  map[uint64]string    // by address
	codeRefs []reference          // not looked at yet
	dataRefs map[uint64]uint32    // address in data -> an instruction that names it
	relocs   []elf64.Reloc        // by Where
	pointers map[uint64]bool      // code addresses found in data
	unwind   [][2]uint64          // addresses of unwind tables
	slots    map[uint64]uint32    // GOT slots of mmap and mprotect -> number

	resolved int         // how many of indirect resolveTables has looked at
	open     []openTable // not read yet
	entries  int         // read from jump tables
	walks    int         // instructions that backward walks may still look at
}

// start declares a function whose end is not known. The first origin stays.
func (a *analysis) start(i uint32, origin pb.Origin) {
	if a.marks[i]&markStart == 0 {
		a.marks[i] |= markStart
		a.functions[i] = function{origin: origin}
	}
}

// enter queues a block that may be reached by no edge.
func (a *analysis) enter(i uint32, origin pb.Origin) {
	a.marks[i] |= markEntry
	a.origin(i, origin)
	a.queue(i)
}

// origin records how a block was first found.
func (a *analysis) origin(i uint32, origin pb.Origin) {
	if _, ok := a.origins[i]; !ok {
		a.origins[i] = origin
	}
}

func (a *analysis) queue(i uint32) {
	a.marks[i] |= markLeader
	if a.kinds[i] == kindNone {
		a.work = append(a.work, i)
	}
}

// jumpTo queues the target of the direct transfer at index i.
func (a *analysis) jumpTo(i uint32, target uint64, call bool) {
	t, ok := a.index(target)
	if !ok {
		a.refused[target] = "jump target outside of the code"
		return
	}
	if call {
		// Inside of a function of known extent, a call target is an entry:
		// assembly code calls its own parts.
		a.enter(t, pb.Origin_ORIGIN_CALL)
		if a.marks[t]&markInside == 0 {
			a.start(t, pb.Origin_ORIGIN_CALL)
		}
		return
	}
	if _, ok := a.from[t]; !ok {
		a.from[t] = i
	}
	a.queue(t)
}

// drain decodes everything that is reachable from the queue.
func (a *analysis) drain() error {
	for len(a.work) > 0 {
		i := a.work[len(a.work)-1]
		a.work = a.work[:len(a.work)-1]
		if err := a.run(i); err != nil {
			return err
		}
	}
	return nil
}

// run decodes from index i until control does not fall through, or to what is
// known already.
func (a *analysis) run(i uint32) error {
	for {
		if a.kinds[i] != kindNone {
			a.marks[i] |= markLeader // two streams meet here
			return nil
		}
		if a.steps++; a.steps&0xfff == 0 {
			if err := a.ctx.Err(); err != nil {
				return err
			}
		}
		k, err := a.step(i)
		if err != nil || k == kindRefused {
			return err
		}
		next := i + uint32(a.length[i])
		if !k.falls() || int(next) >= len(a.kinds) {
			return nil
		}
		if k.endsBlock() {
			if !a.returnsTo(next, k) {
				return nil
			}
			a.marks[next] |= markLeader
		}
		if len(a.bytes(next)) == 0 {
			return nil
		}
		i = next
	}
}

// step decodes the instruction at index i and records what it says.
func (a *analysis) step(i uint32) (kind, error) {
	length, k, ok := quick(a.bytes(i), !a.file.PositionIndependent)
	if ok {
		a.length[i], a.kinds[i] = length, k
		switch k.base() {
		case kindJump, kindCond, kindCall:
			a.jumpTo(i, a.target(i), k.base() == kindCall)
		case kindJumpInd:
			a.indirect = append(a.indirect, i)
		}
	} else {
		in, err := a.decode(i)
		if err != nil {
			var d *x86.DecodeError
			if !errors.As(err, &d) {
				return kindRefused, err
			}
			a.kinds[i] = kindRefused
			a.refused[d.PC] = d.Reason
			return kindRefused, nil
		}
		length, k = uint8(in.Len), kindOf(&in)
		a.length[i], a.kinds[i] = length, k
		a.note(i, &in, k)
	}
	for n := range uint32(length) {
		a.marks[i+n] |= markCovered
	}
	return k, nil
}

// returnsTo reports whether code is to be expected at the index after an
// instruction that ends a block. After a call that never returns there may be
// the end of the function, padding or data.
func (a *analysis) returnsTo(next uint32, k kind) bool {
	if k.base() == kindCond {
		return true
	}
	b := a.bytes(next)
	switch {
	case len(b) == 0, a.marks[next]&markEnd != 0 && a.marks[next]&markStart == 0:
		return false
	case b[0] == 0xcc, len(b) > 1 && b[0] == 0 && b[1] == 0:
		return false
	}
	return true
}

// note records what the instruction at index i says about other code.
func (a *analysis) note(i uint32, in *x86.Inst, k kind) {
	switch k.base() {
	case kindJump, kindCond, kindCall:
		target, _ := in.DirectTarget()
		a.jumpTo(i, target, k.base() == kindCall)
		return
	case kindJumpInd:
		a.indirect = append(a.indirect, i)
		return
	case kindPlain:
	default:
		return
	}
	if in.Op == x86asm.LEA {
		if addr, ok := in.Address(1); ok {
			a.refer(i, addr)
		}
		return
	}
	if a.file.PositionIndependent {
		return
	}
	for n, arg := range in.Args {
		switch v := arg.(type) {
		case nil:
			return
		case x86asm.Imm:
			if (n == 1 && in.Op == x86asm.MOV || in.Op == x86asm.PUSH || in.Op == x86asm.CMP) && v > 0 {
				a.refer(i, uint64(v))
			}
		case x86asm.Mem:
			if v.Base == 0 && v.Index != 0 && v.Disp > 0 {
				a.dataRefs[uint64(v.Disp)] = i
			}
		}
	}
}

// refer records an address that an instruction computes.
func (a *analysis) refer(i uint32, addr uint64) {
	if a.textAt(addr) {
		a.codeRefs = append(a.codeRefs, reference{to: addr, from: i})
	} else if _, ok := a.dataRefs[addr]; !ok && a.file.Bytes(addr, 1) != nil {
		a.dataRefs[addr] = i
	}
}
