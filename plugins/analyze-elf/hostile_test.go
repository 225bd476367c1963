package analyzeelf

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"megabinary.dev/plugins/analyze-elf/internal/elf64"
	pb "megabinary.dev/sdk/artifact/programpb"
)

// tiny returns an ELF file with one executable segment at 0x400000 that holds
// the headers and then code, at 0x400078.
func tiny(code []byte) []byte {
	h := make([]byte, 64+56)
	copy(h, "\x7fELF\x02\x01\x01")
	le.PutUint16(h[16:], 2)
	le.PutUint16(h[18:], 62)
	le.PutUint32(h[20:], 1)
	le.PutUint64(h[24:], 0x400078)
	le.PutUint64(h[32:], 64)
	le.PutUint16(h[52:], 64)
	le.PutUint16(h[54:], 56)
	le.PutUint16(h[56:], 1)
	p := h[64:]
	le.PutUint32(p, 1)
	le.PutUint32(p[4:], 5)
	le.PutUint64(p[16:], 0x400000)
	size := uint64(len(h) + len(code))
	le.PutUint64(p[32:], size)
	le.PutUint64(p[40:], size)
	return append(h, code...)
}

func analyze(data []byte, opts Options) (*pb.Program, error) {
	return Analyze(context.Background(), bytes.NewReader(data), int64(len(data)), opts)
}

func TestBadFiles(t *testing.T) {
	put16 := func(at int, v uint16) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint16(b[at:], v); return b }
	}
	put64 := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint64(b[at:], v); return b }
	}
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		want   string
	}{
		{"empty", func([]byte) []byte { return nil }, "offset 0x0: truncated: ELF header has 64 bytes, the file ends at 0x0"},
		{"script", func([]byte) []byte { return []byte("#!/bin/sh\n" + strings.Repeat("#", 64)) }, "offset 0x0: not an ELF file"},
		{"32-bit", func(b []byte) []byte { b[4] = 1; return b }, "offset 0x4: class 1: only 64-bit"},
		{"big-endian", func(b []byte) []byte { b[5] = 2; return b }, "offset 0x5: big-endian"},
		{"AArch64", put16(18, 183), "offset 0x12: architecture AArch64: only x86-64 is supported"},
		{"unknown architecture", put16(18, 999), "architecture 999"},
		{"object file", put16(16, 1), "offset 0x10: type 1 is neither a program"},
		{"core file", put16(16, 4), "type 4 is neither"},
		{"no program headers", put16(56, 0), "offset 0x38: 0 program headers"},
		{"too many program headers", put16(56, 0xffff), "65535 program headers, want 1 to 512"},
		{"program headers past the end", put64(32, 0x10000), "offset 0x10000: truncated: program header table"},
		{"program headers wrap around", put64(32, ^uint64(0)-16), "truncated: program header table"},
		{"odd program header size", put16(54, 32), "program headers of 32 bytes"},
		{"truncated", func(b []byte) []byte { return b[:len(b)-1] }, "offset 0x0: truncated: segment at 0x400000"},
		{"segment lies about its size", func(b []byte) []byte { return put64(64+40, 1<<40)(put64(64+32, 1<<40)(b)) }, "truncated: segment at 0x400000"},
		{"more in the file than in memory", put64(64+40, 1), "has 123 bytes in the file, 1 in memory"},
		{"segment in kernel space", put64(64+16, 0xffff800000000000), "outside of user space"},
		{"segment wraps around", put64(64+40, ^uint64(0)), "outside of user space"},
		{"nothing loaded", put16(64, 4), "no loaded segment"},
		{"nothing executable", put16(64+4, 4), "no executable segment"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := analyze(c.change(tiny([]byte{0x90, 0x90, 0xc3})), Options{})
			var bad *elf64.FormatError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want %q", p, err, c.want)
			}
		})
	}
}

func TestOverlappingSegments(t *testing.T) {
	b := tiny([]byte{0xc3})
	le.PutUint16(b[56:], 2)
	b = append(b[:120:120], b[64:]...) // the header again
	if _, err := analyze(b, Options{}); err == nil || !strings.Contains(err.Error(), "segments at 0x400000 and 0x400000 overlap") {
		t.Error(err)
	}
}

