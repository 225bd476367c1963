// Package oracle compares the recompiler's meanings of an instruction with the
// real CPU: case files (one line per case, ../lift/testdata), and random
// instructions on random states. Only tests use it.
package oracle

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// Where a case's code and memory lie, in guest addresses. Nothing is mapped
// around them.
const (
	CodePage = 0x1000_0000
	CodeAt   = CodePage + 0x800
	MemAt    = 0x2000_0000
	MemSize  = 4096
	MaxCode  = 112
)

// Outcome is how a case ended, in any meaning of it.
type Outcome struct {
	State *interp.State
	// Signal is 0 if control went to PC; else the instruction faulted.
	Signal syscall.Signal
	PC     uint64

	beyond bool // a fault of the CPU where translated code has none: see comparable
}

// Case is code at CodeAt and the state before it.
type Case struct {
	Code  []byte
	State *interp.State

	function *ir.Func // for meanings other than the CPU: instead of what Code lifts to
}

//go:embed testdata/runner.c
var runnerSource []byte

// A record is one case in the memory that the runner shares: the layout is that
// of struct record in runner.c, of which these are the offsets in bytes.
const (
	recSignal  = 0
	recPC      = 8
	recTrap    = 16
	recAddress = 24
	recGPR     = 32
	recFlags   = 160
	recFSBase  = 168
	recGSBase  = 176
	recMXCSR   = 184
	recCodeLen = 188
	recCode    = 192
	recFX      = recCode + codeField
	recYMMH    = recFX + 512
	recMem     = recYMMH + 16*guestabi.NumXMM
	recSize    = recMem + MemSize + 16
	codeField  = 128
	// maxRecords is how many cases the shared memory holds, behind a header
	// that says which of them runs.
	maxRecords = 512
	headerSize = 64
	sharedSize = headerSize + maxRecords*recSize
)

// Offsets in the FXSAVE area.
const (
	fxMXCSR = 24
	fxST    = 32
	fxXMM   = 160
)

// CPU is a process that runs cases on the real CPU.
type CPU struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.Reader
	shared []byte
}

// caseTimeout bounds one batch: code that never leaves its page is a fault of
// the test.
const caseTimeout = 60 * time.Second

// StartCPU builds the runner in dir and starts it. It needs linux/amd64 and gcc.
func StartCPU(dir string) (*CPU, error) {
	src, bin := filepath.Join(dir, "runner.c"), filepath.Join(dir, "runner")
	if err := os.WriteFile(src, runnerSource, 0o644); err != nil {
		return nil, fmt.Errorf("writing the runner: %w", err)
	}
	build := exec.Command("gcc", "-O1", "-Wall", "-static-pie", "-nostdlib", "-ffreestanding", "-fpie",
		"-fno-stack-protector", "-fcf-protection=none", "-mgeneral-regs-only", "-fno-tree-loop-distribute-patterns", "-o", bin, src)
	if msg, err := build.CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("building the runner: no gcc: install the Debian package gcc")
		}
		return nil, fmt.Errorf("building the runner: %w\n%s", err, msg)
	}
	fd, err := unix.MemfdCreate("cases", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making memory for cases: %w", err)
	}
	shared := os.NewFile(uintptr(fd), "cases")
	defer shared.Close()
	if err := shared.Truncate(sharedSize); err != nil {
		return nil, fmt.Errorf("making memory for cases: %w", err)
	}
	c := &CPU{cmd: exec.Command(bin)}
	if c.shared, err = unix.Mmap(fd, 0, sharedSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("mapping memory for cases: %w", err)
	}
	c.cmd.Stderr = os.Stderr
	c.cmd.ExtraFiles = []*os.File{shared}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting the runner: %w", err)
	}
	if c.out, err = c.cmd.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("starting the runner: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the runner: %w", err)
	}
	if err := c.wait(); err != nil {
		return nil, fmt.Errorf("starting the runner: %w", errors.Join(err, c.Close()))
	}
	return c, nil
}

// wait waits until the runner has done what it was given.
func (c *CPU) wait() error {
	var word [8]byte
	_, err := io.ReadFull(c.out, word[:])
	return err
}

// RunnerError says that the runner did not survive a case.
type RunnerError struct {
	Case   int // number of the case in the batch; -1: unknown
	Code   []byte
	Status string // how the process ended
}

