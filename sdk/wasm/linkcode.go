package wasm

import "fmt"

// lookup returns the new index of an old one.
func (in *linkInput) lookup(kind Kind, i uint32) (uint32, error) {
	if int(i) >= len(in.index[kind]) {
		return 0, fmt.Errorf("index %d of %d", i, len(in.index[kind]))
	}
	return in.index[kind][i], nil
}

// rewrite copies code with renumbered indices.
func (in *linkInput) rewrite(code []byte) ([]byte, error) {
	out := make([]byte, 0, len(code)+len(code)/16)
	copied := 0 // bytes of code that are in out
	at := 0
	err := Walk(code, func(i *Inst, _ int) error {
		start := at
		at += len(i.Bytes)
		if !refers(i) {
			return nil
		}
		out = append(out, code[copied:start]...)
		copied = at
		var err error
		out, err = in.appendInst(out, i)
		return err
	})
	if err != nil {
		return nil, err
	}
	return append(out, code[copied:]...), nil
}

// refers reports whether an instruction holds an index that linking changes.
func refers(i *Inst) bool {
	switch i.Op.Row().Imm {
	case ImmBlock:
		return i.I >= 0
	case ImmFunc, ImmGlobal, ImmTable, ImmData, ImmElem, ImmDataMem, ImmCallIndirect, ImmElemTable, ImmTableTable:
		return true
	}
	return false
}

// space is the index space of an operand.
type space uint8

const (
	spaceType space = iota
	spaceFunc
	spaceTable
	spaceGlobal
	spaceData
	spaceElem
	spaceMemory
)

func (in *linkInput) renumber(s space, i uint32) (uint32, error) {
	var table []uint32
	switch s {
	case spaceType:
		table = in.types
	case spaceFunc:
		table = in.index[KindFunc]
	case spaceTable:
		table = in.index[KindTable]
	case spaceGlobal:
		table = in.index[KindGlobal]
	case spaceData:
		table = in.data
	case spaceElem:
		if int(i) < len(in.Module.Elems) {
			return in.elems + i, nil
		}
	case spaceMemory:
		return 0, nil
	}
	if int(i) >= len(table) {
		return 0, fmt.Errorf("index %d of %d", i, len(table))
	}
	return table[i], nil
}

// appendInst appends an instruction with renumbered indices.
func (in *linkInput) appendInst(out []byte, i *Inst) ([]byte, error) {
	if !refers(i) {
		return append(out, i.Bytes...), nil
	}
	b := Body{code: out}
	b.Op(i.Op)
	var err error
	put := func(s space, index uint32) {
		n, e := in.renumber(s, index)
		if e != nil {
			err = fmt.Errorf("%s: %w", i.Op, e)
		}
		b.U32(n)
	}
	switch i.Op.Row().Imm {
	case ImmBlock:
		n, e := in.renumber(spaceType, uint32(i.I))
		if e != nil {
			err = fmt.Errorf("%s: %w", i.Op, e)
		}
		b.S64(int64(n))
	case ImmFunc:
		put(spaceFunc, i.A)
	case ImmGlobal:
		put(spaceGlobal, i.A)
	case ImmTable:
		put(spaceTable, i.A)
	case ImmData:
		put(spaceData, i.A)
	case ImmElem:
		put(spaceElem, i.A)
	case ImmDataMem:
		put(spaceData, i.A)
		put(spaceMemory, i.B)
	case ImmCallIndirect:
		put(spaceType, i.A)
		put(spaceTable, i.B)
	case ImmElemTable:
		put(spaceElem, i.A)
		put(spaceTable, i.B)
	case ImmTableTable:
		put(spaceTable, i.A)
		put(spaceTable, i.B)
	}
	return b.code, err
}
