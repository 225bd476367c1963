// Package analyzeelf is the stage that finds the code in an ELF file: functions,
// basic blocks, jump tables and code pointers. It reads hostile input, so it is
// shipped as a sandboxed module.
package analyzeelf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"megabinary.dev/plugins/analyze-elf/internal/elf64"
	pb "megabinary.dev/sdk/artifact/programpb"
)

// Options are what a caller knows beyond the file. The zero value works.
type Options struct {
	// SHA256 is the file's digest in hexadecimal, if it is known.
	SHA256 string
	// Hints are link-time addresses of code that an earlier analysis missed.
	Hints []uint64
}

// Limits on the work for a file, so that it stays linear in the file's size:
// several times what any of the corpus takes.
const (
	minWalks     = 1 << 20 // instructions that backward walks look at
	walksPerByte = 16      // ... and for each byte of code
	maxCodeBytes = 256 << 20
)

// maxRounds bounds how often the guesses (addresses in instructions, in data,
// gaps) are made again after one of them found code.
const maxRounds = 16

// Analyze finds the code of the ELF file of the given size behind r.
func Analyze(ctx context.Context, r io.ReaderAt, size int64, opts Options) (program *pb.Program, err error) {
	defer func() {
		if p := recover(); p != nil {
			program, err = nil, fmt.Errorf("analyzing ELF file: BUG: %v", p)
		}
	}()
	f, err := elf64.Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("analyzing ELF file: %w", err)
	}
	a, err := newAnalysis(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("analyzing ELF file: %w", err)
	}
	names := map[uint64]string{}
	if err := a.discover(names, opts.Hints); err != nil {
		return nil, fmt.Errorf("analyzing ELF file: %w", err)
	}
	program = a.program(names)
	program.Size = uint64(size)
	if program.Sha256 = opts.SHA256; program.Sha256 == "" {
		hash := sha256.New()
		if _, err := io.Copy(hash, io.NewSectionReader(r, 0, size)); err != nil {
			return nil, fmt.Errorf("hashing ELF file: %w", err)
		}
		program.Sha256 = hex.EncodeToString(hash.Sum(nil))
	}
	return program, nil
}

func newAnalysis(ctx context.Context, f *elf64.File) (*analysis, error) {
	size := uint64(0)
	for i := range f.Segments {
		if s := &f.Segments[i]; s.Flags&elf64.FlagX != 0 {
			size += uint64(len(s.Data))
		}
	}
	if size > maxCodeBytes {
		return nil, &elf64.FormatError{Offset: 0, Reason: fmt.Sprintf("%d bytes of code, at most %d are supported", size, maxCodeBytes)}
	}
	c := newCode(f)
	if len(c.regions) == 0 {
		return nil, &elf64.FormatError{Offset: 0, Reason: "no executable segment"}
	}
	a := &analysis{
		code: c, ctx: ctx, file: f,
		functions: map[uint32]function{},
		origins:   map[uint32]pb.Origin{},
		tables:    map[uint32]*table{},
		reasons:   map[uint32]string{},
		refused:   map[uint64]string{},
		denied:    map[uint32]bool{},
		dataRefs:  map[uint64]uint32{},
		pointers:  map[uint64]bool{},
		slots:     map[uint64]uint32{},
		walks:     minWalks + walksPerByte*len(c.kinds),
	}
	for _, name := range []string{".eh_frame", ".eh_frame_hdr", ".gcc_except_table", ".gopclntab"} {
		if s := f.Section(name); s != nil {
			a.unwind = append(a.unwind, [2]uint64{s.Addr, s.Addr + s.Size})
		}
	}
	return a, nil
}

// discover finds all code, from the most certain evidence to the least.
func (a *analysis) discover(names map[uint64]string, hints []uint64) error {
	a.readRelocs()
	a.declare(names)
	a.seedTrusted(hints)
	if err := a.settle(); err != nil {
		return err
	}
	a.scanRelocs()
	for range maxRounds {
		a.resolved = 0 // more is known of the way to the jumps that have no table
		if err := a.settle(); err != nil {
			return err
		}
		found := a.followRefs()
		if !found {
			found = a.scanData(false)
		}
		var err error
		if !found {
			if found, err = a.guessTables(); err != nil {
				return err
			}
		}
		if !found {
			if found, err = a.fillGaps(); err != nil {
				return err
			}
		}
		if !found {
			found = a.scanData(true)
		}
		if !found {
			return nil
		}
	}
	return a.settle()
}

// settle follows flow and jump tables until there is no more.
func (a *analysis) settle() error {
	for {
		if err := a.drain(); err != nil {
			return err
		}
		if queued, err := a.resolveTables(); err != nil || !queued {
			return err
		}
	}
}
