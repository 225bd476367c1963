//go:build !(linux && amd64)

package machine

import "testing"

// onNative runs nothing: there is no native machine for this host.
func onNative(*testing.T, func(*testing.T, *world)) {}