func (e *RunnerError) Error() string {
	return fmt.Sprintf("running cases on the CPU: case %d (%x) ended the runner: %s", e.Case, e.Code, e.Status)
}

// Close ends the process.
func (c *CPU) Close() error {
	c.in.Close()
	return errors.Join(c.cmd.Wait(), unix.Munmap(c.shared))
}

// record returns the memory of case i of a batch.
func (c *CPU) record(i int) record { return c.shared[headerSize+i*recSize:][:recSize:recSize] }

// exec runs the first n records. The error of a runner that ends is a
// RunnerError.
func (c *CPU) exec(n int) error {
	var late atomic.Bool
	timer := time.AfterFunc(caseTimeout, func() {
		late.Store(true)
		c.cmd.Process.Kill()
	})
	defer timer.Stop()
	var word [8]byte
	binary.LittleEndian.PutUint64(word[:], uint64(n))
	if _, err := c.in.Write(word[:]); err != nil {
		return fmt.Errorf("sending cases to the CPU: %w", err)
	}
	err := c.wait()
	if err == nil {
		return nil
	}
	ended := &RunnerError{Case: int(binary.LittleEndian.Uint64(c.shared)) - 1, Status: err.Error()}
	if ended.Case >= 0 && ended.Case < n {
		r := c.record(ended.Case)
		ended.Code = bytes.Clone(r[recCode:][:min(binary.LittleEndian.Uint32(r[recCodeLen:]), codeField)])
	}
	if err := c.cmd.Wait(); err != nil {
		ended.Status = err.Error()
	}
	if late.Load() {
		ended.Status = fmt.Sprintf("it was killed after %v", caseTimeout)
	}
	return ended
}

// Run runs cases, each on its own state, which it leaves as it is.
func (c *CPU) Run(cases []Case) ([]Outcome, error) {
	outcomes := make([]Outcome, 0, len(cases))
	for len(cases) > 0 {
		n := min(len(cases), maxRecords)
		for i := range n {
			if len(cases[i].Code) > MaxCode {
				return nil, fmt.Errorf("code of %d bytes is longer than %d", len(cases[i].Code), MaxCode)
			}
			c.record(i).put(cases[i])
		}
		if err := c.exec(n); err != nil {
			return nil, err
		}
		for i := range n {
			outcomes = append(outcomes, c.record(i).outcome(cases[i]))
		}
		cases = cases[n:]
	}
	return outcomes, nil
}

type record []byte

func (r record) u64(at int) uint64 { return binary.LittleEndian.Uint64(r[at:]) }

// put makes r the case c before it runs.
func (r record) put(c Case) {
	le := binary.LittleEndian
	for i := range guestabi.NumGPR {
		le.PutUint64(r[recGPR+8*i:], c.State.Regs[i].Lo)
	}
	le.PutUint64(r[recFlags:], RFLAGS(c.State))
	le.PutUint64(r[recFSBase:], c.State.Regs[guestabi.FSBase].Lo)
	le.PutUint64(r[recGSBase:], c.State.Regs[guestabi.GSBase].Lo)
	le.PutUint32(r[recMXCSR:], uint32(c.State.Regs[guestabi.MXCSR].Lo))
	le.PutUint32(r[recCodeLen:], uint32(len(c.Code)))
	code := r[recCode:][:codeField]
	for i := copy(code, c.Code); i < codeField; i++ {
		code[i] = 0xcc // int3
	}
	fx := r[recFX:][:512]
	c.State.X87.MarshalFXSave(fx)
	for i := range guestabi.NumXMM {
		v := c.State.Regs[guestabi.XMM0+guestabi.Reg(i)]
		le.PutUint64(fx[fxXMM+16*i:], v.Lo)
		le.PutUint64(fx[fxXMM+8+16*i:], v.Hi)
		h := c.State.Regs[guestabi.YMMH0+guestabi.Reg(i)]
		le.PutUint64(r[recYMMH+16*i:], h.Lo)
		le.PutUint64(r[recYMMH+8+16*i:], h.Hi)
	}
	copy(r[recMem:], c.State.Mem[0].Data)
}

