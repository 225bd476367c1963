//go:build !linux

package mm

// hostPages would be memory that can be mapped at several places.
type hostPages struct{}

func newHostPages(uint64) (hostPages, error)  { return hostPages{}, errUnsupported }
func (hostPages) resize(uint64) error         { return errUnsupported }
func (hostPages) ReadAt([]byte, int64) error  { return errUnsupported }
func (hostPages) WriteAt([]byte, int64) error { return errUnsupported }
func (hostPages) held() uint64                { return 0 }
func (hostPages) close()                      {}
func mapObject([]byte, *object, uint64) error { return errUnsupported }
func unmapObject([]byte) error                { return errUnsupported }
