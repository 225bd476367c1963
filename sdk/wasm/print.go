package wasm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Print writes the whole module in the text format, which wat2wasm reads back.
// Custom sections are left out.
func (m *Module) Print(w io.Writer) error {
	p := newPrinter(m, w)
	p.module()
	return p.finish("printing a module")
}

// PrintFunc writes one function in the text format. index is of the function
// index space.
func (m *Module) PrintFunc(w io.Writer, index uint32) error {
	p := newPrinter(m, w)
	imported := m.Imported(KindFunc)
	if index < imported || int(index-imported) >= len(m.Funcs) {
		return fmt.Errorf("printing function %d: the module defines %d to %d", index, imported, int(imported)+len(m.Funcs)-1)
	}
	p.function(index, "")
	return p.finish(fmt.Sprintf("printing function %d", index))
}

// FindFunc returns the index of the first function with that name in the name
// section.
func (m *Module) FindFunc(label string) (uint32, bool) {
	imported := m.Imported(KindFunc)
	for i := range m.Funcs {
		if m.Funcs[i].Label == label {
			return imported + uint32(i), true
		}
	}
	return 0, false
}

// printer writes text. The first error sticks.
type printer struct {
	m     *Module
	w     *bufio.Writer
	err   error
	names [4][]string // by Kind: identifier of each index
}

func newPrinter(m *Module, w io.Writer) *printer {
	p := &printer{m: m, w: bufio.NewWriter(w)}
	var labels [4][]string
	for i := range m.Imports {
		k := m.Imports[i].Kind
		labels[k] = append(labels[k], m.Imports[i].Label)
	}
	for i := range m.Funcs {
		labels[KindFunc] = append(labels[KindFunc], m.Funcs[i].Label)
	}
	for i := range m.Tables {
		labels[KindTable] = append(labels[KindTable], m.Tables[i].Label)
	}
	for i := range m.Memories {
		labels[KindMemory] = append(labels[KindMemory], m.Memories[i].Label)
	}
	for i := range m.Globals {
		labels[KindGlobal] = append(labels[KindGlobal], m.Globals[i].Label)
	}
	for kind := range labels {
		p.names[kind] = identifiers(labels[kind])
	}
	return p
}

// identifiers makes each label an identifier of its own; where there is none
// the index stands alone.
func identifiers(labels []string) []string {
	out := make([]string, len(labels))
	seen := make(map[string]bool, len(labels))
	for i, l := range labels {
		if l == "" {
			out[i] = strconv.Itoa(i)
			continue
		}
		id := "$" + strings.Map(func(c rune) rune {
			if c > 0x20 && c < 0x7f && !strings.ContainsRune("\"(),;[]{}", c) {
				return c
			}
			return '_'
		}, l)
		for seen[id] {
			id += "#" + strconv.Itoa(i)
		}
		seen[id] = true
		out[i] = id
	}
	return out
}

func (p *printer) finish(what string) error {
	if p.err == nil {
		p.err = p.w.Flush()
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", what, p.err)
	}
	return nil
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// name returns the identifier of an index.
func (p *printer) name(kind Kind, i uint32) string {
	if int(i) < len(p.names[kind]) {
		return p.names[kind][i]
	}
	return strconv.FormatUint(uint64(i), 10)
}

// declare returns the identifier of an index where it is defined: nothing, or
// a name with a space before it.
func (p *printer) declare(kind Kind, i uint32) string {
	if n := p.name(kind, i); strings.HasPrefix(n, "$") {
		return " " + n
	}
	return fmt.Sprintf(" (;%d;)", i)
}

// typeNames are the value types in the text format.
var typeNames = map[ValType]string{
	I32: "i32", I64: "i64", F32: "f32", F64: "f64", V128: "v128", FuncRef: "funcref", ExternRef: "externref",
}

// String returns the name of t in the text format.
func (t ValType) String() string {
	if n, ok := typeNames[t]; ok {
		return n
	}
	return fmt.Sprintf("type%#x", byte(t))
}

func typeList(keyword string, types []ValType) string {
	if len(types) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(" (" + keyword)
	for _, t := range types {
		b.WriteString(" " + t.String())
	}
	b.WriteString(")")
	return b.String()
}

// String returns t in the text format.
func (t FuncType) String() string {
	return "(func" + typeList("param", t.Params) + typeList("result", t.Results) + ")"
}

func (l Limits) String() string {
	s := strconv.FormatUint(uint64(l.Min), 10)
	if l.HasMax {
		s += " " + strconv.FormatUint(uint64(l.Max), 10)
	}
	if l.Shared {
		s += " shared"
	}
	return s
}

// String returns t in the text format.
func (t GlobalType) String() string {
	if t.Mutable {
		return "(mut " + t.Type.String() + ")"
	}
	return t.Type.String()
}

// quote returns b as a string of the text format.
func quote(b []byte) string {
	var s strings.Builder
	s.WriteByte('"')
	for _, c := range b {
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			s.WriteByte(c)
		} else {
			fmt.Fprintf(&s, "\\%02x", c)
		}
	}
	s.WriteByte('"')
	return s.String()
}

