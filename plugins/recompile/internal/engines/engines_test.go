package engines

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
	"megabinary.dev/vkernel/machine"
)

// batch is how many programs one module holds.
const batch = 16

// TestEnginesAgree runs random programs under wazero's compiler and its
// interpreter. The environment chooses:
// ENGINES_TIME (a duration), ENGINES_SEED.
func TestEnginesAgree(t *testing.T) {
	duration, seed := 10*time.Second, uint64(1)
	var err error
	if s := os.Getenv("ENGINES_TIME"); s != "" {
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatalf("reading ENGINES_TIME: %v", err)
		}
	}
	if s := os.Getenv("ENGINES_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("reading ENGINES_SEED: %v", err)
		}
	}
	g := NewGenerator(seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	total, finished, instructions := 0, 0, 0
	for end := time.Now().Add(duration); time.Now().Before(end) && !t.Failed(); {
		var trials []trial
		for range batch {
			trials = append(trials, trial{program: g.Next(), seed: rng.Uint64()})
		}
		opts := recompile.Options{NoOpt: rng.IntN(8) == 0, Workers: 1}
		pic := rng.IntN(4) == 0
		compiled, interpreted, n, err := runBoth(trials, opts, pic)
		if err != nil {
			t.Fatal(err)
		}
		instructions += n
		for i := range trials {
			total++
			if compiled[i].pc == returnPC {
				finished++
			}
			if text := compiled[i].differs(interpreted[i], trials[i].program.class); text != "" {
				report(t, trials[i], opts, pic)
			}
		}
	}
	t.Logf("%d programs of %d instructions, %d of which ran to their end", total, instructions, finished)
	if finished < total/2 {
		t.Errorf("%d of %d programs only ran to their end: the rest test little", finished, total)
	}
}

// trial is a program and what its initial state is drawn from.
type trial struct {
	program Program
	seed    uint64
}

// ending is the whole state after a program.
type ending struct {
	context guestabi.Context
	pc      guestabi.PC
	trap    machine.TrapKind
	memory  []byte
	x87     [512]byte
	events  []string // what the kernel was asked
}

// runBoth runs trials under the compiler and under the interpreter.
func runBoth(trials []trial, opts recompile.Options, pic bool) (compiled, interpreted []ending, instructions int, err error) {
	inputs := []wasm.LinkInput{{Name: guestabi.ModuleGuest, Module: guestabi.Runtime(len(trials))}}
	var entries []artifact.UnitEntry
	var programs []program
	for i, tr := range trials {
		p := assemble(codeAt+uint64(i)*codeStep, tr.program.functions)
		if len(p.code) > codeStep || len(p.tables) > stackTop-stackRoom-tablesAt {
			p = assemble(codeAt+uint64(i)*codeStep, [][]*statement{nil})
		}
		programs = append(programs, p)
		p.found.PositionIndependent = pic
		unit, report, err := recompile.Recompile(context.Background(), bytes.NewReader(p.code), p.found, opts)
		if err != nil {
			return nil, nil, 0, err
		}
		if len(report.Unknown) > 0 {
			return nil, nil, 0, fmt.Errorf("unknown instructions: %v", report.Unknown)
		}
		instructions += report.Instructions
		m, err := wasm.Decode(unit)
		if err != nil {
			return nil, nil, 0, err
		}
		name := guestabi.UnitModule(i)
		inputs = append(inputs, wasm.LinkInput{Name: name, Module: m, Prefix: name + "."})
		entry := artifact.UnitEntry{Low: report.Low, High: report.High,
			ExportEnter: name + "." + guestabi.ExportEnter, ExportAdmitted: name + "." + guestabi.ExportAdmitted}
		if pic {
			entry.ExportBase = name + "." + guestabi.ExportBase
		}
		entries = append(entries, entry)
	}
	linked, err := wasm.Link(inputs)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("linking: %w", err)
	}
	section, err := json.Marshal(entries)
	if err != nil {
		return nil, nil, 0, err
	}
	linked.Customs = append(linked.Customs, wasm.Custom{Name: artifact.SectionUnits, Bytes: section})
	megabinary := linked.Encode()
	if compiled, err = runOn(megabinary, machine.WazeroOptions{Workers: 1}, trials, programs); err != nil {
		return nil, nil, 0, fmt.Errorf("under the compiler: %w", err)
	}
	if interpreted, err = runOn(megabinary, machine.WazeroOptions{Interpreter: true}, trials, programs); err != nil {
		return nil, nil, 0, fmt.Errorf("under the interpreter: %w", err)
	}
	return compiled, interpreted, instructions, nil
}

