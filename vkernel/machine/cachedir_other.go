//go:build !unix

package machine

import (
	"fmt"
	"os"
)

// checkCacheDir makes dir if needed.
func checkCacheDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the cache of compiled code: %w", err)
	}
	return nil
}