var kindNames = [4]string{"func", "table", "memory", "global"}

func (p *printer) module() {
	m := p.m
	p.printf("(module\n")
	for i, t := range m.Types {
		p.printf("  (type (;%d;) %s)\n", i, t)
	}
	var at [4]uint32
	for i := range m.Imports {
		im := &m.Imports[i]
		p.printf("  (import %s %s (%s%s", quote([]byte(im.Module)), quote([]byte(im.Name)), kindNames[im.Kind], p.declare(im.Kind, at[im.Kind]))
		at[im.Kind]++
		switch im.Kind {
		case KindFunc:
			p.printf(" (type %d)))\n", im.Type)
		case KindTable:
			p.printf(" %s %s))\n", im.Limits, im.Elem)
		case KindMemory:
			p.printf(" %s))\n", im.Limits)
		case KindGlobal:
			p.printf(" %s))\n", im.Global)
		}
	}
	for i, t := range m.Tables {
		p.printf("  (table%s %s %s)\n", p.declare(KindTable, at[KindTable]+uint32(i)), t.Limits, t.Elem)
	}
	for i, mem := range m.Memories {
		p.printf("  (memory%s %s)\n", p.declare(KindMemory, at[KindMemory]+uint32(i)), mem.Limits)
	}
	for i, g := range m.Globals {
		p.printf("  (global%s %s (%s))\n", p.declare(KindGlobal, at[KindGlobal]+uint32(i)), g.GlobalType, p.constant(g.Init))
	}
	for _, e := range m.Exports {
		p.printf("  (export %s (%s %s))\n", quote([]byte(e.Name)), kindNames[e.Kind], p.name(e.Kind, e.Index))
	}
	if m.HasStart {
		p.printf("  (start %s)\n", p.name(KindFunc, m.Start))
	}
	for i := range m.Elems {
		p.element(&m.Elems[i])
	}
	for i := range m.Funcs {
		p.function(at[KindFunc]+uint32(i), "  ")
	}
	for i := range m.Data {
		d := &m.Data[i]
		p.printf("  (data")
		if d.Mode == Active {
			p.printf(" (offset %s)", p.constant(d.Offset))
		}
		p.printf(" %s)\n", quote(d.Bytes))
	}
	p.printf(")\n")
}

func (p *printer) element(e *Elem) {
	p.printf("  (elem")
	switch e.Mode {
	case Active:
		p.printf(" (table %s) (offset %s)", p.name(KindTable, e.Table), p.constant(e.Offset))
	case Declarative:
		p.printf(" declare")
	}
	if e.Exprs != nil {
		p.printf(" %s", e.Type)
		for _, x := range e.Exprs {
			p.printf(" (item %s)", p.constant(x))
		}
	} else {
		p.printf(" func")
		for _, f := range e.Funcs {
			p.printf(" %s", p.name(KindFunc, f))
		}
	}
	p.printf(")\n")
}

// constant returns a constant expression on one line.
func (p *printer) constant(code []byte) string {
	var parts []string
	err := Walk(code, func(in *Inst, depth int) error {
		if in.Op != OpEnd || depth > 0 {
			parts = append(parts, p.inst(in, nil))
		}
		return nil
	})
	if err != nil && p.err == nil {
		p.err = err
	}
	return strings.Join(parts, " ")
}

