package wasm

// Inst is one decoded instruction. Which fields count is in its Op's row.
type Inst struct {
	Op     Opcode
	A, B   uint32   // indices in the order of the format; alignment exponent and offset; lane in A or, after both, in Lane
	I      int64    // constant, or block type, or heap type
	Raw    []byte   // bits of f32, f64 and v128 constants, lanes of a shuffle
	Labels []uint32 // br_table, the default last
	Types  []ValType
	Lane   byte
	Bytes  []byte // the whole instruction
}

// inst reads one instruction. in.Labels and in.Types are reused by the next.
func (r *reader) inst(in *Inst) {
	start := r.pos
	op := Opcode(r.byte())
	if op >= 0xfc {
		sub := r.u32()
		if sub > 0xff {
			r.failf("unknown opcode %#x %#x", uint16(op), sub)
			sub = 0
		}
		op = op<<8 | Opcode(sub)
	}
	in.Op = op
	row := op.Row()
	if row.Name == "" && r.err == nil {
		r.failf("unknown opcode %#x", uint16(op))
	}
	r.immediates(in, row.Imm)
	if r.err != nil {
		in.Op = OpUnreachable
		in.Bytes = nil
		return
	}
	in.Bytes = r.data[start:r.pos]
}

func (r *reader) immediates(in *Inst, imm ImmKind) {
	switch imm {
	case ImmNone:
	case ImmBlock:
		in.I = r.signed(33)
		if in.I < 0 {
			r.checkBlockType(in.I)
		}
	case ImmLabel, ImmFunc, ImmLocal, ImmGlobal, ImmTable, ImmData, ImmElem:
		in.A = r.u32()
	case ImmBrTable:
		in.Labels = in.Labels[:0]
		n := r.count(1)
		for i := 0; i <= n && r.err == nil; i++ {
			in.Labels = append(in.Labels, r.u32())
		}
	case ImmCallIndirect, ImmElemTable, ImmTableTable:
		in.A, in.B = r.u32(), r.u32()
	case ImmMem:
		in.A = r.memIndex()
	case ImmMemMem:
		in.A, in.B = r.memIndex(), r.memIndex()
	case ImmDataMem:
		in.A, in.B = r.u32(), r.memIndex()
	case ImmMemArg, ImmMemArgLane:
		if in.A = r.u32(); in.A > 31 {
			r.failf("alignment 2^%d", in.A) // bit 6 would name a second memory
		}
		in.B = r.u32()
		if imm == ImmMemArgLane {
			in.Lane = r.byte()
		}
	case ImmI32:
		in.I = r.signed(32)
	case ImmI64:
		in.I = r.signed(64)
	case ImmF32:
		in.Raw = r.bytes(4)
	case ImmF64:
		in.Raw = r.bytes(8)
	case ImmV128, ImmLanes16:
		in.Raw = r.bytes(16)
	case ImmSelectT:
		in.Types = in.Types[:0]
		for n := r.count(1); n > 0 && r.err == nil; n-- {
			in.Types = append(in.Types, r.valType())
		}
	case ImmRefType:
		in.I = int64(r.refType())
	case ImmLane:
		in.A = uint32(r.byte())
	case ImmZero:
		if z := r.byte(); z != 0 {
			r.failf("reserved byte %#x", z)
		}
	}
}

// memIndex reads the index of a memory, of which there is one.
func (r *reader) memIndex() uint32 {
	i := r.u32()
	if i != 0 {
		r.failf("memory %d: several memories are not supported", i)
	}
	return 0
}

func (r *reader) checkBlockType(t int64) {
	if t == int64(BlockVoid) {
		return
	}
	if t < -0x40 {
		r.failf("unknown block type %d", t)
		return
	}
	switch ValType(t + 0x80) {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
	default:
		r.failf("unknown block type %d", t)
	}
}

// Walk calls visit with each instruction of code, which ends with end, and
// checks that blocks are balanced. The Inst is valid during the call.
func Walk(code []byte, visit func(in *Inst, depth int) error) error {
	r := reader{data: code}
	var in Inst
	depth := 1 // blocks that are open, the function's among them
	for !r.done() {
		if depth == 0 {
			r.failf("code after the last end")
			return r.err
		}
		r.inst(&in)
		if r.err != nil {
			return r.err
		}
		at := depth
		switch in.Op {
		case OpBlock, OpLoop, OpIf:
			depth++
		case OpEnd:
			depth--
			at = depth
		case OpElse:
			at = depth - 1
		}
		if err := visit(&in, at); err != nil {
			return err
		}
	}
	if r.err == nil && depth != 0 {
		r.failf("%d blocks without end", depth)
	}
	return r.err
}
