package oracle

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x87"
)

// The text form of a state is a list of words:
//
//	rax=1f  rbx=mem+10      general registers, hexadecimal; mem is the address of memory
//	xmm3=<32 digits>        highest byte first
//	ymmh3=<32 digits>       bits 255 to 128 of ymm3
//	[mem+20]=0102           bytes of memory, in the order of their addresses
//	CF PF AF ZF SF DF OF    flags that are set; flags that are not named are clear
//	st0=<20 digits>         sign and exponent, then the mantissa; marks st0 as not empty
//	mxcsr= fcw= fsw= ftw= fs_base= gs_base=
//
// Where the state before names mxcsr, its exception flags are kept; they are
// not at the start of a program, and so not in a state that does not name it.
//
//
// and in a state after an instruction
//
//	pc=+5                   where control went, relative to the code, if not to its end
//	signal=SEGV             how the instruction faulted

// DefaultState is the state before a case where the case does not say
// otherwise: fixed pseudo-random registers and memory, rsp in the middle of
// memory, no flags, the initial x87 state.
func DefaultState() *interp.State { return Clone(defaultState()) }

var defaultState = sync.OnceValue(func() *interp.State {
	rng := rand.New(rand.NewPCG(1, 2))
	st := &interp.State{X87: x87.New()}
	for i := range guestabi.NumGPR {
		st.Regs[i].Lo = rng.Uint64()
	}
	for i := range guestabi.Reg(guestabi.NumXMM) {
		st.Regs[guestabi.XMM0+i] = interp.Val{Lo: rng.Uint64(), Hi: rng.Uint64()}
	}
	mem := make([]byte, MemSize)
	for i := range mem {
		mem[i] = byte(rng.Uint32())
	}
	st.Mem = interp.Memory{{Base: MemAt, Data: mem}}
	st.Regs[guestabi.RSP].Lo = MemAt + MemSize/2
	st.Regs[guestabi.FSBase].Lo = MemAt + 0x400
	st.Regs[guestabi.GSBase].Lo = MemAt + 0x600
	st.Regs[guestabi.MXCSR].Lo = 0x1f80
	for i := range guestabi.Reg(guestabi.NumXMM) {
		st.Regs[guestabi.YMMH0+i] = interp.Val{Lo: rng.Uint64(), Hi: rng.Uint64()}
	}
	return st
})

var flagNames = map[string]guestabi.Reg{
	"CF": guestabi.CF, "PF": guestabi.PF, "AF": guestabi.AF, "ZF": guestabi.ZF, "SF": guestabi.SF, "DF": guestabi.DF, "OF": guestabi.OF,
}

// flagOrder is the order in which flags are printed.
var flagOrder = []string{"CF", "PF", "AF", "ZF", "SF", "DF", "OF"}

func regByName(name string) (guestabi.Reg, bool) {
	for _, r := range guestabi.CPUv3.Regs() {
		if r.String() == name && !(r >= guestabi.CF && r <= guestabi.DF) {
			return r, true
		}
	}
	return 0, false
}

// ParseState applies text to st.
func ParseState(st *interp.State, text string) error {
	for _, word := range strings.Fields(text) {
		if err := parseWord(st, word); err != nil {
			return fmt.Errorf("parsing %q: %w", word, err)
		}
	}
	return nil
}

func parseWord(st *interp.State, word string) error {
	if r, ok := flagNames[word]; ok {
		st.Regs[r].Lo = 1
		return nil
	}
	name, value, ok := strings.Cut(word, "=")
	if !ok {
		return fmt.Errorf("no flag and no assignment")
	}
	switch {
	case strings.HasPrefix(name, "[mem+"):
		return parseMemory(st, name, value)
	case strings.HasPrefix(name, "st") || name == "fcw" || name == "fsw" || name == "ftw":
		return parseX87(st, name, value)
	}
	r, ok := regByName(name)
	if !ok {
		return fmt.Errorf("no register %s", name)
	}
	if r >= guestabi.XMM0 {
		b, err := hex.DecodeString(value)
		if err != nil || len(b) != 16 {
			return fmt.Errorf("not 32 hexadecimal digits")
		}
		st.Regs[r] = interp.Val{Lo: binary.BigEndian.Uint64(b[8:]), Hi: binary.BigEndian.Uint64(b)}
		return nil
	}
	base := uint64(0)
	if rest, ok := strings.CutPrefix(value, "mem+"); ok {
		base, value = MemAt, rest
	}
	v, err := strconv.ParseUint(value, 16, 64)
	if r == guestabi.MXCSR {
		v |= 1 << guestabi.MXCSRCareful
	}
	st.Regs[r].Lo = base + v
	return err
}

func parseMemory(st *interp.State, name, value string) error {
	off, err := strconv.ParseUint(strings.TrimSuffix(name[len("[mem+"):], "]"), 16, 32)
	if err != nil {
		return err
	}
	b, err := hex.DecodeString(value)
	if err != nil {
		return err
	}
	return st.Mem.Store(MemAt+uint32(off), b)
}

