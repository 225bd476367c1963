//go:build !unix

package layers

import (
	"errors"
	"os"
)

// mapFile fails: the file is read instead.
func mapFile(*os.File, int64, int) ([]byte, func() error, error) {
	return nil, nil, errors.ErrUnsupported
}
