package engines

import (
	"encoding/binary"
	"slices"
	"strings"

	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/x86"
)

// kind says what a statement is.
type kind int

const (
	straight kind = iota // code
	choice               // if cc {body} else {other}
	loop                 // body, n times, counted as form says
	leave                // if cc, out of the innermost loop
	multiway             // jump through a table: to one of arms, by two bits of register reg
	call                 // of function callee, directly or not
	system               // a system call
	intoLoop             // loop, and a jump into the middle of it if cc
	numberOfKinds
)

// Forms of a loop.
const (
	countDown   = iota // in a register, do while
	countUp            // in a register, compared with n
	countMemory        // in memory
	testFirst          // in a register, while
	numberOfForms
)

// statement is a node of a function.
type statement struct {
	kind        kind
	code        []byte
	cc          byte
	form, n     int
	reg         int // of multiway: its register's number
	indirect    bool
	callee      int
	body, other []*statement
	arms        [][]*statement
}

// Where things lie, in guest addresses. r15 points to memAt all the time.
const (
	codeAt     = 0x40_0000
	codeStep   = 0x1_0000 // between programs
	memAt      = 0x10_0000
	memSize    = 0x1_0000
	dataFrom   = 0x1000 // offsets in memory: data of general registers
	floatFrom  = 0x4000 // data of vector registers in programs of floats
	dataRoom   = 0x1000
	countersAt = 0x8000 // 64 bytes a function
	tablesAt   = 0x9000
	stackTop   = 0xf000
	stackRoom  = 0x1000
	returnPC   = 0x99_0000 // where the first function returns to
)

// assembler turns statements into code.
type assembler struct {
	base    uint64
	code    []byte
	leaders map[int]bool
	bound   []int // label -> offset
	fixups  []fixup
	tables  []table
	exits   []label // of the loops around
	depth   int
	nLoop   int // counters in memory that the function has used
	fn      int
	starts  []label
}

type label int

// fixup is a rel32 that ends at offset end.
type fixup struct {
	end int
	to  label
}

// table is a jump table: the jump before offset after goes to arms.
type table struct {
	after int
	arms  []label
}

func (a *assembler) label() label {
	a.bound = append(a.bound, -1)
	return label(len(a.bound) - 1)
}

func (a *assembler) bind(l label) {
	a.bound[l] = len(a.code)
	a.leaders[len(a.code)] = true
}

func (a *assembler) emit(b ...byte) { a.code = append(a.code, b...) }

func (a *assembler) imm32(v uint32) { a.code = binary.LittleEndian.AppendUint32(a.code, v) }

// jump emits an instruction that ends with a rel32 to l and ends a block.
func (a *assembler) jump(l label, opcode ...byte) {
	a.emit(opcode...)
	a.imm32(0)
	a.fixups = append(a.fixups, fixup{len(a.code), l})
	a.leaders[len(a.code)] = true
}

// function emits function i.
func (a *assembler) function(i int, body []*statement) {
	for len(a.code)%16 != 0 {
		a.emit(0x90)
	}
	a.fn, a.nLoop = i, 0
	a.bind(a.starts[i])
	a.emit(0x41, 0x55, 0x41, 0x56) // push r13; push r14
	a.statements(body)
	a.emit(0x41, 0x5e, 0x41, 0x5d, 0xc3) // pop r14; pop r13; ret
	a.leaders[len(a.code)] = true
}

func (a *assembler) statements(list []*statement) {
	for _, s := range list {
		a.statement(s)
	}
}

func (a *assembler) statement(s *statement) {
	switch s.kind {
	case straight:
		a.emit(s.code...)
	case choice:
		otherwise, end := a.label(), a.label()
		a.jump(otherwise, 0x0f, 0x80|s.cc^1)
		a.statements(s.body)
		if len(s.other) > 0 {
			a.jump(end, 0xe9)
		}
		a.bind(otherwise)
		a.statements(s.other)
		a.bind(end)
	case loop, intoLoop:
		a.loop(s)
	case leave:
		if len(a.exits) > 0 {
			a.jump(a.exits[len(a.exits)-1], 0x0f, 0x80|s.cc)
		}
	case multiway:
		a.multiway(s)
	case call:
		if s.indirect {
			a.jump(a.starts[s.callee], 0x4c, 0x8d, 0x25) // lea r12, [rip+...]
			delete(a.leaders, len(a.code))
			a.emit(0x41, 0xff, 0xd4) // call r12
			a.leaders[len(a.code)] = true
		} else {
			a.jump(a.starts[s.callee], 0xe8)
		}
	case system:
		a.emit(0x0f, 0x05)
		a.leaders[len(a.code)] = true
	}
}