// end says how case c ended: by a signal, or by going to pc.
func (r record) end(codeLen int) (sig syscall.Signal, pc uint64) {
	sig, pc = syscall.Signal(r.u64(recSignal)), r.u64(recPC)
	inside := func(pc uint64) bool { return pc-CodeAt < uint64(codeLen) }
	switch {
	case sig == syscall.SIGTRAP && !inside(pc-1):
		return 0, pc - 1 // the int3 that fills the page
	case sig == syscall.SIGSEGV && !inside(pc):
		return 0, pc // control went where no code is
	case sig == syscall.SIGBUS:
		return syscall.SIGSEGV, pc // #SS: a stack address that is not canonical
	}
	return sig, pc
}

// vectorPF is the exception of a page fault.
const vectorPF = 14

// comparable reports whether translated code faults where the CPU did, by a
// memory fault: guest addresses are computed modulo 2^32, and 16 bytes of
// scratch memory are never missed.
func (r record) comparable() bool {
	if r.u64(recTrap) == vectorPF {
		addr := r.u64(recAddress)
		return addr < 1<<32 && addr-guestabi.AddrBias >= guestabi.MinAddr-guestabi.AddrBias
	}
	in, ok := r.faulting()
	if !ok {
		return false
	}
	var regs [guestabi.NumGPR]uint64
	for i := range regs {
		regs[i] = r.u64(recGPR + 8*i)
	}
	for _, a := range in.Accesses(&regs, r.u64(recFSBase), r.u64(recGSBase)) {
		if a.Addr >= 1<<32 || a.Size >= 16 { // the alignment of vectors is not checked
			return false
		}
	}
	return true
}

// faulting returns the instruction at which the CPU stopped.
func (r record) faulting() (x86.Inst, bool) {
	at := r.u64(recPC) - CodeAt
	if at >= codeField {
		return x86.Inst{}, false
	}
	in, err := decodeAt(r[recCode:][:codeField], int(at))
	return in, err == nil
}

// outcome is what became of c.
func (r record) outcome(c Case) Outcome {
	st := Clone(c.State)
	for i := range guestabi.NumGPR {
		st.Regs[i].Lo = r.u64(recGPR + 8*i)
	}
	SetRFLAGS(st, r.u64(recFlags))
	fx := r[recFX:][:512]
	st.X87.UnmarshalFXSave(fx)
	st.Regs[guestabi.MXCSR].Lo = uint64(binary.LittleEndian.Uint32(fx[fxMXCSR:])) | c.State.Regs[guestabi.MXCSR].Lo&(1<<guestabi.MXCSRCareful)
	for i := range guestabi.NumXMM {
		st.Regs[guestabi.XMM0+guestabi.Reg(i)] = interp.Val{Lo: r.u64(recFX + fxXMM + 16*i), Hi: r.u64(recFX + fxXMM + 8 + 16*i)}
		st.Regs[guestabi.YMMH0+guestabi.Reg(i)] = interp.Val{Lo: r.u64(recYMMH + 16*i), Hi: r.u64(recYMMH + 8 + 16*i)}
	}
	copy(st.Mem[0].Data, r[recMem:])
	o := Outcome{State: st}
	o.Signal, o.PC = r.end(len(c.Code))
	o.beyond = o.Signal == syscall.SIGSEGV && !r.comparable()
	return o
}

var flagBits = [...]struct {
	reg guestabi.Reg
	bit uint
}{
	{guestabi.CF, guestabi.BitCF}, {guestabi.PF, guestabi.BitPF}, {guestabi.AF, guestabi.BitAF}, {guestabi.ZF, guestabi.BitZF},
	{guestabi.SF, guestabi.BitSF}, {guestabi.DF, guestabi.BitDF}, {guestabi.OF, guestabi.BitOF},
}

// RFLAGS returns the flags of st as the architecture has them.
func RFLAGS(st *interp.State) uint64 {
	v := uint64(2)
	for _, f := range flagBits {
		v |= st.Regs[f.reg].Lo & 1 << f.bit
	}
	return v
}

// SetRFLAGS sets the flags of st.
func SetRFLAGS(st *interp.State, v uint64) {
	for _, f := range flagBits {
		st.Regs[f.reg].Lo = v >> f.bit & 1
	}
}

// Clone returns a copy of st that shares nothing with it.
func Clone(st *interp.State) *interp.State {
	c := *st
	c.Mem = make(interp.Memory, len(st.Mem))
	for i, w := range st.Mem {
		c.Mem[i] = interp.Window{Base: w.Base, Data: bytes.Clone(w.Data)}
	}
	return &c
}
