//go:build linux && !amd64

package confine

import "errors"

func (o *Options) seccomp(r *Report) error {
	r.missing("a seccomp filter", errors.New("there is none for this processor yet"))
	return nil
}
