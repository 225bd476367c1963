package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"megabinary.dev/test/debsrc"
)

// fetch unpacks QEMU's tests/tcg into dir/src, unless it is there already, out of
// Debian's source package.
func fetch(dir string) (tests string, err error) {
	src := filepath.Join(dir, "src")
	tests = filepath.Join(src, "tests", "tcg")
	if _, err := os.Stat(filepath.Join(tests, "README")); err == nil {
		return tests, nil
	}
	if err := os.MkdirAll(src, 0o755); err != nil {
		return "", fmt.Errorf("making a folder for QEMU's source: %w", err)
	}
	if err := debsrc.Download(dir, "qemu"); err != nil {
		return "", err
	}
	archives, err := filepath.Glob(filepath.Join(dir, "qemu_*.orig.tar.*"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("looking for QEMU's source in %s: found %q, want one archive: remove the folder and try again", dir, archives)
	}
	if err := command(dir, "tar", "-xf", archives[0], "-C", src, "--strip-components=1", "--wildcards", "*/tests/tcg/*"); err != nil {
		return "", err
	}
	return tests, nil
}

// command runs a program in dir; its error has what the program printed.
func command(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("running %s: %w: `make deps` installs it", name, err)
	}
	if err != nil {
		return fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, tail(string(out), 2000))
	}
	return nil
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
