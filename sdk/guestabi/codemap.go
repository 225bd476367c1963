package guestabi

import (
	"encoding/binary"
	"errors"
	"fmt"

	"megabinary.dev/sdk/wasm"
)

// A code map says where the guest stands when a wasm instruction traps. It has
// one entry for each instruction of a function that may stop it (see Stops), in
// the order of the code: linking changes the offsets of instructions but not
// their order. An entry is a number: four times the difference of its PC to that
// of the entry before (to the function's PC at first), see difference, plus two
// if the registers of its address are not exact, plus one if the stack pointer's
// offset follows, as a zigzag number; else that is the one of the entry before
// (0 at first).

// CodeMap builds the code map of one function.
type CodeMap struct {
	b  []byte
	pc uint32
	sp int32
	n  int
}

// NewCodeMap returns the empty map of the function whose link-time address is
// pc.
func NewCodeMap(pc uint32) *CodeMap {
	return &CodeMap{b: binary.AppendUvarint(nil, uint64(pc)), pc: pc}
}

// Add appends an entry: the link-time address of a guest instruction, what has
// to be added to the global rsp to give the guest's stack pointer at its start,
// and whether the registers that an address is made of are stale.
func (m *CodeMap) Add(pc uint32, sp int32, stale bool) {
	v := difference(int32(pc-m.pc)) << 2
	if stale {
		v |= 2
	}
	if sp != m.sp {
		v |= 1
	}
	m.b = binary.AppendUvarint(m.b, v)
	if sp != m.sp {
		m.b = binary.AppendUvarint(m.b, zigzag(sp))
	}
	m.pc, m.sp = pc, sp
	m.n++
}

// Len returns the number of entries.
func (m *CodeMap) Len() int { return m.n }

// Bytes returns the encoded map.
func (m *CodeMap) Bytes() []byte { return m.b }

func zigzag(v int32) uint64   { return uint64(uint32(v<<1 ^ v>>31)) }
func unzigzag(v uint64) int32 { return int32(uint32(v)>>1) ^ -int32(v&1) }

// Differences from -nearBack to nearAhead-1 are numbers from 0, so that most
// entries take a byte; the others are zigzag numbers after those.
const (
	nearBack  = 4
	nearAhead = 27
)

func difference(d int32) uint64 {
	if d >= -nearBack && d < nearAhead {
		return uint64(d + nearBack)
	}
	return nearBack + nearAhead + zigzag(d)
}

func undifference(v uint64) int32 {
	if v < nearBack+nearAhead {
		return int32(v) - nearBack
	}
	return unzigzag(v - nearBack - nearAhead)
}

// CodePlace is an entry of a code map: see CodeMap.Add.
type CodePlace struct {
	PC    uint32
	SP    int32
	Stale bool
}

// errCodeMap is the fault of a code map that ends too early.
var errCodeMap = errors.New("the code map ends too early")

// FindCode looks up entry number n of an encoded map.
func FindCode(m []byte, n int) (p CodePlace, err error) {
	next := func() uint64 {
		v, size := binary.Uvarint(m)
		if size <= 0 {
			err, m = errCodeMap, nil
			return 0
		}
		m = m[size:]
		return v
	}
	p.PC = uint32(next())
	for ; n >= 0 && err == nil; n-- {
		v := next()
		p.PC += uint32(undifference(v >> 2))
		p.Stale = v&2 != 0
		if v&1 != 0 {
			p.SP = unzigzag(next())
		}
	}
	return p, err
}

// Stops reports whether an instruction of a function that was translated may
// stop it: it accesses memory, or calls the host. imported is the number of
// imported functions.
func Stops(in *wasm.Inst, imported uint32) bool {
	switch in.Op.Row().Imm {
	case wasm.ImmMemArg, wasm.ImmMemArgLane, wasm.ImmMemMem:
		return true
	case wasm.ImmMem:
		return in.Op == wasm.OpMemoryFill
	}
	return in.Op == wasm.OpCall && in.A < imported
}

// CodeMapIndex returns the number of the entry for the instruction at an offset
// in a function's code.
func CodeMapIndex(code []byte, imported uint32, offset int) (int, error) {
	n, at, found := 0, 0, -1
	err := wasm.Walk(code, func(in *wasm.Inst, _ int) error {
		if Stops(in, imported) {
			if at == offset {
				found = n
			}
			n++
		}
		at += len(in.Bytes)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("reading code: %w", err)
	}
	if found < 0 {
		return 0, fmt.Errorf("no instruction at offset %d of the code can trap", offset)
	}
	return found, nil
}

// CountStops returns how many entries the code map of a function has.
func CountStops(code []byte, imported uint32) (int, error) {
	n := 0
	err := wasm.Walk(code, func(in *wasm.Inst, _ int) error {
		if Stops(in, imported) {
			n++
		}
		return nil
	})
	return n, err
}

// AppendCodeMap appends the map of the next function of a module, nil if it has
// none, to the code maps of that module. unit is the number of the function's
// unit in a megabinary, 0 in a unit.
func AppendCodeMap(maps, m []byte, unit int) []byte {
	if m == nil {
		return append(maps, 0)
	}
	u := binary.AppendUvarint(nil, uint64(unit))
	maps = binary.AppendUvarint(maps, uint64(len(u)+len(m)))
	return append(append(maps, u...), m...)
}

// ReadCodeMaps reads what AppendCodeMap wrote for n functions.
func ReadCodeMaps(maps []byte, n int) (units []int, out [][]byte, err error) {
	units, out = make([]int, n), make([][]byte, n)
	for i := range out {
		size, k := binary.Uvarint(maps)
		if k <= 0 || size > uint64(len(maps)-k) {
			return nil, nil, fmt.Errorf("reading the code map of function %d: %w", i, errCodeMap)
		}
		m := maps[k : k+int(size)]
		maps = maps[k+int(size):]
		if size == 0 {
			continue
		}
		unit, k := binary.Uvarint(m)
		if k <= 0 || unit > 1<<31 {
			return nil, nil, fmt.Errorf("reading the code map of function %d: %w", i, errCodeMap)
		}
		units[i], out[i] = int(unit), m[k:]
	}
	if len(maps) > 0 {
		return nil, nil, fmt.Errorf("reading the code maps: %d bytes follow those of %d functions", len(maps), n)
	}
	return units, out, nil
}