func runOn(megabinary []byte, o machine.WazeroOptions, trials []trial, programs []program) ([]ending, error) {
	ctx := context.Background()
	engine, err := machine.NewWazero(ctx, megabinary, o)
	if err != nil {
		return nil, err
	}
	defer engine.Close(ctx)
	mem, err := machine.NewMemory(memAt + memSize - guestabi.AddrBias)
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	k := &kernel{}
	m, err := engine.NewMachine(mem, k)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	k.machine = m
	var endings []ending
	for i, tr := range trials {
		if err := m.Bind(i, 0); err != nil {
			return nil, err
		}
		endings = append(endings, tr.run(k, mem, programs[i], i))
	}
	return endings, nil
}

// run runs program p, unit i.
func (tr trial) run(k *kernel, mem *machine.Memory, p program, i int) ending {
	rng := rand.New(rand.NewPCG(tr.seed, 3))
	data := mem.Bytes()[memAt-guestabi.AddrBias:][:memSize]
	for off := 0; off < len(data); off += 8 {
		binary.LittleEndian.PutUint64(data[off:], tr.word(rng))
	}
	copy(data[tablesAt:], p.tables)
	var c guestabi.Context
	for r := range c.GPR {
		c.GPR[r] = rng.Uint64() >> rng.IntN(64)
	}
	for r := range c.XMM {
		for half := range 2 {
			binary.LittleEndian.PutUint64(c.XMM[r][8*half:], tr.word(rng))
		}
	}
	c.GPR[guestabi.RSP], c.GPR[guestabi.R15] = memAt+stackTop, memAt
	binary.LittleEndian.PutUint64(data[stackTop:], returnPC)
	c.RFLAGS, c.MXCSR, c.Fuel = 2, 0x1f80, uint32(rng.IntN(40))
	k.unit, k.low, k.high, k.events = i, guestabi.PC(codeAt+i*codeStep), guestabi.PC(codeAt+(i+1)*codeStep), nil
	k.machine.X87().UnmarshalFXSave(initialX87())
	k.machine.LoadContext(&c)
	var e ending
	var err error
	e.pc, err = k.machine.Run(k.low)
	if k.left != 0 {
		e.pc, k.left = k.left, 0
	}
	var trap *machine.Trap
	if errors.As(err, &trap) {
		e.trap = trap.Kind
		e.pc = 0
	} else if err != nil {
		e.events = append(e.events, err.Error())
	}
	k.machine.SaveContext(&e.context)
	k.machine.X87().MarshalFXSave(e.x87[:])
	e.memory = bytes.Clone(data)
	e.events = append(e.events, k.events...)
	return e
}

// initialX87 is the x87 unit after FNINIT.
func initialX87() []byte {
	area := make([]byte, 512)
	binary.LittleEndian.PutUint16(area, 0x37f)
	return area
}

// word draws 64 bits of memory or of a vector register.
func (tr trial) word(rng *rand.Rand) uint64 {
	number := func() float64 { return float64(rng.IntN(2000)-1000) / float64(1+rng.IntN(16)) }
	switch tr.program.class.lane {
	case 8:
		return math.Float64bits(number())
	case 4:
		single := func() uint64 { return uint64(math.Float32bits(float32(number()))) }
		return single() | single()<<32
	}
	return rng.Uint64() >> rng.IntN(64)
}

// differs says how e differs from f, or returns "".
func (e *ending) differs(f ending, c class) string {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	if e.pc != f.pc || e.trap != f.trap {
		line("left to %#x, trap %d; interpreted %#x, trap %d", e.pc, e.trap, f.pc, f.trap)
	}
	if a, b := strings.Join(e.events, "; "), strings.Join(f.events, "; "); a != b {
		line("asked the kernel for %s; interpreted %s", a, b)
	}
	for r := range e.context.GPR {
		if a, b := e.context.GPR[r], f.context.GPR[r]; a != b {
			line("%s %#x; interpreted %#x", guestabi.Reg(r), a, b)
		}
	}
	for r := range e.context.XMM {
		if a, b := e.context.XMM[r][:], f.context.XMM[r][:]; !sameNumbers(a, b, c.lane) {
			line("xmm%d %x; interpreted %x", r, a, b)
		}
	}
	if a, b := e.context, f.context; a.RFLAGS != b.RFLAGS || a.MXCSR != b.MXCSR || a.Fuel != b.Fuel {
		line("flags %#x, mxcsr %#x, fuel %d; interpreted %#x, %#x, %d", a.RFLAGS, a.MXCSR, a.Fuel, b.RFLAGS, b.MXCSR, b.Fuel)
	}
	for off := 0; off < memSize; off += 16 {
		lane := 0
		if off >= floatFrom && off < floatFrom+2*dataRoom {
			lane = c.lane
		}
		if a, b := e.memory[off:off+16], f.memory[off:off+16]; !sameNumbers(a, b, lane) {
			line("memory at %#x: %x; interpreted %x", off, a, b)
		}
	}
	if e.x87 != f.x87 {
		line("the x87 states differ")
	}
	return s.String()
}

