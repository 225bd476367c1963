package wasm

import "fmt"

// Extract returns a module with only one of the defined functions of m, under
// the export name, and functions that trap for those that it calls. All but
// the code and the functions' indices is as in m, and the function's code has
// the same size, instruction by instruction: what a compiler makes of it is the
// same but for the addresses of what it calls. Segments are left out.
func Extract(m *Module, index uint32, name string) (*Module, error) {
	imported := m.Imported(KindFunc)
	if index < imported || int(index-imported) >= len(m.Funcs) {
		return nil, fmt.Errorf("extracting function %d: it is not one that the module defines", index)
	}
	f := m.Funcs[index-imported]
	out := &Module{Types: m.Types, Imports: m.Imports, Tables: m.Tables, Memories: m.Memories, Globals: m.Globals}
	stubs := make(map[uint32]uint32) // type -> function
	out.Funcs = []Func{f}
	code := make([]byte, 0, len(f.Code))
	err := Walk(f.Code, func(in *Inst, _ int) error {
		if in.Op.Row().Imm != ImmFunc || in.A < imported {
			code = append(code, in.Bytes...)
			return nil
		}
		to := imported
		if in.A != index {
			typ, ok := m.funcTypeIndex(in.A)
			if !ok {
				return fmt.Errorf("it refers to function %d, which the module does not have", in.A)
			}
			if to, ok = stubs[typ]; !ok {
				to = imported + uint32(len(out.Funcs))
				stubs[typ] = to
				out.Funcs = append(out.Funcs, Func{Type: typ, Code: []byte{byte(OpUnreachable), byte(OpEnd)}})
			}
		}
		var err error
		code, err = appendSameSize(code, in, to)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("extracting function %d: %w", index, err)
	}
	out.Funcs[0].Code = code
	out.Export(name, KindFunc, imported)
	return out, nil
}

// appendSameSize appends in, which has one index, with another one, in as many
// bytes.
func appendSameSize(code []byte, in *Inst, index uint32) ([]byte, error) {
	n := len(in.Bytes) - 1 // all operations with the index of a function have one byte
	for i := range n {
		b := byte(index & 0x7f)
		if index >>= 7; i < n-1 {
			b |= 0x80
		}
		if i == 0 {
			code = append(code, in.Bytes[0])
		}
		code = append(code, b)
	}
	if index != 0 {
		return nil, fmt.Errorf("%s takes %d bytes, too few for its new index", in.Op, len(in.Bytes))
	}
	return code, nil
}
