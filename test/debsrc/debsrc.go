// Package debsrc fetches Debian's source packages, for the test suites that are
// in them. They are not kept with this repository.
package debsrc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"megabinary.dev/test/suite"
)

// aptSources is where Debian keeps its package sources in deb822 form.
const aptSources = "/etc/apt/sources.list.d"

// Download puts the files of a source package in dir. apt is told to look at
// source packages through a configuration of its own there: the machine's is left
// as it is.
func Download(dir, pkg string) error {
	sources, lists := filepath.Join(dir, "apt", "sources"), filepath.Join(dir, "apt", "lists")
	for _, d := range []string{sources, filepath.Join(lists, "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("making a folder for the source of %s: %w", pkg, err)
		}
	}
	if err := sourceLists(sources); err != nil {
		return err
	}
	for _, args := range [][]string{{"update"}, {"source", "--download-only", pkg}} {
		argv := append([]string{"apt-get", "-qq", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", "Dir::Etc::sourceparts=" + sources,
			"-o", "Dir::State::lists=" + lists, "-o", "APT::Sandbox::User=root"}, args...)
		if err := suite.Command(dir, "", argv...); err != nil {
			return err
		}
	}
	return nil
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
