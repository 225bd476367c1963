//go:build !linux

package confine

import "errors"

// Process does nothing: this system has nothing that it knows.
func Process(Options) (Report, error) {
	var r Report
	r.missing("confining the process", errors.New("it is only known how on Linux"))
	return r, nil
}
