package kernel

import (
	"encoding/binary"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/linux"
)

var le = binary.LittleEndian

// Layout of struct rt_sigframe (arch/x86/include/asm/sigframe.h), in bytes.
const (
	frameRestorer = 0
	frameUContext = 8
	frameSiginfo  = frameUContext + ucontextSize
	frameSize     = frameSiginfo + linux.SiginfoSize

	ucFlags      = 0
	ucLink       = 8
	ucStack      = 16
	ucMContext   = 40
	ucSigmask    = ucMContext + 256
	ucontextSize = ucSigmask + 8

	mcRIP     = 16 * 8
	mcRFLAGS  = 17 * 8
	mcCS      = 18 * 8 // cs, gs, fs, ss: 2 bytes each
	mcSS      = mcCS + 6
	mcErr     = 19 * 8
	mcTrapno  = 20 * 8
	mcOldmask = 21 * 8
	mcCR2     = 22 * 8
	mcFPState = 23 * 8

	redZone = 128
	userCS  = 0x33
	userSS  = 0x2b
	flagIF  = 1 << 9

	ucontextFlags = 6 // UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
	ucFPXState    = 1 // the frame has the state of XSAVE
)

// mcontextGPR is the order of the general registers in struct sigcontext.
var mcontextGPR = [16]guestabi.Reg{
	guestabi.R8, guestabi.R9, guestabi.R10, guestabi.R11, guestabi.R12, guestabi.R13, guestabi.R14, guestabi.R15,
	guestabi.RDI, guestabi.RSI, guestabi.RBP, guestabi.RBX, guestabi.RDX, guestabi.RAX, guestabi.RCX, guestabi.RSP,
}

// guestFlags are the RFLAGS bits that a Context holds.
const guestFlags = 1<<guestabi.BitCF | 1<<guestabi.BitPF | 1<<guestabi.BitAF | 1<<guestabi.BitZF |
	1<<guestabi.BitSF | 1<<guestabi.BitDF | 1<<guestabi.BitOF

// onAltStack reports whether sp lies on the alternate stack.
func onAltStack(s linux.Stack, sp uint64) bool {
	return s.Flags&linux.SS_AUTODISARM == 0 && sp > s.SP && sp-s.SP <= s.Size
}

// pushFrame writes a signal frame for d and makes c call the handler. It fails
// if the guest's stack cannot be written.
func (t *Task) pushFrame(c *guestabi.Context, d *delivery) error {
	if d.action.Flags&linux.SA_RESTORER == 0 {
		return linux.EFAULT // as x86-64 Linux: there is no other way back
	}
	alt := t.altStack()
	sp := c.GPR[guestabi.RSP] - redZone
	if d.action.Flags&linux.SA_ONSTACK != 0 && alt.Size != 0 && !onAltStack(alt, c.GPR[guestabi.RSP]) {
		sp = alt.SP + alt.Size
	}
	cpu := t.c.CPU()
	fp := (sp - fpStateSize(cpu)) &^ 63
	frame := (fp-frameSize)&^15 - 8
	if err := t.CopyOut(fp, marshalFPState(cpu, c, t.machine.X87())); err != nil {
		return err
	}
	var b [frameSize]byte
	le.PutUint64(b[frameRestorer:], d.action.Restorer)
	marshalUContext(b[frameUContext:frameSiginfo], c, alt, d.mask, fp)
	if cpu >= guestabi.CPUv3 {
		le.PutUint64(b[frameUContext+ucFlags:], ucontextFlags|ucFPXState)
	}
	mc := b[frameUContext+ucMContext:]
	le.PutUint64(mc[mcErr:], t.exception.code)
	le.PutUint64(mc[mcTrapno:], t.exception.vector)
	le.PutUint64(mc[mcCR2:], t.exception.cr2)
	d.info.Marshal(b[frameSiginfo:])
	if err := t.CopyOut(frame, b[:]); err != nil {
		return err
	}
	if alt.Flags&linux.SS_AUTODISARM != 0 && alt.Size != 0 {
		t.setAltStack(linux.Stack{Flags: linux.SS_DISABLE})
	}
	c.GPR[guestabi.RSP] = frame
	c.GPR[guestabi.RDI] = uint64(d.info.Signo)
	c.GPR[guestabi.RSI] = frame + frameSiginfo
	c.GPR[guestabi.RDX] = frame + frameUContext
	c.GPR[guestabi.RAX] = 0
	c.RFLAGS &^= 1 << guestabi.BitDF
	c.PC = d.action.Handler
	return nil
}