// loop emits a loop whose counter is r14 outside and r13 inside of another.
func (a *assembler) loop(s *statement) {
	reg := byte(6 - min(a.depth, 1)) // of r14 or r13, less 8
	slot := uint32(countersAt + 64*a.fn + 4*(a.nLoop%16))
	a.nLoop++
	a.depth++
	head, middle, test, end := a.label(), a.label(), a.label(), a.label()
	form := s.form
	if a.depth > 2 {
		form = countMemory
	}
	n := uint32(s.n)
	switch form {
	case countDown, testFirst:
		a.emit(0x41, 0xb8|reg) // mov r, n
		a.imm32(n)
	case countUp:
		a.emit(0x45, 0x31, 0xc0|reg<<3|reg) // xor r, r
	case countMemory:
		a.emit(0x41, 0xc7, 0x87) // mov dword [r15+slot], n
		a.imm32(slot)
		a.imm32(n)
	}
	if s.kind == intoLoop {
		a.jump(middle, 0x0f, 0x80|s.cc)
	}
	if form == testFirst {
		a.jump(test, 0xe9)
	}
	a.bind(head)
	a.exits = append(a.exits, end)
	half := len(s.body) / 2
	a.statements(s.body[:half])
	if s.kind == intoLoop {
		a.bind(middle)
	}
	a.statements(s.body[half:])
	a.exits = a.exits[:len(a.exits)-1]
	switch form {
	case countDown:
		a.emit(0x41, 0xff, 0xc8|reg) // dec r
		a.jump(head, 0x0f, 0x85)
	case countUp:
		a.emit(0x49, 0xff, 0xc0|reg)
		a.emit(0x49, 0x81, 0xf8|reg) // cmp r, n
		a.imm32(n)
		a.jump(head, 0x0f, 0x8c)
	case countMemory:
		a.emit(0x41, 0xff, 0x8f) // dec dword [r15+slot]
		a.imm32(slot)
		a.jump(head, 0x0f, 0x8f)
	case testFirst:
		a.bind(test)
		a.emit(0x41, 0x83, 0xe8|reg, 1) // sub r, 1
		a.jump(head, 0x0f, 0x83)
	}
	a.bind(end)
	a.depth--
}

func (a *assembler) multiway(s *statement) {
	t := table{}
	end := a.label()
	for range s.arms {
		t.arms = append(t.arms, a.label())
	}
	at := tablesAt
	for _, other := range a.tables {
		at += 8 * len(other.arms)
	}
	a.emit(0x41, 0x89, 0xc4|byte(s.reg)<<3)       // mov r12d, reg
	a.emit(0x41, 0x83, 0xe4, byte(len(s.arms)-1)) // and r12d, arms-1
	a.emit(0x43, 0xff, 0xa4, 0xe7)                // jmp [r15+r12*8+at]
	a.imm32(uint32(at))
	a.leaders[len(a.code)] = true
	t.after = len(a.code)
	a.tables = append(a.tables, t)
	for i, arm := range s.arms {
		a.bind(t.arms[i])
		a.statements(arm)
		a.jump(end, 0xe9)
	}
	a.bind(end)
}

// program is code, what an analyzer would find in it, and the jump tables that
// belong to memory at tablesAt.
type program struct {
	code   []byte
	found  *programpb.Program
	tables []byte
}

// assemble places functions at base, the first one first.
func assemble(base uint64, functions [][]*statement) program {
	a := &assembler{base: base, leaders: map[int]bool{}}
	for range functions {
		a.starts = append(a.starts, a.label())
	}
	for i, f := range functions {
		a.function(i, f)
	}
	for _, f := range a.fixups {
		binary.LittleEndian.PutUint32(a.code[f.end-4:], uint32(a.bound[f.to]-f.end))
	}
	p := program{code: a.code, found: a.found()}
	for _, t := range a.tables {
		for _, arm := range t.arms {
			p.tables = binary.LittleEndian.AppendUint64(p.tables, base+uint64(a.bound[arm]))
		}
	}
	return p
}

// found describes the code as an analyzer does.
func (a *assembler) found() *programpb.Program {
	size := uint64(len(a.code))
	p := &programpb.Program{
		Sha256: strings.Repeat("00", 32), Size: size, Entry: a.base,
		Segments: []*programpb.Segment{{Address: a.base, FileSize: size, MemorySize: size, Flags: 5}},
	}
	var leaders []int
	for at := range a.leaders {
		leaders = append(leaders, at)
	}
	slices.Sort(leaders)
	targets := map[int][]uint64{}
	for _, t := range a.tables {
		for _, arm := range t.arms {
			targets[t.after] = append(targets[t.after], a.base+uint64(a.bound[arm]))
		}
	}
	for i, start := range a.starts {
		from, to := a.bound[start], len(a.code)
		if i+1 < len(a.starts) {
			to = a.bound[a.starts[i+1]]
		}
		fn := &programpb.Function{Start: a.base + uint64(from)}
		for k, at := range leaders {
			if at < from || at >= to {
				continue
			}
			end := to
			if k+1 < len(leaders) {
				end = min(end, leaders[k+1])
			}
			if padding(a.code[at:end]) {
				continue
			}
			fn.Blocks = append(fn.Blocks, &programpb.Block{Start: a.base + uint64(at), Size: uint32(end - at), Targets: targets[end]})
		}
		p.Functions = append(p.Functions, fn)
	}
	return p
}

func padding(code []byte) bool {
	return !slices.ContainsFunc(code, func(b byte) bool { return b != 0x90 })
}

// insts decodes code that lies at pc.
func insts(code []byte, pc uint64) []x86.Inst {
	var out []x86.Inst
	for at := 0; at < len(code); {
		in, err := x86.Decode(code[at:], pc+uint64(at))
		if err != nil {
			panic("BUG: " + err.Error())
		}
		out = append(out, in)
		at += in.Len
	}
	return out
}
