package kernel

import (
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
)

// The floating-point state of a signal frame: the area of FXSAVE or, from
// x86-64-v3 on, that of XSAVE in the standard format, of which the bytes that
// FXSAVE leaves free describe the size (struct _fpx_sw_bytes,
// arch/x86/include/uapi/asm/sigcontext.h).
const (
	fxSize      = 512
	fxMXCSR     = 24
	fxMXCSRMask = 28
	mxcsrBits   = 1<<guestabi.MXCSRCareful - 1 // those of the processor
	fxXMM       = 160

	swMagic1       = 464 // FP_XSTATE_MAGIC1
	swExtendedSize = 468 // of all, with FP_XSTATE_MAGIC2 at the end
	swXFeatures    = 472
	swXStateSize   = 480 // without FP_XSTATE_MAGIC2

	xstateMagic1 = 0x4650_5853
	xstateMagic2 = 0x4650_5845
)

// fpStateSize returns the size of the floating-point state in bytes.
func fpStateSize(cpu guestabi.CPU) uint64 {
	if cpu >= guestabi.CPUv3 {
		return guestabi.XSaveSize + 4
	}
	return fxSize
}

// signalFrameSize is AT_MINSIGSTKSZ: the most that a frame takes of the stack.
func signalFrameSize(cpu guestabi.CPU) uint64 {
	return (frameSize + 16 + fpStateSize(cpu) + 63 + redZone + 15) &^ 15
}

// marshalFPState returns the floating-point state of c and x.
func marshalFPState(cpu guestabi.CPU, c *guestabi.Context, x machine.X87State) []byte {
	b := make([]byte, fpStateSize(cpu))
	x.MarshalFXSave(b)
	le.PutUint32(b[fxMXCSR:], c.MXCSR&mxcsrBits)
	le.PutUint32(b[fxMXCSRMask:], 0xffff)
	for i := range c.XMM {
		copy(b[fxXMM+16*i:], c.XMM[i][:])
	}
	if cpu < guestabi.CPUv3 {
		return b
	}
	le.PutUint32(b[swMagic1:], xstateMagic1)
	le.PutUint32(b[swExtendedSize:], uint32(len(b)))
	le.PutUint64(b[swXFeatures:], guestabi.XCR0)
	le.PutUint32(b[swXStateSize:], guestabi.XSaveSize)
	le.PutUint64(b[guestabi.XSaveHeader:], guestabi.XCR0)
	for i := range c.YMMH {
		copy(b[guestabi.XSaveYMMH+16*i:], c.YMMH[i][:])
	}
	le.PutUint32(b[guestabi.XSaveSize:], xstateMagic2)
	return b
}

// loadFPState takes the floating-point state at guest address fp into c and the
// task's x87 unit. A frame without extended state, or of which a handler has
// spoilt the description, has the FXSAVE part only, as in Linux; what a frame
// lacks is set to its initial state.
func (t *Task) loadFPState(fp uint64, c *guestabi.Context) error {
	var fx [fxSize]byte
	if err := t.CopyIn(fp, fx[:]); err != nil {
		return err
	}
	features := uint64(guestabi.XCR0X87 | guestabi.XCR0SSE)
	c.YMMH = [guestabi.NumXMM][16]byte{}
	if cpu := t.c.CPU(); cpu >= guestabi.CPUv3 && le.Uint32(fx[swMagic1:]) == xstateMagic1 &&
		le.Uint32(fx[swXStateSize:]) == guestabi.XSaveSize && le.Uint32(fx[swExtendedSize:]) == guestabi.XSaveSize+4 {
		b := make([]byte, fpStateSize(cpu))
		if err := t.CopyIn(fp, b); err != nil {
			return err
		}
		if le.Uint32(b[guestabi.XSaveSize:]) == xstateMagic2 {
			features = le.Uint64(b[guestabi.XSaveHeader:]) & le.Uint64(fx[swXFeatures:])
			if features&^guestabi.XCR0 != 0 {
				return linux.EFAULT
			}
		}
		if features&guestabi.XCR0AVX != 0 {
			for i := range c.YMMH {
				copy(c.YMMH[i][:], b[guestabi.XSaveYMMH+16*i:])
			}
		}
	}
	if features&guestabi.XCR0X87 == 0 {
		initial := [fxSize]byte{0: 0x7f, 1: 3} // FCW; all registers empty
		t.machine.X87().UnmarshalFXSave(initial[:])
	} else {
		t.machine.X87().UnmarshalFXSave(fx[:])
	}
	// What the handler, or whoever wrote the frame, asks of MXCSR stays.
	careful := c.MXCSR &^ mxcsrBits
	if c.MXCSR = le.Uint32(fx[fxMXCSR:]) & mxcsrBits; c.MXCSR != guestabi.MXCSRInit {
		careful = 1 << guestabi.MXCSRCareful
	}
	c.MXCSR |= careful
	for i := range c.XMM {
		if features&guestabi.XCR0SSE == 0 {
			clear(c.XMM[i][:])
			continue
		}
		copy(c.XMM[i][:], fx[fxXMM+16*i:])
	}
	return nil
}
