//go:build !linux

package policy

import "errors"

// dockerLayer fails: the package that has docker's profile builds on Linux only.
func dockerLayer(Guest) (Layer, error) {
	return Layer{}, errors.New("docker's default profile is not in this build: give the profile as a file, or unconfined")
}
