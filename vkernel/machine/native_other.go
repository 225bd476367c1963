//go:build !(linux && amd64)

package machine

import "errors"

// NewNative fails: there is no native machine for this host.
func NewNative([]byte, NativeOptions) (Engine, error) {
	return nil, errors.New("there is no native machine for this host")
}
