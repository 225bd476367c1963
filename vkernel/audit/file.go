package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// FileOptions configure a file that a trail is written to.
type FileOptions struct {
	// MaxSize is how large a part gets before the next begins, in bytes; 0: there
	// is one part.
	MaxSize int64
	// Keep is how many full parts stay; 0: all.
	Keep int
}

// partDigits is how many digits the number of a full part has, in its name.
const partDigits = 6

func partName(n int) string { return fmt.Sprintf("%0*d", partDigits, n) }

// File is a trail's file. A write takes a whole line or nothing: what a full disk
// took of one is cut off.
type File struct {
	name string
	o    FileOptions
	f    *os.File
	size int64
	part int // number of the part that is written
}

// Create starts a trail's file anew, and removes the parts of an older one.
func Create(name string, o FileOptions) (*File, error) {
	old, err := Files(name)
	if err != nil {
		return nil, err
	}
	for _, n := range old[:len(old)-1] {
		if err := os.Remove(n); err != nil {
			return nil, fmt.Errorf("starting the audit trail: %w", err)
		}
	}
	f := &File{name: name, o: o, part: 1}
	if f.f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, fmt.Errorf("starting the audit trail: %w", err)
	}
	return f, nil
}

// Write implements io.Writer for whole lines.
func (f *File) Write(line []byte) (int, error) {
	if f.o.MaxSize > 0 && f.size > 0 && f.size+int64(len(line)) > f.o.MaxSize {
		if err := f.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := f.f.Write(line)
	if err != nil {
		if n > 0 {
			_, seekErr := f.f.Seek(f.size, io.SeekStart)
			err = errors.Join(err, f.f.Truncate(f.size), seekErr)
		}
		return 0, err
	}
	f.size += int64(n)
	return n, nil
}

// rotate gives the part that is full its number and begins the next.
func (f *File) rotate() error {
	if err := f.f.Sync(); err != nil {
		return fmt.Errorf("rotating the audit trail: %w", err)
	}
	full := f.name + "." + partName(f.part)
	if err := os.Rename(f.name, full); err != nil {
		return fmt.Errorf("rotating the audit trail: %w", err)
	}
	next, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return errors.Join(fmt.Errorf("rotating the audit trail: %w", err), os.Rename(full, f.name))
	}
	err = f.f.Close()
	f.f, f.size = next, 0
	f.part++
	if f.o.Keep > 0 && f.part-1 > f.o.Keep {
		err = errors.Join(err, os.Remove(f.name+"."+partName(f.part-1-f.o.Keep)))
	}
	return err
}

// Close makes the trail durable.
func (f *File) Close() error {
	err := f.f.Sync()
	if err != nil && strings.Contains(err.Error(), "invalid argument") {
		err = nil // a pipe or a device
	}
	return errors.Join(err, f.f.Close())
}
