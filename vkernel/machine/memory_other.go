//go:build !linux

package machine

import "os"

// reserve returns zeroed memory from Go's heap, which most hosts back only
// when it is touched.
func reserve(n int) ([]byte, func([]byte) error, error) {
	return make([]byte, n), func([]byte) error { return nil }, nil
}

func discard(b []byte) error {
	clear(b)
	return nil
}

func populate([]byte) {}

func anonymous(b []byte) error {
	clear(b)
	return nil
}

func hostPage() int { return os.Getpagesize() }

// touchMap knows nothing of pages here: it skips pages of zeros one by one.
type touchMap struct{}

func newTouchMap() *touchMap { return &touchMap{} }

func (*touchMap) close() {}

func (*touchMap) exact() bool { return false }

func (*touchMap) withFiles() {}

func (t *touchMap) share() *touchMap { return t }

func (*touchMap) all([]byte) ([]Range, bool) { return nil, false }

func (*touchMap) each(mem []byte, r Range, visit func(Range)) {
	visitNonzero(mem, r, uint64(hostPage()), visit)
}
