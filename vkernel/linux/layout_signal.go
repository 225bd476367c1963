package linux

// Sigaction is the kernel's struct sigaction.
type Sigaction struct {
	Handler  uint64
	Flags    uint64
	Restorer uint64
	Mask     SignalSet
}

// SigactionSize is the size of the kernel's struct sigaction.
const SigactionSize = 32

// Marshal writes a to b.
func (a *Sigaction) Marshal(b []byte) {
	le.PutUint64(b[0:], a.Handler)
	le.PutUint64(b[8:], a.Flags)
	le.PutUint64(b[16:], a.Restorer)
	le.PutUint64(b[24:], uint64(a.Mask))
}

// Unmarshal reads a from b.
func (a *Sigaction) Unmarshal(b []byte) {
	a.Handler, a.Flags, a.Restorer = le.Uint64(b[0:]), le.Uint64(b[8:]), le.Uint64(b[16:])
	a.Mask = SignalSet(le.Uint64(b[24:]))
}

// Stack is stack_t.
type Stack struct {
	SP    uint64
	Flags uint32
	Size  uint64
}

// StackSize is the size of stack_t.
const StackSize = 24

// Marshal writes s to b.
func (s *Stack) Marshal(b []byte) {
	clear(b[:StackSize])
	le.PutUint64(b[0:], s.SP)
	le.PutUint32(b[8:], s.Flags)
	le.PutUint64(b[16:], s.Size)
}

// Unmarshal reads s from b.
func (s *Stack) Unmarshal(b []byte) {
	s.SP, s.Flags, s.Size = le.Uint64(b[0:]), le.Uint32(b[8:]), le.Uint64(b[16:])
}

// Siginfo is siginfo_t. Which of the fields count depends on Signo and Code;
// see the methods' comments.
type Siginfo struct {
	Signo, Errno, Code int32
	fields             [112]byte // from byte 16 on
}

// SiginfoSize is the size of siginfo_t.
const SiginfoSize = 128

// Marshal writes i to b.
func (i *Siginfo) Marshal(b []byte) {
	clear(b[:16])
	le.PutUint32(b[0:], uint32(i.Signo))
	le.PutUint32(b[4:], uint32(i.Errno))
	le.PutUint32(b[8:], uint32(i.Code))
	copy(b[16:SiginfoSize], i.fields[:])
}

// Unmarshal reads i from b.
func (i *Siginfo) Unmarshal(b []byte) {
	i.Signo, i.Errno, i.Code = int32(le.Uint32(b[0:])), int32(le.Uint32(b[4:])), int32(le.Uint32(b[8:]))
	copy(i.fields[:], b[16:SiginfoSize])
}

// SizeofSignalfdSiginfo is the size of struct signalfd_siginfo.
const SizeofSignalfdSiginfo = 128

// MarshalSignalfd writes i to b as a struct signalfd_siginfo.
func (i *Siginfo) MarshalSignalfd(b []byte) {
	clear(b[:SizeofSignalfdSiginfo])
	le.PutUint32(b[0:], uint32(i.Signo))
	le.PutUint32(b[4:], uint32(i.Errno))
	le.PutUint32(b[8:], uint32(i.Code))
	switch {
	case i.Code > 0 && i.Signo == SIGCHLD:
		copy(b[12:20], i.fields[0:8])   // pid, uid
		copy(b[40:44], i.fields[8:12])  // status
		copy(b[56:72], i.fields[16:32]) // times
	case i.Code > 0 && i.Code != SI_KERNEL: // a fault
		copy(b[72:80], i.fields[0:8])
	case i.Code == SI_TIMER:
		copy(b[24:28], i.fields[0:4])
		copy(b[32:36], i.fields[4:8])
		copy(b[44:56], append(i.fields[8:12:12], i.fields[8:16]...)) // int, ptr
	default:
		copy(b[12:20], i.fields[0:8])
		copy(b[44:56], append(i.fields[8:12:12], i.fields[8:16]...))
	}
}

// PID is the sender (SI_USER, SI_TKILL, SI_QUEUE) or the child (SIGCHLD).
func (i *Siginfo) PID() int32 { return int32(le.Uint32(i.fields[0:])) }

// SetPID sets PID.
func (i *Siginfo) SetPID(v int32) { le.PutUint32(i.fields[0:], uint32(v)) }

// UID belongs to PID.
func (i *Siginfo) UID() uint32 { return le.Uint32(i.fields[4:]) }

// SetUID sets UID.
func (i *Siginfo) SetUID(v uint32) { le.PutUint32(i.fields[4:], v) }

// Status is the child's exit status or signal (SIGCHLD).
func (i *Siginfo) Status() int32 { return int32(le.Uint32(i.fields[8:])) }

// SetStatus sets Status.
func (i *Siginfo) SetStatus(v int32) { le.PutUint32(i.fields[8:], uint32(v)) }

// SetTimes sets the child's user and system time, in clock ticks (SIGCHLD).
func (i *Siginfo) SetTimes(utime, stime int64) {
	le.PutUint64(i.fields[16:], uint64(utime))
	le.PutUint64(i.fields[24:], uint64(stime))
}

// Value is sigval (SI_QUEUE, SI_TIMER).
func (i *Siginfo) Value() uint64 { return le.Uint64(i.fields[8:]) }

// SetValue sets Value.
func (i *Siginfo) SetValue(v uint64) { le.PutUint64(i.fields[8:], v) }

// SetTimer sets the timer's id and overrun count (SI_TIMER).
func (i *Siginfo) SetTimer(id, overrun int32) {
	le.PutUint32(i.fields[0:], uint32(id))
	le.PutUint32(i.fields[4:], uint32(overrun))
}

// Addr is the address of the fault (SIGSEGV, SIGBUS, SIGILL, SIGFPE).
func (i *Siginfo) Addr() uint64 { return le.Uint64(i.fields[0:]) }

// SetAddr sets Addr.
func (i *Siginfo) SetAddr(v uint64) { le.PutUint64(i.fields[0:], v) }

// SetSyscall sets call address, number and architecture (SIGSYS).
func (i *Siginfo) SetSyscall(addr uint64, nr int32, arch uint32) {
	le.PutUint64(i.fields[0:], addr)
	le.PutUint32(i.fields[8:], uint32(nr))
	le.PutUint32(i.fields[12:], arch)
}

// SetPoll sets band and descriptor (SIGIO).
func (i *Siginfo) SetPoll(band int64, fd int32) {
	le.PutUint64(i.fields[0:], uint64(band))
	le.PutUint32(i.fields[8:], uint32(fd))
}