// TestSmallFlow holds the cut of small pieces of code.
func TestSmallFlow(t *testing.T) {
	for _, c := range []struct {
		name, code, want string // blocks: offset+size, ! for entry; ? for unknown
	}{
		{"one block", "90c3", "0+2!"},
		{"jump over a lock prefix", "7401f00fb10fc3", "0+2! 2+4 3+3 6+1"},
		{"loop", "e2fec3", "0+2! 2+1"},
		{"call", "e801000000c3c3", "0+5! 5+1 | 6+1!"},
		{"syscall ends a block", "0f05f4", "0+2! 2+1"},
		{"trap", "0f0b", "0+2!"},
		{"unknown instruction", "90060f0b", "0+1! ?1"},
		{"unknown at once", "06", "?0"},
		{"jump out of the file", "e900000100", "0+5! ?10005"},
		{"jump into the middle", "eb01b890c3", "0+2! 3+2"},
		{"runs off the end", "9090", "0+2!"},
		{"call at the end", "e8fbffffff", "0+5!"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := analyze(tiny(unhex(t, c.code)), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(p); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestHints(t *testing.T) {
	// Nothing leads to offset 4, inside of an instruction.
	p, err := analyze(tiny(unhex(t, "c3b890c3c30f0b")), Options{Hints: []uint64{0x400078 + 2, 1 << 40}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range p.Functions {
		if f.Start == 0x400078+2 && f.Origin == pb.Origin_ORIGIN_HINT {
			return
		}
	}
	t.Errorf("no function at the hint: %s", describe(p))
}

func TestDeterminism(t *testing.T) {
	data, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v (install the Debian package busybox-static)", err)
	}
	var first []byte
	for range 3 {
		p, err := analyze(data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		} else if !bytes.Equal(first, b) {
			t.Fatal("two runs differ")
		}
	}
	t.Logf("%d bytes encoded", len(first))
}

func TestCancel(t *testing.T) {
	data, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v (install the Debian package busybox-static)", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Analyze(ctx, bytes.NewReader(data), int64(len(data)), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// TestDamagedFiles flips bytes of a real program: that must end soon, with a
// program or with an error that is not a bug of ours.
func TestDamagedFiles(t *testing.T) {
	path := build(t, "flow.c", "musl-gcc", "musl-tools", "-O2", "-static")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewSource(1))
	for n := range 60 {
		data := bytes.Clone(whole)
		switch n % 3 {
		case 0: // the headers
			for range 8 {
				data[rnd.Intn(1024)] ^= byte(1 << rnd.Intn(8))
			}
		case 1: // anywhere
			for range 2000 {
				data[rnd.Intn(len(data))] = byte(rnd.Intn(256))
			}
		case 2:
			data = data[:rnd.Intn(len(data))]
		}
		start := time.Now()
		p, err := analyze(data, Options{})
		if err != nil && strings.Contains(err.Error(), "BUG") {
			t.Fatalf("case %d: %v", n, err)
		}
		if err == nil {
			checkInvariants(t, p, data)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("case %d took %v", n, took)
		}
	}
}

func FuzzAnalyze(f *testing.F) {
	for _, s := range []string{"90c3", "7401f00fb10fc3", "ff24c578004000", "0f05f4", "e801000000c3c3"} {
		f.Add(tiny(unhex(f, s)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := analyze(data, Options{})
		if err != nil {
			if strings.Contains(err.Error(), "BUG") {
				t.Fatal(err)
			}
			return
		}
		checkInvariants(t, p, data)
	})
}

// FuzzTables fuzzes the program of TestShapes, which has tables of all kinds.
func FuzzTables(f *testing.F) {
	for _, mode := range []string{"-static", "-static-pie"} {
		data, err := os.ReadFile(build(f, "shapes.S", "gcc", "gcc", mode, "-nostdlib", "-s"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint16(0), uint64(0))
		f.Add(data, uint16(0x2000), uint64(1<<40))
	}
	f.Fuzz(func(t *testing.T, data []byte, at uint16, value uint64) {
		data = bytes.Clone(data)
		if int(at)+8 <= len(data) {
			le.PutUint64(data[at:], value)
		}
		p, err := analyze(data, Options{})
		if err != nil {
			if strings.Contains(err.Error(), "BUG") {
				t.Fatal(err)
			}
			return
		}
		checkInvariants(t, p, data)
	})
}
