package wasm

import "fmt"

// Skeleton returns a module that has the same imports, definitions and exports
// as the given one, and the same indices, but whose functions are nothing but
// unreachable.
func Skeleton(module []byte) ([]byte, error) {
	out := append(make([]byte, 0, 1<<16), header...)
	err := sections(module, func(s section) error {
		contents := s.body.data[s.body.pos:]
		if s.id != secCode {
			out = appendSection(out, s.id, contents)
			return nil
		}
		n := s.body.count(1)
		if s.body.err != nil {
			return s.body.err
		}
		body := []byte{3, 0, byte(OpUnreachable), byte(OpEnd)} // size, locals, code
		code := appendU(make([]byte, 0, 5+n*len(body)), uint64(n))
		for range n {
			code = append(code, body...)
		}
		out = appendSection(out, s.id, code)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("making the skeleton of a module: %w", err)
	}
	return out, nil
}
