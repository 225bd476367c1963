package policy

import "github.com/moby/profiles/seccomp"

// dockerLayer is docker's default seccomp profile.
func dockerLayer(g Guest) (Layer, error) {
	l, _, err := seccompLayer(seccomp.DefaultProfile(), g)
	return l, err
}