func marshalUContext(b []byte, c *guestabi.Context, alt linux.Stack, mask linux.SignalSet, fp uint64) {
	le.PutUint64(b[ucFlags:], ucontextFlags)
	if alt.Size == 0 {
		alt.Flags |= linux.SS_DISABLE
	} else if onAltStack(alt, c.GPR[guestabi.RSP]) {
		alt.Flags |= linux.SS_ONSTACK
	}
	alt.Marshal(b[ucStack:])
	mc := b[ucMContext:]
	for i, r := range mcontextGPR {
		le.PutUint64(mc[8*i:], c.GPR[r])
	}
	le.PutUint64(mc[mcRIP:], c.PC)
	le.PutUint64(mc[mcRFLAGS:], c.RFLAGS&guestFlags|flagIF|1<<1)
	le.PutUint16(mc[mcCS:], userCS)
	le.PutUint16(mc[mcSS:], userSS)
	le.PutUint64(mc[mcOldmask:], uint64(mask))
	le.PutUint64(mc[mcFPState:], fp)
	le.PutUint64(b[ucSigmask:], uint64(mask))
}

// SigReturn implements rt_sigreturn(2): the registers come from the frame that
// the stack pointer stands behind.
func (t *Task) SigReturn() (uint64, error) {
	var c guestabi.Context
	t.machine.SaveContext(&c)
	var b [ucontextSize]byte
	// The handler's ret has popped the restorer's address.
	if err := t.CopyIn(c.GPR[guestabi.RSP], b[:]); err != nil {
		t.force(kernelInfo(linux.SIGSEGV))
		return 0, nil
	}
	mc := b[ucMContext:]
	for i, r := range mcontextGPR {
		c.GPR[r] = le.Uint64(mc[8*i:])
	}
	c.PC = uint64(uint32(le.Uint64(mc[mcRIP:])))
	c.RFLAGS = le.Uint64(mc[mcRFLAGS:])&guestFlags | 1<<1
	if fp := le.Uint64(mc[mcFPState:]); fp != 0 {
		if err := t.loadFPState(fp, &c); err != nil {
			t.force(kernelInfo(linux.SIGSEGV))
			return 0, nil
		}
	}
	var alt linux.Stack
	alt.Unmarshal(b[ucStack:])
	t.SetSignalMask(linux.SignalSet(le.Uint64(b[ucSigmask:])))
	if t.altStack().Flags&linux.SS_DISABLE != 0 && alt.Flags&linux.SS_AUTODISARM != 0 {
		alt.Flags &^= linux.SS_ONSTACK
		t.setAltStack(alt)
	}
	t.redirect = redirect{redirectContext, c}
	return 0, nil
}

func (t *Task) altStack() linux.Stack {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.sig.altStack
}

func (t *Task) setAltStack(s linux.Stack) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.sig.altStack = s
}

// AltStack implements sigaltstack(2): it returns the old stack and, if set is
// not nil, installs a new one.
func (t *Task) AltStack(set *linux.Stack) (linux.Stack, error) {
	var c guestabi.Context
	t.machine.SaveContext(&c)
	old := t.altStack()
	on := old.Size != 0 && onAltStack(old, c.GPR[guestabi.RSP])
	if set != nil {
		mode := set.Flags &^ linux.SS_AUTODISARM
		switch {
		case on:
			return old, linux.EPERM
		case mode != 0 && mode != linux.SS_DISABLE && mode != linux.SS_ONSTACK:
			return old, linux.EINVAL
		case mode == linux.SS_DISABLE:
			t.setAltStack(linux.Stack{Flags: set.Flags})
		case set.Size < linux.MINSIGSTKSZ:
			return old, linux.ENOMEM
		default:
			n := *set
			n.Flags &= linux.SS_AUTODISARM
			t.setAltStack(n)
		}
	}
	if on {
		old.Flags |= linux.SS_ONSTACK
	}
	return old, nil
}
