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
	"syscall"
	"time"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// Where a case's code and memory lie, in guest addresses. Nothing is mapped
// around them.
const (
	CodePage = 0x1000_0000
	CodeAt   = CodePage + 0x800
	MemAt    = 0x2000_0000
	MemSize  = 4096
	MaxCode  = 48
)

// Outcome is how a case ended, in any meaning of it.
type Outcome struct {
	State *interp.State
	// Signal is 0 if control went to PC; else the instruction faulted.
	Signal syscall.Signal
	PC     uint64
}

// Case is code at CodeAt and the state before it.
type Case struct {
	Code  []byte
	State *interp.State

	function *ir.Func // for meanings other than the CPU: instead of what Code lifts to
}

//go:embed testdata/runner.c
var runnerSource []byte

type caseIn struct {
	GPR                   [16]uint64
	Flags, FSBase, GSBase uint64
	MXCSR, CodeLen        uint32
	Code                  [64]byte
	FX                    [512]byte
	Mem                   [MemSize]byte
}

type caseOut struct {
	Signal, PC uint64
	GPR        [16]uint64
	Flags      uint64
	FX         [512]byte
	Mem        [MemSize]byte
}

// CPU is a process that runs cases on the real CPU.
type CPU struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

// caseTimeout bounds one batch: code that never leaves its page is a fault of
// the test.
const caseTimeout = 20 * time.Second

// StartCPU builds the runner in dir and starts it. It needs linux/amd64 and gcc.
func StartCPU(dir string) (*CPU, error) {
	src, bin := filepath.Join(dir, "runner.c"), filepath.Join(dir, "runner")
	if err := os.WriteFile(src, runnerSource, 0o644); err != nil {
		return nil, fmt.Errorf("writing the runner: %w", err)
	}
	build := exec.Command("gcc", "-O1", "-Wall", "-static", "-nostdlib", "-ffreestanding", "-fno-pie", "-no-pie",
		"-fno-stack-protector", "-fcf-protection=none", "-mgeneral-regs-only", "-fno-tree-loop-distribute-patterns", "-o", bin, src)
	if msg, err := build.CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("building the runner: no gcc: install the Debian package gcc")
		}
		return nil, fmt.Errorf("building the runner: %w\n%s", err, msg)
	}
	c := &CPU{cmd: exec.Command(bin)}
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting the runner: %w", err)
	}
	if c.out, err = c.cmd.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("starting the runner: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the runner: %w", err)
	}
	return c, nil
}

// Close ends the process.
func (c *CPU) Close() error {
	c.in.Close()
	return c.cmd.Wait()
}

// Run runs cases, each on its own state, which it leaves as it is.
func (c *CPU) Run(cases []Case) ([]Outcome, error) {
	timer := time.AfterFunc(caseTimeout, func() { c.cmd.Process.Kill() })
	defer timer.Stop()
	wrote := make(chan error, 1)
	go func() {
		var buf bytes.Buffer
		for i := range cases {
			buf.Reset()
			if err := encodeCase(&buf, cases[i]); err != nil {
				wrote <- err
				return
			}
			if _, err := c.in.Write(buf.Bytes()); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}()
	outcomes := make([]Outcome, len(cases))
	buf := make([]byte, binary.Size(caseOut{}))
	for i := range cases {
		if _, err := io.ReadFull(c.out, buf); err != nil {
			return nil, fmt.Errorf("running % x on the CPU: the runner ended: %w", cases[i].Code, err)
		}
		outcomes[i] = decodeOutcome(buf, cases[i])
	}
	if err := <-wrote; err != nil {
		return nil, fmt.Errorf("sending cases to the CPU: %w", err)
	}
	return outcomes, nil
}

func encodeCase(buf *bytes.Buffer, c Case) error {
	if len(c.Code) > MaxCode {
		return fmt.Errorf("code of %d bytes is longer than %d", len(c.Code), MaxCode)
	}
	in := caseIn{
		Flags: RFLAGS(c.State), FSBase: c.State.Regs[guestabi.FSBase].Lo, GSBase: c.State.Regs[guestabi.GSBase].Lo,
		MXCSR: uint32(c.State.Regs[guestabi.MXCSR].Lo), CodeLen: uint32(len(c.Code)),
	}
	copy(in.Code[:], c.Code)
	for i := range in.GPR {
		in.GPR[i] = c.State.Regs[i].Lo
	}
	c.State.X87.MarshalFXSave(in.FX[:])
	for i := range guestabi.NumXMM {
		v := c.State.Regs[guestabi.XMM0+guestabi.Reg(i)]
		binary.LittleEndian.PutUint64(in.FX[160+16*i:], v.Lo)
		binary.LittleEndian.PutUint64(in.FX[168+16*i:], v.Hi)
	}
	copy(in.Mem[:], c.State.Mem[0].Data)
	return binary.Write(buf, binary.LittleEndian, &in)
}

func decodeOutcome(raw []byte, c Case) Outcome {
	var out caseOut
	if err := binary.Read(bytes.NewReader(raw), binary.LittleEndian, &out); err != nil {
		panic("BUG: " + err.Error())
	}
	st := Clone(c.State)
	for i, v := range out.GPR {
		st.Regs[i].Lo = v
	}
	SetRFLAGS(st, out.Flags)
	st.X87.UnmarshalFXSave(out.FX[:])
	st.Regs[guestabi.MXCSR].Lo = uint64(binary.LittleEndian.Uint32(out.FX[24:]))
	for i := range guestabi.NumXMM {
		st.Regs[guestabi.XMM0+guestabi.Reg(i)] = interp.Val{
			Lo: binary.LittleEndian.Uint64(out.FX[160+16*i:]),
			Hi: binary.LittleEndian.Uint64(out.FX[168+16*i:]),
		}
	}
	copy(st.Mem[0].Data, out.Mem[:])
	o := Outcome{State: st, Signal: syscall.Signal(out.Signal), PC: out.PC}
	inside := func(pc uint64) bool { return pc-CodeAt < uint64(len(c.Code)) }
	switch {
	case o.Signal == syscall.SIGTRAP && !inside(o.PC-1):
		o.Signal, o.PC = 0, o.PC-1 // the int3 that fills the page
	case o.Signal == syscall.SIGSEGV && !inside(o.PC):
		o.Signal = 0 // control went where no code is
	case o.Signal == syscall.SIGBUS:
		o.Signal = syscall.SIGSEGV // #SS: a stack address that is not canonical
	}
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
