package ir

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"

	"megabinary.dev/sdk/guestabi"
)

// Parse reads the text that Func.String writes. Lines that are empty or begin
// with ; are skipped.
func Parse(text string) (*Func, error) {
	p := &parser{ops: map[string]Op{}}
	for op := Invalid + 1; op < NumOps; op++ {
		p.ops[Rows[op].Name] = op
	}
	sc := bufio.NewScanner(strings.NewReader(text))
	for sc.Scan() {
		p.line++
		words := strings.Fields(sc.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], ";") {
			continue
		}
		if err := p.parse(words); err != nil {
			return nil, fmt.Errorf("parsing IR, line %d: %w", p.line, err)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("parsing IR: %w", err)
	}
	if p.f == nil {
		return nil, fmt.Errorf("parsing IR: no function")
	}
	return p.f, Verify(p.f)
}

type parser struct {
	ops  map[string]Op
	f    *Func
	b    *Block
	line int
}

func (p *parser) parse(w []string) error {
	if w[0] == "func" {
		if len(w) < 3 || p.f != nil {
			return fmt.Errorf("want one line: func \"name\" address")
		}
		name, err := strconv.Unquote(w[1])
		if err != nil {
			return fmt.Errorf("name %s: %w", w[1], err)
		}
		pc, err := number(w[2])
		p.f = &Func{Name: name, PC: uint32(pc)}
		for _, s := range w[3:] {
			r, ok := RegByName(s)
			if !ok || len(p.f.Scalars) == MaxScalars {
				return fmt.Errorf("scalar register %q", s)
			}
			p.f.Scalars = append(p.f.Scalars, r)
		}
		return err
	}
	if p.f == nil {
		return fmt.Errorf("%q before func", w[0])
	}
	if id, ok := index(w[0], "b"); ok {
		return p.block(id, w)
	}
	if p.b == nil {
		return fmt.Errorf("%q before a block", w[0])
	}
	if done, err := p.term(w); done || err != nil {
		return err
	}
	return p.inst(w)
}

func (p *parser) block(id int, w []string) error {
	if len(w) < 2 || id != len(p.f.Blocks) {
		return fmt.Errorf("want block b%d and its address", len(p.f.Blocks))
	}
	pc, err := number(w[1])
	if err != nil {
		return err
	}
	p.b = p.f.NewBlock(uint32(pc))
	for i := 2; i < len(w); i++ {
		switch w[i] {
		case "entry":
			p.b.Entry = true
		case "safepoint":
			p.b.Safepoint = true
		case "copy":
			p.b.Copy = true
		case "preheader":
			p.b.Preheader = true
		case "promoted", "dirty":
			if i++; i >= len(w) {
				return fmt.Errorf("no registers after %s", w[i-1])
			}
			set, err := regSet(w[i])
			if err != nil {
				return err
			}
			if w[i-1] == "promoted" {
				p.b.Promoted = set
			} else {
				p.b.Dirty = set
			}
		default:
			return fmt.Errorf("unknown mark %q", w[i])
		}
	}
	return nil
}

func regSet(s string) (RegSet, error) {
	var set RegSet
	if s == "-" {
		return 0, nil
	}
	for _, name := range strings.Split(s, ",") {
		r, ok := RegByName(name)
		if !ok {
			return 0, fmt.Errorf("unknown register %q", name)
		}
		set |= RegSetOf(r)
	}
	return set, nil
}

func (p *parser) inst(w []string) error {
	if len(w) > 2 && w[1] == "=" {
		if i, ok := index(w[0], "v"); !ok || i != len(p.b.Insts) {
			return fmt.Errorf("want v%d, not %s", len(p.b.Insts), w[0])
		}
		w = w[2:]
	}
	op, ok := p.ops[w[0]]
	if !ok {
		return fmt.Errorf("unknown operation %q", w[0])
	}
	row := &Rows[op]
	in := Inst{Op: op, Type: row.Result, PC: p.b.PC, Args: [3]Value{None, None, None}}
	w = w[1:]
	switch op {
	case Helper:
		return p.helper(in, w)
	case Result:
		return p.result(in, w)
	}
	if row.Imm == ImmReg {
		if len(w) == 0 {
			return fmt.Errorf("%s without a register", row.Name)
		}
		r, ok := RegByName(w[0])
		if !ok {
			return fmt.Errorf("unknown register %q", w[0])
		}
		in.Reg = r
		if op == Get {
			in.Type = RegType(r)
		}
		w = w[1:]
	}
	if len(w) < len(row.Args) {
		return fmt.Errorf("%s takes %d arguments", row.Name, len(row.Args))
	}
	for i := range row.Args {
		v, err := p.value(w[i])
		if err != nil {
			return err
		}
		in.Args[i] = v
	}
	if op == Select {
		in.Type = p.b.Insts[in.Args[0]].Type
	}
	if err := immediates(&in, row, w[len(row.Args):]); err != nil {
		return err
	}
	p.b.Insts = append(p.b.Insts, in)
	return nil
}

