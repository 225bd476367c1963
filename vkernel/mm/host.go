package mm

import "bytes"

// nonZero calls fn for every page of b that is not all zeros.
func nonZero(b []byte, fn func(page int)) {
	var zeros [PageSize]byte
	for p := range len(b) / PageSize {
		if !bytes.Equal(b[p*PageSize:(p+1)*PageSize], zeros[:]) {
			fn(p)
		}
	}
}