// parseX87 sets registers through the FXSAVE area, which is the form that the
// CPU gives.
func parseX87(st *interp.State, name, value string) error {
	var fx [512]byte
	st.X87.MarshalFXSave(fx[:])
	b, err := hex.DecodeString(value)
	if err != nil {
		return err
	}
	want := map[string]int{"fcw": 2, "fsw": 2, "ftw": 1}[name]
	if want == 0 {
		want = 10
	}
	if len(b) != want {
		return fmt.Errorf("not %d hexadecimal digits", 2*want)
	}
	switch name {
	case "fcw":
		binary.LittleEndian.PutUint16(fx[0:], binary.BigEndian.Uint16(b))
	case "fsw":
		// The registers stay where they are in ST order.
		binary.LittleEndian.PutUint16(fx[2:], binary.BigEndian.Uint16(b))
	case "ftw":
		fx[4] = b[0]
	default:
		i, err := strconv.ParseUint(name[2:], 10, 3)
		if err != nil {
			return err
		}
		for k := range b {
			fx[32+16*i+uint64(k)] = b[9-k]
		}
		top := uint64(fx[3] >> 3 & 7)
		fx[4] |= 1 << ((top + i) & 7)
	}
	st.X87.UnmarshalFXSave(fx[:])
	return nil
}

// mxcsrKept are the bits of MXCSR that translated code keeps: the exception
// flags only if the state before says so.
func mxcsrKept(before uint64) uint64 {
	if before>>guestabi.MXCSRCareful&1 != 0 {
		return 0xffff
	}
	return 0xffc0
}

// FormatChanges prints how after differs from before, and all flags that are
// set, less those in undef.
func FormatChanges(before *interp.State, after Outcome, codeLen int, undef uint64) string {
	var words []string
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	st := after.State
	for _, r := range guestabi.CPUv3.Regs() {
		v, old := st.Regs[r], before.Regs[r]
		switch {
		case r >= guestabi.CF && r <= guestabi.DF || r == guestabi.LastPC || r == guestabi.Fuel:
		case r == guestabi.MXCSR:
			if mask := mxcsrKept(old.Lo); (v.Lo^old.Lo)&mask != 0 {
				add("mxcsr=%x", v.Lo&mask)
			}
		case v == old:
		case r >= guestabi.XMM0:
			add("%s=%016x%016x", r, v.Hi, v.Lo)
		default:
			add("%s=%x", r, v.Lo)
		}
	}
	words = append(words, memoryChanges(before.Mem[0].Data, st.Mem[0].Data)...)
	words = append(words, x87Changes(&before.X87, &st.X87)...)
	for _, name := range flagOrder {
		if r := flagNames[name]; st.Regs[r].Lo != 0 && undef>>flagBit(r)&1 == 0 {
			add("%s", name)
		}
	}
	switch {
	case after.Signal != 0:
		add("signal=%s", signalNames[after.Signal])
	case after.PC != CodeAt+uint64(codeLen):
		add("pc=%+x", int64(after.PC-CodeAt))
	}
	return strings.Join(words, " ")
}

var signalNames = map[syscall.Signal]string{
	syscall.SIGSEGV: "SEGV", syscall.SIGILL: "ILL", syscall.SIGFPE: "FPE", syscall.SIGTRAP: "TRAP", syscall.SIGBUS: "BUS",
}

func flagBit(r guestabi.Reg) uint {
	for _, f := range flagBits {
		if f.reg == r {
			return f.bit
		}
	}
	panic("BUG: " + r.String() + " is no flag")
}

func memoryChanges(before, after []byte) []string {
	var words []string
	for i := 0; i < len(after); i++ {
		if before[i] == after[i] {
			continue
		}
		end := i
		for j := i; j < len(after) && j <= end+8; j++ {
			if before[j] != after[j] {
				end = j
			}
		}
		words = append(words, fmt.Sprintf("[mem+%x]=%x", i, after[i:end+1]))
		i = end
	}
	return words
}

func x87Changes(before, after *x87.State) []string {
	var a, b [512]byte
	before.MarshalFXSave(a[:])
	after.MarshalFXSave(b[:])
	var words []string
	le := binary.LittleEndian
	if x := le.Uint16(b[0:]); x != le.Uint16(a[0:]) {
		words = append(words, fmt.Sprintf("fcw=%04x", x))
	}
	if x := le.Uint16(b[2:]); x != le.Uint16(a[2:]) {
		words = append(words, fmt.Sprintf("fsw=%04x", x))
	}
	if b[4] != a[4] {
		words = append(words, fmt.Sprintf("ftw=%02x", b[4]))
	}
	top := int(b[3] >> 3 & 7)
	for i := range 8 {
		// Physical registers do not move when TOP does.
		was := a[32+16*((top+i-int(a[3]>>3&7))&7):][:10]
		now := b[32+16*i:][:10]
		if string(was) != string(now) {
			words = append(words, fmt.Sprintf("st%d=%04x%016x", i, le.Uint16(now[8:]), le.Uint64(now)))
		}
	}
	return words
}
