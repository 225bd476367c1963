//go:build unix

package machine

import (
	"fmt"
	"os"
	"syscall"
)

// checkCacheDir makes dir if needed and refuses it unless only the user may
// write there.
func checkCacheDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the cache of compiled code: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("checking the cache of compiled code: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("checking the cache of compiled code: %s has mode %o: others may write there", dir, info.Mode().Perm())
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("checking the cache of compiled code: %s belongs to user %d", dir, s.Uid)
	}
	return nil
}
