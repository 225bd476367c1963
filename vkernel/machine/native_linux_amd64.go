package machine

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"megabinary.dev/sdk/guestabi"
)

// Implemented in native_amd64.s.
func nativeEnter(c unsafe.Pointer, enter uintptr, pc uint32)
func nativeResume(c unsafe.Pointer)
func nativeAddrs() (exit, nowhere, signal uintptr)

// What the signal handler needs is global because signal handlers are: where
// native code may lie, and who handled SIGSEGV and SIGBUS before.
var (
	nativeText  [2]uintptr
	nextHandler [2]uintptr
)

// nativeTextSize is how much address space is kept for native code.
const nativeTextSize = 16 << 30

// textArena is the address space that all native code of this process lies in.
var textArena struct {
	once sync.Once
	err  error
	mu   sync.Mutex
	low  unsafe.Pointer
	next uintptr               // offset of what was never used
	free map[uintptr][]uintptr // offsets, by size
}

// setUpNative reserves the arena and takes over SIGSEGV and SIGBUS from the Go
// runtime, to which it passes on what is not native code's.
func setUpNative() error {
	textArena.once.Do(func() {
		p, err := unix.MmapPtr(-1, 0, nil, nativeTextSize, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err != nil {
			textArena.err = fmt.Errorf("reserving address space for native code: %w", os.NewSyscallError("mmap", err))
			return
		}
		textArena.low = p
		textArena.free = map[uintptr][]uintptr{}
		nativeText = [2]uintptr{uintptr(p), uintptr(p) + nativeTextSize}
		textArena.err = errors.Join(hookSignal(unix.SIGSEGV, &nextHandler[0]), hookSignal(unix.SIGBUS, &nextHandler[1]))
	})
	return textArena.err
}

// sigaction is the kernel's.
type sigaction struct {
	handler, flags, restorer, mask uintptr
}

// hookSignal puts nativeSignal before the handler of a signal, which goes to
// next first: from the moment of the change it may be needed.
func hookSignal(signal unix.Signal, next *uintptr) error {
	var a sigaction
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(signal), 0, uintptr(unsafe.Pointer(&a)), 8, 0, 0); errno != 0 {
		return os.NewSyscallError("rt_sigaction", errno)
	}
	*next = a.handler
	_, _, a.handler = nativeAddrs()
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(signal), uintptr(unsafe.Pointer(&a)), 0, 8, 0, 0); errno != 0 {
		return os.NewSyscallError("rt_sigaction", errno)
	}
	return nil
}

// takeText returns address space of the arena.
func takeText(size uintptr) (unsafe.Pointer, error) {
	textArena.mu.Lock()
	defer textArena.mu.Unlock()
	if free := textArena.free[size]; len(free) > 0 {
		textArena.free[size] = free[:len(free)-1]
		return unsafe.Add(textArena.low, free[len(free)-1]), nil
	}
	if textArena.next+size > nativeTextSize {
		return nil, errors.New("mapping native code: there is no room left")
	}
	at := textArena.next
	textArena.next += size
	return unsafe.Add(textArena.low, at), nil
}

// releaseText gives back what takeText gave, and unmaps what is there.
func releaseText(at unsafe.Pointer, size uintptr) error {
	_, err := unix.MmapPtr(-1, 0, at, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("unmapping native code: %w", os.NewSyscallError("mmap", err))
	}
	textArena.mu.Lock()
	defer textArena.mu.Unlock()
	textArena.free[size] = append(textArena.free[size], uintptr(at)-uintptr(textArena.low))
	return nil
}

// A native stack is aligned to its size. At its low end lie the context, then
// pages that nobody may touch; a function that begins below the limit has
// overflowed, which leaves room for those that do not ask.
const (
	nativeStackSize = 16 << 20
	nativeContext   = 64 << 10
	nativeGuard     = 64 << 10
	nativeReserve   = 128 << 10
	maxNativeUnits  = (nativeContext - guestabi.NativeUnits) / guestabi.NativeUnitSize
)

// newNativeStack maps a stack with its context, whose address it returns.
func newNativeStack() (unsafe.Pointer, error) {
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	p, err := unix.MmapPtr(-1, 0, nil, 2*nativeStackSize, unix.PROT_NONE, flags)
	if err != nil {
		return nil, fmt.Errorf("mapping a native stack: %w", os.NewSyscallError("mmap", err))
	}
	skip := -uintptr(p) & (nativeStackSize - 1)
	if skip > 0 {
		err = unix.MunmapPtr(p, skip)
	}
	at := unsafe.Add(p, skip)
	if rest := nativeStackSize - skip; rest > 0 {
		err = errors.Join(err, unix.MunmapPtr(unsafe.Add(at, nativeStackSize), rest))
	}
	for _, part := range [][2]uintptr{{0, nativeContext}, {nativeContext + nativeGuard, nativeStackSize - nativeContext - nativeGuard}} {
		_, e := unix.MmapPtr(-1, 0, unsafe.Add(at, part[0]), part[1], unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_FIXED)
		err = errors.Join(err, e)
	}
	if err != nil {
		return nil, fmt.Errorf("mapping a native stack: %w", err)
	}
	return at, nil
}

func freeNativeStack(at unsafe.Pointer) error {
	if err := unix.MunmapPtr(at, nativeStackSize); err != nil {
		return fmt.Errorf("unmapping a native stack: %w", os.NewSyscallError("munmap", err))
	}
	return nil
}
