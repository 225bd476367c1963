//go:build !unix

package attest

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// lock waits until it can make a file and returns what removes it.
func lock(path string) (unlock func(), err error) {
	for range 600 {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			f.Close()
			return func() { os.Remove(path) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, errors.New(path + " is held by another process; remove it if there is none")
}
