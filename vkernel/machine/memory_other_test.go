//go:build !linux

package machine

func slowTouchMap() *touchMap { return newTouchMap() }
