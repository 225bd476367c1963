package oracle

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/sdk/guestabi"
)

// TestFuzz runs random sequences of instructions, no two of them the same, on
// random states, on the CPU and through the IR interpreter, and a share of them
// through all passes and wazero's compiler. The environment chooses, besides
// what fuzzSettings reads: FUZZ_COUNT, how many sequences (else ORACLE_TIME,
// 60 s by default), FUZZ_SEEDS, of how many seeds from ORACLE_SEED on (1),
// FUZZ_STATES, on how many states each runs (1), and FUZZ_WASM, of how many
// sequences one is compiled (8).
func TestFuzz(t *testing.T) {
	cpu := startCPU(t)
	if cpu == nil {
		t.Skip("the oracle needs linux/amd64")
	}
	duration, seed, wanted := fuzzSettings(t)
	if os.Getenv("ORACLE_TIME") == "" {
		duration = 60 * time.Second
		if testing.Short() {
			duration = 3 * time.Second
		}
	}
	c := &campaign{t: t, cpu: cpu, wasm: &wasmMachine{name: "compiled wasm"}, seen: map[uint64]struct{}{},
		every: fuzzNumber(t, "FUZZ_WASM", 8), states: min(fuzzNumber(t, "FUZZ_STATES", 1), maxRecords)}
	count, seeds := fuzzNumber(t, "FUZZ_COUNT", 0), fuzzNumber(t, "FUZZ_SEEDS", 1)
	start := time.Now()
	c.g = NewGenerator(seed, func(op x86asm.Op) bool { return wanted(op) && !approximate[op] && !foreign(op) && !notInSequences[op] })
	c.g.runs = c.known
	for n := range seeds {
		c.g.rng = newRand(seed + uint64(n))
		for end := (n + 1) * count; c.found < 10; {
			if count > 0 && c.sequences >= end || count == 0 && time.Since(start) > duration {
				break
			}
			c.batch()
		}
		c.compile()
		summary := fmt.Sprintf("fuzz: seeds %d to %d: %s, %.0f s", seed, seed+uint64(n), c.summary(), time.Since(start).Seconds())
		t.Log(summary)
		if count > 0 {
			fmt.Fprintln(os.Stderr, summary)
		}
	}
	if c.sequences == 0 || c.compiled == 0 {
		t.Error("nothing was run")
	}
}

// known reports whether the CPU executes code, an instruction, or faults for
// another reason than not knowing it.
func (c *campaign) known(code []byte) bool {
	keep := bytes.Clone(c.cpu.record(0))
	defer func() { copy(c.cpu.record(0), keep) }()
	outcomes, err := c.cpu.Run([]Case{{Code: code, State: c.g.sequenceState(&sequence{})}})
	if err != nil {
		c.t.Fatalf("% x: %v", code, err)
	}
	return outcomes[0].Signal != syscall.SIGILL
}

func fuzzNumber(t *testing.T, name string, otherwise int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		t.Fatalf("reading %s: %q is no positive number", name, s)
	}
	return n
}

// sequencesPerUnit is how many sequences are compiled together.
const sequencesPerUnit = 256

// campaign counts what was run.
type campaign struct {
	t      *testing.T
	cpu    *CPU
	wasm   *wasmMachine
	g      *Generator
	states int // on how many states each sequence runs
	every  int // one of how many sequences is compiled
	// seen holds hashes of the sequences: those of one hash count as one.
	seen map[uint64]struct{}

	sequences, instructions, compiled int
	repeated                          int // sequences that had been drawn before
	runs, faulted, unknown            int // a run is a sequence on one state
	found                             int
	scratch                           *interp.State
	chosen                            []trial // to be compiled
}

func (c *campaign) summary() string {
	return fmt.Sprintf("%d distinct sequences compared, of %d instructions (%d drawn again and left out), %d of them compiled to wasm too; %d runs, %d ended by a memory fault, and %d by one that translated code does not have; %d differences",
		c.sequences, c.instructions, c.repeated, c.compiled, c.runs, c.faulted, c.unknown, c.found)
}

// trial is a sequence with its states.
type trial struct {
	seq   *sequence
	code  []byte
	fn    *ir.Func
	undef uint64
	first int // its first record
	cases []Case
	// want are its records, if they are not those of the CPU any more.
	want []record
	// strayed says of which cases the code looked at memory that only the
	// runner's process has.
	strayed []bool
}

