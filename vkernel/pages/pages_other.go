//go:build !linux

package pages

type hostFile struct{}

func newHostFile([]byte) (hostFile, error) { return hostFile{}, ErrUnsupported }
func (hostFile) mapTo([]byte, int64) error { return ErrUnsupported }
func (hostFile) close()                    {}
