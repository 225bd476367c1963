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
	indirect []uint32             // indirect jumps
	tables   map[uint32]*table    // by indirect jump
	reasons  map[uint32]string    // why an indirect jump has no table
	refused  map[uint64]string    // by address
	denied   map[uint32]bool      // places that something names, but that are no code
	codeRefs []reference          // not looked at yet
	dataRefs map[uint64]uint32    // address in data -> an instruction that names it
	relocs   []elf64.Reloc        // by Where
	pointers map[uint64]bool      // code addresses found in data
	unwind   [][2]uint64          // addresses of unwind tables
	frames   []elf64.Frame        // by start
	slots    map[uint64]uint32    // GOT slots of mmap and mprotect -> number
	sites    []uint32             // system calls, and calls if there are such slots

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
	if a.marks[i]&markEntry == 0 {
		a.marks[i] |= markEntry
		a.origin(i, origin)
	}
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

// cameFrom records a jump at index i to index t.
func (a *analysis) cameFrom(t, i uint32) {
	if a.link[t] == 0 {
		a.link[t] = i + 1
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
		a.callSite(i)
		// Inside of a function of known extent, a call target is an entry:
		// assembly code calls its own parts.
		a.enter(t, pb.Origin_ORIGIN_CALL)
		if a.inside[t] == 0 {
			a.start(t, pb.Origin_ORIGIN_CALL)
		}
		return
	}
	a.cameFrom(t, i)
	a.queue(t)
}

// callSite notes a call if it may be one of mmap or mprotect.
func (a *analysis) callSite(i uint32) {
	if len(a.slots) > 0 {
		a.sites = append(a.sites, i)
	}
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
	end, err := a.follow(a.region(i), i)
	fill(a.covered[i:end], &a.ones)
	return err
}

// follow does the work of run and returns the index after what it decoded. Most
// turns of its loop make one call.
func (a *analysis) follow(r *region, i uint32) (uint32, error) {
	end := r.first + uint32(len(r.bytes))
	absolute := !a.file.PositionIndependent
	for i < end {
		if a.kinds[i] != kindNone {
			a.marks[i] |= markLeader // two streams meet here
			return i, nil
		}
		q, ok := a.forms.quick(r.bytes[i-r.first:], absolute)
		k := q.kind
		if ok && k == kindPlain {
			a.length[i], a.kinds[i] = q.length, k
			if q.ref != refNone {
				a.noteRef(r, i, q)
			}
			i += uint32(q.length)
			continue
		}
		if a.steps++; a.steps&0xfff == 0 {
			if err := a.ctx.Err(); err != nil {
				return i, err
			}
		}
		if ok {
			a.length[i], a.kinds[i] = q.length, k
			a.noteQuick(i, k)
			if q.ref != refNone {
				a.noteRef(r, i, q)
			}
		} else if k, ok = a.step(i); !ok {
			return i, nil
		}
		i += uint32(a.length[i])
		if k == kindTrap && i < end && a.inside[i] != 0 && r.bytes[i-1-r.first] == breakpoint && a.returnsTo(i, k) {
			a.enter(i, pb.Origin_ORIGIN_GAP) // where a handler of SIGTRAP returns to
		}
		if !k.falls() || k.endsBlock() && !a.returnsTo(i, k) {
			return i, nil
		}
		if k.endsBlock() {
			a.marks[i] |= markLeader
		}
	}
	return i, nil
}

const breakpoint = 0xcc

// noteQuick records what an instruction that quick knows says.
func (a *analysis) noteQuick(i uint32, k kind) {
	switch k.base() {
	case kindJump, kindCond, kindCall:
		a.jumpTo(i, a.target(i), k.base() == kindCall)
	case kindJumpInd:
		a.indirect = append(a.indirect, i)
	case kindSyscall:
		a.sites = append(a.sites, i)
	case kindCallInd:
		a.callSite(i)
	}
}

// noteRef records an address that is in the bytes of an instruction.
func (a *analysis) noteRef(r *region, i uint32, q quick) {
	v := int32(le.Uint32(r.bytes[i-r.first+uint32(q.at):]))
	switch {
	case q.ref == refLEA:
		a.refer(i, r.addr+uint64(i-r.first)+uint64(q.length)+uint64(int64(v)))
	case v <= 0:
	case q.ref == refImm:
		a.refer(i, uint64(v))
	case q.ref == refTable:
		a.dataRefs[uint64(v)] = i
	}
}

// step decodes the instruction at index i and records what it says. It returns
// false if the decoder refuses it.
func (a *analysis) step(i uint32) (kind, bool) {
	in, err := a.decode(i)
	if err != nil {
		a.kinds[i] = kindRefused
		var d *x86.DecodeError
		if errors.As(err, &d) {
			a.refused[d.PC] = d.Reason
			a.skipRefused(i, uint32(d.Len))
		}
		return kindRefused, false
	}
	k := kindOf(&in)
	a.length[i], a.kinds[i] = uint8(in.Len), k
	a.note(i, &in, k)
	return k, true
}

// skipRefused goes on after an instruction of n bytes that the decoder refuses:
// what follows is code, though it never runs on a processor that refuses it too.
func (a *analysis) skipRefused(i, n uint32) {
	if n == 0 {
		return
	}
	a.length[i] = uint8(n)
	fill(a.covered[i:i+n], &a.ones)
	if b := a.bytes(i + n); len(b) > 0 && a.returnsTo(i+n, kindPlain) {
		a.queue(i + n)
	}
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
	if k != kindPlain {
		a.noteQuick(i, k)
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