// batch runs as many sequences as the CPU takes at once.
func (c *campaign) batch() {
	var trials []trial
	for n := 0; n+c.states <= maxRecords; {
		t, ok := c.trial(n)
		if !ok {
			continue
		}
		for i := range t.cases {
			c.cpu.record(n + i).put(t.cases[i])
		}
		n += len(t.cases)
		trials = append(trials, t)
	}
	if err := c.cpu.exec(len(trials) * c.states); err != nil {
		c.died(trials, err)
	}
	for i := range trials {
		t := &trials[i]
		if c.interpret(t) {
			c.sequences++
			c.instructions += len(t.seq.items)
		}
		if c.g.rng.IntN(c.every) == 0 {
			for k := range t.cases {
				t.want = append(t.want, slices.Clone(c.cpu.record(t.first+k)))
			}
			c.chosen = append(c.chosen, *t)
			continue
		}
		c.release(t)
	}
	if len(c.chosen) >= sequencesPerUnit {
		c.compile()
	}
}

// release gives the memory of t's states back.
func (c *campaign) release(t *trial) {
	for _, one := range t.cases {
		c.g.spare = append(c.g.spare, one.State)
	}
}

// died ends the test with the case that ended the runner, as a line of a case
// file.
func (c *campaign) died(trials []trial, err error) {
	var ended *RunnerError
	if errors.As(err, &ended) && ended.Case >= 0 && ended.Case < len(trials)*c.states {
		t := trials[ended.Case/c.states]
		before := Outcome{State: t.cases[ended.Case%c.states].State, PC: CodeAt + uint64(len(t.code))}
		c.t.Logf("%s%x | ended the runner | %s", disassemble(t.code), t.code, FormatChanges(DefaultState(), before, len(t.code), 0))
	}
	c.t.Fatal(err)
}

// trial draws a sequence that there was not before, and its states.
func (c *campaign) trial(first int) (trial, bool) {
	s := c.g.sequence()
	t := trial{seq: s, code: s.code(), first: first, strayed: make([]bool, c.states)}
	var ok bool
	if t.undef, ok = s.undefined(); !ok {
		return t, false
	}
	h := fnv.New64a()
	h.Write(t.code)
	if _, ok := c.seen[h.Sum64()]; ok {
		c.repeated++
		return t, false
	}
	var err error
	only := lift.Plain
	if s.careful {
		only = lift.Careful
	}
	if t.fn, err = lift.BytesOnly(t.code, CodeAt, only); err != nil {
		var unsupported *lift.UnsupportedError
		if !errors.As(err, &unsupported) {
			c.t.Fatalf("% x: %v", t.code, err)
		}
		return t, false
	}
	c.seen[h.Sum64()] = struct{}{}
	for range c.states {
		t.cases = append(t.cases, Case{Code: t.code, State: c.g.sequenceState(s)})
	}
	return t, true
}

// interpret runs t under the IR interpreter. It reports whether there was
// anything to compare.
func (c *campaign) interpret(t *trial) (compared bool) {
	if c.scratch == nil {
		c.scratch = DefaultState()
	}
	for i := range t.cases {
		want := c.cpu.record(t.first + i)
		c.runs++
		if sig, _ := want.end(len(t.code)); sig == syscall.SIGSEGV {
			c.faulted++
			if !want.comparable() {
				c.unknown++
				continue
			}
		}
		compared = true
		st := c.scratch
		mem := st.Mem[0].Data
		*st = *t.cases[i].State
		st.Mem = interp.Memory{{Base: MemAt, Data: mem}}
		copy(mem, t.cases[i].State.Mem[0].Data)
		r := interpretOn(t.fn, t.code, st)
		if t.strayed[i] = stray(r.Missed); !t.strayed[i] && !agrees(want, t, i, r) {
			c.report(Interp{}, t, i)
			break
		}
	}
	return compared
}

// compile runs the chosen trials as compiled wasm.
func (c *campaign) compile() {
	for len(c.chosen) > 0 {
		some := c.chosen[:min(sequencesPerUnit, len(c.chosen))]
		groups := make([][]Case, len(some))
		for i, t := range some {
			groups[i] = t.cases
		}
		all, err := c.wasm.runSequences(groups)
		if err != nil {
			c.t.Fatal(err)
		}
		for i, results := range all {
			c.compiled++
			for k, r := range results {
				if !some[i].strayed[k] && !agrees(some[i].want[k], &some[i], k, r) {
					c.report(c.wasm, &some[i], k)
					break
				}
			}
			c.release(&some[i])
		}
		c.chosen = c.chosen[len(some):]
	}
	c.chosen = c.chosen[:0]
}