// sameNumbers compares bytes, in lanes of which NaNs are all equal if lane is
// not 0.
func sameNumbers(a, b []byte, lane int) bool {
	if bytes.Equal(a, b) {
		return true
	}
	for off := 0; lane > 0 && off < len(a); off += lane {
		if x, y := a[off:off+lane], b[off:off+lane]; !bytes.Equal(x, y) && !(isNaN(x) && isNaN(y)) {
			return false
		}
	}
	return lane > 0
}

// kernel answers a program's calls in a way that is the same each time.
type kernel struct {
	machine   machine.Machine
	unit      int
	low, high guestabi.PC
	left      guestabi.PC
	events    []string
}

func (k *kernel) Syscall(nr uint64, args [6]uint64, next guestabi.PC) (uint64, guestabi.PC) {
	k.events = append(k.events, fmt.Sprintf("syscall %#x %x next %#x", nr, args, next))
	return nr*0x9e37_79b9_7f4a_7c15 ^ args[0], next
}

func (k *kernel) Safepoint(next guestabi.PC) guestabi.PC {
	k.events = append(k.events, fmt.Sprintf("safepoint %#x", next))
	return next
}

func (k *kernel) Fault(f guestabi.Fault, pc guestabi.PC) guestabi.PC {
	if f != guestabi.FaultBadPC {
		k.events = append(k.events, fmt.Sprintf("fault %d at %#x", f, pc))
	}
	k.left = pc
	return machine.Unwind
}

func (k *kernel) Resolve(pc guestabi.PC) int {
	if pc >= k.low && pc < k.high {
		return k.unit
	}
	return -1
}

// report makes the program as small as it can while the engines differ.
func report(t *testing.T, tr trial, opts recompile.Options, pic bool) {
	t.Helper()
	differs := func(tr trial) string {
		compiled, interpreted, _, err := runBoth([]trial{tr}, opts, pic)
		if err != nil {
			return ""
		}
		return compiled[0].differs(interpreted[0], tr.program.class)
	}
	if differs(tr) == "" {
		t.Errorf("a program differs in its batch but not alone (class %s, seed %d)", tr.program.class.name, tr.seed)
		return
	}
	shrink(tr.program.functions, func() bool { return differs(tr) != "" })
	p := assemble(codeAt, tr.program.functions)
	var s strings.Builder
	for _, fn := range p.found.GetFunctions() {
		fmt.Fprintf(&s, "function %#x\n", fn.GetStart())
		for _, b := range fn.GetBlocks() {
			at := b.GetStart() - codeAt
			fmt.Fprintf(&s, " block %#x targets %x\n", b.GetStart(), b.GetTargets())
			for _, in := range insts(p.code[at:at+uint64(b.GetSize())], b.GetStart()) {
				fmt.Fprintf(&s, "  %x\t%s\n", in.Bytes, x86asm.IntelSyntax(in.Inst, in.PC, nil))
			}
		}
	}
	t.Errorf("wazero's compiler and interpreter differ (class %s, seed %d, required passes only: %v, position-independent: %v):\n%s\n%s",
		tr.program.class.name, tr.seed, opts.NoOpt, pic, s.String(), differs(tr))
}

// shrink leaves out what it can of functions while bad stays true.
func shrink(functions [][]*statement, bad func() bool) {
	for again := true; again; {
		again = false
		for i := range functions {
			again = shrinkList(&functions[i], bad) || again
		}
	}
}

func shrinkList(list *[]*statement, bad func() bool) (shrunk bool) {
	for i := 0; i < len(*list); {
		old := *list
		s := old[i]
		smaller := func(with []*statement) bool {
			*list = append(append(append([]*statement{}, old[:i]...), with...), old[i+1:]...)
			if bad() {
				shrunk = true
				return true
			}
			*list = old
			return false
		}
		inside := append(append([]*statement{}, s.body...), s.other...)
		for _, arm := range s.arms {
			inside = append(inside, arm...)
		}
		if smaller(nil) || len(inside) > 0 && smaller(inside) {
			continue
		}
		shrunk = shrinkList(&s.body, bad) || shrunk
		shrunk = shrinkList(&s.other, bad) || shrunk
		for k := range s.arms {
			shrunk = shrinkList(&s.arms[k], bad) || shrunk
		}
		shrunk = s.shrinkCode(bad) || shrunk
		i++
	}
	return shrunk
}

// shrinkCode leaves out instructions of a straight statement.
func (s *statement) shrinkCode(bad func() bool) (shrunk bool) {
	for at := 0; at < len(s.code); {
		old := s.code
		n := insts(old[at:], 0)[0].Len
		s.code = append(append([]byte{}, old[:at]...), old[at+n:]...)
		if bad() {
			shrunk = true
			continue
		}
		s.code = old
		at += n
	}
	return shrunk
}

func isNaN(b []byte) bool {
	if len(b) == 4 {
		return binary.LittleEndian.Uint32(b)&0x7fff_ffff > 0x7f80_0000
	}
	return binary.LittleEndian.Uint64(b)&^(1<<63) > 0x7ff0<<48
}
