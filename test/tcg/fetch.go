package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// aptSources is where Debian keeps its package sources in deb822 form.
const aptSources = "/etc/apt/sources.list.d"

// fetch unpacks QEMU's tests/tcg into dir/src, unless it is there already, out of
// Debian's source package. apt is told to look at source packages through a
// configuration of its own in dir: the machine's is left as it is.
func fetch(dir string) (tests string, err error) {
	src := filepath.Join(dir, "src")
	tests = filepath.Join(src, "tests", "tcg")
	if _, err := os.Stat(filepath.Join(tests, "README")); err == nil {
		return tests, nil
	}
	sources, lists := filepath.Join(dir, "apt", "sources"), filepath.Join(dir, "apt", "lists")
	for _, d := range []string{src, sources, filepath.Join(lists, "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", fmt.Errorf("making a folder for QEMU's source: %w", err)
		}
	}
	if err := sourceLists(sources); err != nil {
		return "", err
	}
	apt := func(args ...string) error {
		return command(dir, "apt-get", append([]string{"-qq", "-o", "Dir::Etc::sourcelist=/dev/null",
			"-o", "Dir::Etc::sourceparts=" + sources, "-o", "Dir::State::lists=" + lists, "-o", "APT::Sandbox::User=root"}, args...)...)
	}
	if err := apt("update"); err != nil {
		return "", err
	}
	if err := apt("source", "--download-only", "qemu"); err != nil {
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

// sourceLists writes the machine's Debian sources, as source packages, to dir.
func sourceLists(dir string) error {
	files, err := filepath.Glob(filepath.Join(aptSources, "debian*.sources"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("looking for Debian's package sources: no debian*.sources in %s", aptSources)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading Debian's package sources: %w", err)
		}
		text = bytes.ReplaceAll(text, []byte("Types: deb\n"), []byte("Types: deb-src\n"))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), text, 0o644); err != nil {
			return fmt.Errorf("writing package sources: %w", err)
		}
	}
	return nil
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