func immediates(in *Inst, row *Row, w []string) error {
	want := 0
	switch row.Imm {
	case ImmInt, ImmLane:
		want = 1
	case ImmV128:
		want = 2
	case ImmDisp:
		want = min(len(w), 1)
	}
	if len(w) != want {
		return fmt.Errorf("%s takes %d immediates", row.Name, want)
	}
	for i, s := range w {
		if rest, ok := strings.CutPrefix(s, "linear"); ok {
			in.Imm2, s = 1, rest
		}
		n, err := number(s)
		if err != nil {
			return err
		}
		if i == 0 {
			in.Imm = n
		} else {
			in.Imm2 = n
		}
	}
	return nil
}

func (p *parser) helper(in Inst, w []string) error {
	if len(w) == 0 {
		return fmt.Errorf("helper without a name")
	}
	var args []Value
	for _, s := range w[1:] {
		v, err := p.value(s)
		if err != nil {
			return err
		}
		args = append(args, v)
	}
	if !in.SetHelper(w[0], args) {
		return fmt.Errorf("no helper called %q takes %d arguments", w[0], len(args))
	}
	p.b.Insts = append(p.b.Insts, in)
	return nil
}

func (p *parser) result(in Inst, w []string) error {
	if len(w) != 3 {
		return fmt.Errorf("want Result type value number")
	}
	for _, t := range []Type{I32, I64, F32, F64, V128} {
		if TypeName(t) == w[0] {
			in.Type = t
		}
	}
	v, err := p.value(w[1])
	if err != nil {
		return err
	}
	in.Args[0] = v
	in.Imm, err = number(w[2])
	p.b.Insts = append(p.b.Insts, in)
	return err
}

func (p *parser) value(s string) (Value, error) {
	i, ok := index(s, "v")
	if !ok || i >= len(p.b.Insts) {
		return None, fmt.Errorf("%q is no value defined before", s)
	}
	return Value(i), nil
}

// term parses a terminator; done reports whether the line was one.
func (p *parser) term(w []string) (done bool, err error) {
	t := Term{Cond: None, Target: None, To: NoBlock, Else: NoBlock}
	args := w[1:]
	need := map[string]int{"jump": 1, "branch": 3, "indirect": 1, "call": 4, "syscall": 3, "tail": 1, "ret": 1, "fault": 2}
	n, ok := need[w[0]]
	if !ok {
		return false, nil
	}
	if len(args) < n {
		return true, fmt.Errorf("%s takes %d words", w[0], n)
	}
	var e termErrors
	switch w[0] {
	case "jump":
		t.Kind, t.To = TermJump, e.block(args[0])
	case "branch":
		t.Kind, t.Cond, t.To, t.Else = TermBranch, e.value(p, args[0]), e.block(args[1]), e.block(args[2])
	case "indirect":
		t.Kind, t.Target = TermIndirect, e.value(p, args[0])
		for _, s := range args[1:] {
			t.Known = append(t.Known, e.block(s))
		}
	case "call":
		t.Kind = TermCall
		if strings.HasPrefix(args[0], "v") {
			t.Target = e.value(p, args[0])
		} else {
			t.PC = e.pc(args[0])
		}
		t.ReturnPC, t.To = e.pc(args[2]), e.block(args[3])
	case "syscall":
		t.Kind, t.ReturnPC, t.To = TermSyscall, e.pc(args[1]), e.block(args[2])
	case "tail":
		t.Kind, t.PC = TermTail, e.pc(args[0])
	case "ret":
		t.Kind, t.Target = TermRet, e.value(p, args[0])
	case "fault":
		t.Kind, t.Fault, t.PC = TermFault, guestabi.Fault(e.pc(args[0])), e.pc(args[1])
	}
	p.b.Term = t
	return true, e.err
}

// termErrors keeps the first error of parsing the words of a terminator.
type termErrors struct{ err error }

func (e *termErrors) keep(err error) {
	if e.err == nil {
		e.err = err
	}
}

func (e *termErrors) block(s string) BlockID {
	if s == "nowhere" {
		return NoBlock
	}
	i, ok := index(s, "b")
	if !ok {
		e.keep(fmt.Errorf("%q is no block", s))
	}
	return BlockID(i)
}

func (e *termErrors) value(p *parser, s string) Value {
	v, err := p.value(s)
	e.keep(err)
	return v
}

func (e *termErrors) pc(s string) uint32 {
	n, err := number(s)
	e.keep(err)
	return uint32(n)
}

// index parses a letter followed by a decimal number.
func index(s, letter string) (int, bool) {
	rest, ok := strings.CutPrefix(s, letter)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(rest, 10, 31)
	return int(n), err == nil
}

// number parses a number of 64 bits with or without sign.
func number(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 0, 64); err == nil {
		return n, nil
	}
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", s)
	}
	return int64(n), nil
}
