package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Accepted remembers, in a file, the highest number of each application's exec map
// that this host has accepted, so that an older image cannot come back under its
// old and valid signature.
type Accepted struct{ Path string }

// acceptedMap is what was accepted last.
type acceptedMap struct {
	Sequence uint64 `json:"sequence"`
	Root     string `json:"root"`
}

// acceptedFile is by the id of the key, then by the name of the map.
type acceptedFile map[string]map[string]acceptedMap

// Accept refuses a statement that is older than one that was accepted before with
// the same key and name, or has its number and another map, and remembers it
// otherwise. Maps without a name have no order.
func (a Accepted) Accept(key string, s *Statement) error {
	p := &s.Predicate
	if p.Name == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(a.Path), 0o700); err != nil {
		return fmt.Errorf("remembering exec maps: %w", err)
	}
	unlock, err := lock(a.Path + ".lock")
	if err != nil {
		return fmt.Errorf("remembering exec maps: %w", err)
	}
	defer unlock()
	all := acceptedFile{}
	content, err := os.ReadFile(a.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("remembering exec maps: %w", err)
	default:
		if err := json.Unmarshal(content, &all); err != nil {
			return fmt.Errorf("remembering exec maps: %s is damaged; what it held is needed against older images: %w", a.Path, err)
		}
	}
	last, known := all[key][p.Name]
	switch {
	case known && p.Sequence < last.Sequence:
		return fmt.Errorf("the exec map of %q has number %d, and this host has accepted %d before: an older image may not come back (%s)",
			p.Name, p.Sequence, last.Sequence, a.Path)
	case known && p.Sequence == last.Sequence && p.Root != last.Root:
		return fmt.Errorf("the exec map of %q has number %d, under which this host has accepted another, %s: build with a higher --map-sequence (%s)",
			p.Name, p.Sequence, last.Root, a.Path)
	case known && p.Sequence == last.Sequence:
		return nil
	}
	if all[key] == nil {
		all[key] = map[string]acceptedMap{}
	}
	all[key][p.Name] = acceptedMap{p.Sequence, p.Root}
	if content, err = json.MarshalIndent(all, "", "  "); err != nil {
		return fmt.Errorf("remembering exec maps: %w", err)
	}
	return a.write(append(content, '\n'))
}

// write replaces the file, whole or not at all.
func (a Accepted) write(content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(a.Path), ".accepted-*")
	if err != nil {
		return fmt.Errorf("remembering exec maps: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("remembering exec maps: %w", err)
	}
	if err := os.Rename(f.Name(), a.Path); err != nil {
		return fmt.Errorf("remembering exec maps: %w", err)
	}
	return nil
}