func (p *printer) function(index uint32, indent string) {
	m := p.m
	f := &m.Funcs[index-m.Imported(KindFunc)]
	p.printf("%s(func%s (type %d)", indent, p.declare(KindFunc, index), f.Type)
	var labels []string
	label := func(i int) string { return f.Names[uint32(i)] }
	t := m.Types[f.Type]
	locals := 0
	for range t.Params {
		labels = append(labels, label(locals))
		locals++
	}
	for _, run := range f.Locals {
		for range run.Count {
			labels = append(labels, label(locals))
			locals++
		}
	}
	names := identifiers(labels)
	at := 0
	declare := func(keyword string, t ValType) {
		id := ""
		if strings.HasPrefix(names[at], "$") {
			id = names[at] + " "
		}
		at++
		p.printf(" (%s %s%s)", keyword, id, t)
	}
	for _, t := range t.Params {
		declare("param", t)
	}
	p.printf("%s\n", typeList("result", t.Results))
	for _, run := range f.Locals {
		p.printf("%s ", indent)
		for range run.Count {
			declare("local", run.Type)
		}
		p.printf("\n")
	}
	err := Walk(f.Code, func(in *Inst, depth int) error {
		if in.Op == OpEnd && depth == 0 {
			return nil
		}
		p.printf("%s%s%s\n", indent, strings.Repeat("  ", depth), p.inst(in, names))
		return p.err
	})
	if err != nil && p.err == nil {
		p.err = err
	}
	p.printf("%s)\n", indent)
}

// inst returns one instruction.
func (p *printer) inst(in *Inst, locals []string) string {
	row := in.Op.Row()
	if args := p.operands(in, row.Imm, locals); args != "" {
		return row.Name + " " + args
	}
	return row.Name
}

func (p *printer) operands(in *Inst, imm ImmKind, locals []string) string {
	u := func(v uint32) string { return strconv.FormatUint(uint64(v), 10) }
	switch imm {
	case ImmBlock:
		switch {
		case in.I >= 0:
			return fmt.Sprintf("(type %d)", in.I)
		case in.I == int64(BlockVoid):
			return ""
		}
		return fmt.Sprintf("(result %s)", ValType(in.I+0x80))
	case ImmLabel, ImmData, ImmElem, ImmLane:
		return u(in.A)
	case ImmBrTable:
		return strings.Trim(fmt.Sprint(in.Labels), "[]")
	case ImmFunc:
		return p.name(KindFunc, in.A)
	case ImmCallIndirect:
		return fmt.Sprintf("%s (type %d)", p.name(KindTable, in.B), in.A)
	case ImmLocal:
		if int(in.A) < len(locals) {
			return locals[in.A]
		}
		return u(in.A)
	case ImmGlobal:
		return p.name(KindGlobal, in.A)
	case ImmTable:
		return p.name(KindTable, in.A)
	case ImmMemArg, ImmMemArgLane:
		s := fmt.Sprintf("offset=%d align=%d", in.B, uint64(1)<<in.A)
		if imm == ImmMemArgLane {
			s += " " + strconv.Itoa(int(in.Lane))
		}
		return s
	case ImmI32, ImmI64:
		return strconv.FormatInt(in.I, 10)
	case ImmF32:
		return formatFloat(uint64(binary.LittleEndian.Uint32(in.Raw)), 8, 23)
	case ImmF64:
		return formatFloat(binary.LittleEndian.Uint64(in.Raw), 11, 52)
	case ImmV128:
		return fmt.Sprintf("i64x2 %#x %#x", binary.LittleEndian.Uint64(in.Raw), binary.LittleEndian.Uint64(in.Raw[8:]))
	case ImmLanes16:
		return strings.Trim(fmt.Sprint(in.Raw), "[]")
	case ImmSelectT:
		return strings.TrimSpace(typeList("result", in.Types))
	case ImmRefType:
		return strings.TrimSuffix(ValType(in.I).String(), "ref")
	case ImmDataMem:
		return u(in.A)
	case ImmElemTable:
		return p.name(KindTable, in.B) + " " + u(in.A)
	case ImmTableTable:
		return p.name(KindTable, in.A) + " " + p.name(KindTable, in.B)
	}
	return ""
}

// formatFloat writes the float with the given bits so that reading it gives the
// same bits, NaNs included.
func formatFloat(bits uint64, exponentBits, mantissaBits int) string {
	sign := ""
	if bits>>(exponentBits+mantissaBits) != 0 {
		sign = "-"
	}
	mantissa := bits & (1<<mantissaBits - 1)
	if bits>>mantissaBits&(1<<exponentBits-1) == 1<<exponentBits-1 {
		if mantissa == 0 {
			return sign + "inf"
		}
		return fmt.Sprintf("%snan:%#x", sign, mantissa)
	}
	if mantissaBits == 23 {
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(bits))), 'x', -1, 32)
	}
	return strconv.FormatFloat(math.Float64frombits(bits), 'x', -1, 64)
}