// report minimises a difference and prints it as a line of a case file.
func (c *campaign) report(m Meaning, t *trial, state int) {
	c.found++
	seq, st := *t.seq, t.cases[state].State
	differs := func(seq *sequence, st *interp.State) (trial, Outcome, Result, bool) {
		try := trial{seq: seq, code: seq.code(), first: 0}
		var ok bool
		if try.undef, ok = seq.undefined(); !ok || len(seq.items) == 0 {
			return try, Outcome{}, Result{}, false
		}
		case1 := Case{Code: try.code, State: st}
		try.cases = []Case{case1}
		// The records of the batch are still compared.
		keep := bytes.Clone(c.cpu.record(0))
		outcomes, err := c.cpu.Run([]Case{case1})
		if err != nil {
			c.t.Fatal(err)
		}
		r := m.Run([]Case{case1})[0]
		same := agrees(c.cpu.record(0), &try, 0, r)
		copy(c.cpu.record(0), keep)
		return try, outcomes[0], r, !same
	}
	if _, _, _, ok := differs(&seq, st); !ok {
		c.t.Errorf("%s differed from the CPU once, and not again:\n%s", m.Name(), disassemble(t.code))
		return
	}
	seq, st = minimise(seq, st, func(s *sequence, st *interp.State) bool { _, _, _, ok := differs(s, st); return ok })
	try, want, got, _ := differs(&seq, st)
	before := FormatChanges(DefaultState(), Outcome{State: st, PC: CodeAt + uint64(len(try.code))}, len(try.code), 0)
	gotText := fmt.Sprint(got.Err)
	if got.Err == nil {
		gotText = FormatChanges(st, got.Outcome, len(try.code), try.undef)
	}
	c.t.Errorf("the %s disagrees with the CPU:\n%s%x | found by fuzzing | %s | %s\nthe %s gives: %s", m.Name(), disassemble(try.code), try.code,
		before, FormatChanges(st, want, len(try.code), try.undef), m.Name(), gotText)
}

// minimise makes a sequence and its state simpler as long as they differ.
func minimise(seq sequence, st *interp.State, differs func(*sequence, *interp.State) bool) (sequence, *interp.State) {
	without := func(i int) sequence {
		s := seq
		s.items = append(append([]item(nil), seq.items[:i]...), seq.items[i+1:]...)
		switch {
		case i < s.loopAt:
			s.loopAt--
		case i < s.loopAt+s.loopLen:
			s.loopLen--
		}
		return s
	}
	for changed := true; changed; {
		changed = false
		for i := range seq.items {
			if s := without(i); differs(&s, st) {
				seq, changed = s, true
				break
			}
			if seq.items[i].cc >= 0 {
				s := seq
				s.items = append([]item(nil), seq.items...)
				s.items[i].cc = -1
				if differs(&s, st) {
					seq, changed = s, true
					break
				}
			}
		}
		if s := seq; s.loopLen > 0 {
			if s.loopLen = 0; differs(&s, st) {
				seq, changed = s, true
			}
		}
	}
	def := DefaultState()
	for _, r := range guestabi.CPUv3.Regs() {
		if r == loopReg {
			continue // 0 is as good as for ever
		}
		for _, v := range []interp.Val{def.Regs[r], {}, {Lo: 1}} {
			try := Clone(st)
			if r == guestabi.MXCSR && seq.has(x86asm.STMXCSR) || r == guestabi.MXCSR && v != def.Regs[r] {
				continue
			}
			try.Regs[r] = v
			if differs(&seq, try) {
				st = try
				break
			}
		}
	}
	try := Clone(st)
	if try.X87 = def.X87; differs(&seq, try) {
		st = try
	}
	for off := 0; off < MemSize; off += 64 {
		try := Clone(st)
		copy(try.Mem[0].Data[off:off+64], def.Mem[0].Data[off:])
		if differs(&seq, try) {
			st = try
		}
	}
	return seq, st
}

func disassemble(code []byte) string {
	var b strings.Builder
	for at := 0; at < len(code); {
		in, err := decodeAt(code, at)
		if err != nil {
			return b.String() + err.Error() + "\n"
		}
		fmt.Fprintf(&b, "%x\t%s\n", in.Bytes, x86asm.IntelSyntax(in.Inst, in.PC, nil))
		at += in.Len
	}
	return b.String()
}
