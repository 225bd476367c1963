package pipeline

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/machine"
)

// tinyKernel is just enough of Linux for static programs that compute and
// print: the vkernel proper is tested elsewhere.
type tinyKernel struct {
	t      testing.TB
	mem    *machine.Memory
	m      machine.Machine
	stdin  []byte
	stdout bytes.Buffer
	exited bool
	code   int
	brk    uint64
	mmap   uint64 // grows downwards
	low    uint32
	high   uint32
	fault  string
	anew   guestabi.PC // where to enter the guest after guestabi.FaultCareful
	trace  bool
	safe   int
}

// Linux's numbers for amd64 (arch/x86/entry/syscalls/syscall_64.tbl).
const (
	sysRead, sysWrite, sysFstat, sysMmap, sysMprotect, sysMunmap, sysBrk   = 0, 1, 5, 9, 10, 11, 12
	sysRtSigaction, sysRtSigprocmask, sysIoctl, sysWritev, sysExit         = 13, 14, 16, 20, 60
	sysUname, sysReadlink, sysArchPrctl, sysSetTidAddress, sysExitGroup    = 63, 89, 158, 218, 231
	sysClockGettime, sysSetRobustList, sysPrlimit64, sysGetrandom, sysRseq = 228, 273, 302, 318, 334
	enosys, enotty, enomem, enoent                                         = 38, 25, 12, 2
)

func (k *tinyKernel) bytes(addr, n uint64) []byte {
	lin := addr - guestabi.AddrBias
	b := k.mem.Bytes()
	if lin > uint64(len(b)) || n > uint64(len(b))-lin {
		k.t.Fatalf("the guest passed the bad address %#x, size %#x", addr, n)
	}
	return b[lin : lin+n]
}

func neg(errno uint64) uint64 { return -errno }

// Syscall implements machine.Kernel.
func (k *tinyKernel) Syscall(nr uint64, a [6]uint64, next guestabi.PC) (uint64, guestabi.PC) {
	rax := k.do(nr, a)
	if k.trace {
		fmt.Printf("syscall %d %#x = %#x\n", nr, a, rax)
	}
	if k.exited {
		return 0, machine.Unwind
	}
	return rax, next
}

func (k *tinyKernel) do(nr uint64, a [6]uint64) uint64 {
	switch nr {
	case sysRead:
		n := copy(k.bytes(a[1], a[2]), k.stdin)
		k.stdin = k.stdin[n:]
		return uint64(n)
	case sysWrite:
		k.stdout.Write(k.bytes(a[1], a[2]))
		return a[2]
	case sysWritev:
		total := uint64(0)
		for i := range a[2] {
			v := k.bytes(a[1]+16*i, 16)
			base, n := binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:])
			if n > 0 {
				k.stdout.Write(k.bytes(base, n))
			}
			total += n
		}
		return total
	case sysBrk:
		if a[0] > k.brk && a[0] < k.mmap {
			k.brk = a[0]
		}
		return k.brk
	case sysMmap:
		n := (a[1] + 0xfff) &^ 0xfff
		if k.mmap-n < k.brk+1<<20 {
			return neg(enomem)
		}
		k.mmap -= n
		clear(k.bytes(k.mmap, n))
		return k.mmap
	case sysArchPrctl:
		if a[0] == 0x1002 { // ARCH_SET_FS
			var c guestabi.Context
			k.m.SaveContext(&c)
			c.FSBase = a[1]
			k.m.LoadContext(&c)
			return 0
		}
		return neg(22)
	case sysExit, sysExitGroup:
		k.exited, k.code = true, int(a[0]&0xff)
		return 0
	case sysClockGettime:
		now := time.Now()
		binary.LittleEndian.PutUint64(k.bytes(a[1], 16), uint64(now.Unix()))
		binary.LittleEndian.PutUint64(k.bytes(a[1]+8, 8), uint64(now.Nanosecond()))
		return 0
	case sysGetrandom:
		for i, b := 0, k.bytes(a[0], a[1]); i < len(b); i++ {
			b[i] = byte(i*7 + 1)
		}
		return a[1]
	case sysIoctl:
		return neg(enotty)
	case sysReadlink:
		return neg(enoent)
	case sysSetTidAddress:
		return 1
	case 3, 72: // close, fcntl
		return 0
	case 8: // lseek
		return neg(29)
	case 102, 104, 107, 108: // getuid and its like
		return 0
	case 39, 186: // getpid, gettid
		return 1
	case sysMprotect, sysMunmap, sysRtSigaction, sysRtSigprocmask, sysSetRobustList, sysPrlimit64, sysFstat, 131:
		return 0
	}
	return neg(enosys)
}

// Safepoint implements machine.Kernel.
func (k *tinyKernel) Safepoint(next guestabi.PC) guestabi.PC {
	k.safe++
	return next
}

// Fault implements machine.Kernel.
func (k *tinyKernel) Fault(f guestabi.Fault, pc guestabi.PC) guestabi.PC {
	if f == guestabi.FaultCareful {
		k.anew = pc
		return machine.Unwind
	}
	k.fault = fmt.Sprintf("fault %d at %#x", f, pc)
	return machine.Unwind
}

// Resolve implements machine.Kernel.
func (k *tinyKernel) Resolve(pc guestabi.PC) int {
	if pc >= k.low && pc < k.high {
		return 0
	}
	return -1
}

// load maps the segments of an ELF file at base and returns its entry point.
func (k *tinyKernel) load(file []byte, base uint64, args []string) (pc guestabi.PC, rsp uint64) {
	k.t.Helper()
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		k.t.Fatal(err)
	}
	phdr := uint64(0)
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		b := k.bytes(p.Vaddr+base, p.Memsz)
		copy(b, file[p.Off:p.Off+p.Filesz])
		if p.Off == 0 {
			phdr = p.Vaddr + base + binary.LittleEndian.Uint64(file[32:])
		}
		k.brk = max(k.brk, (p.Vaddr+base+p.Memsz+0xfff)&^0xfff)
	}
	k.mmap = uint64(len(k.mem.Bytes())) + guestabi.AddrBias - 16<<20
	sp := uint64(len(k.mem.Bytes())) + guestabi.AddrBias - 4096
	push := func(b []byte) uint64 {
		sp -= uint64(len(b))
		copy(k.bytes(sp, uint64(len(b))), b)
		return sp
	}
	var argv []uint64
	for _, a := range args {
		argv = append(argv, push(append([]byte(a), 0)))
	}
	random := push(make([]byte, 16))
	words := []uint64{uint64(len(argv))}
	words = append(words, argv...)
	words = append(words, 0, 0) // end of argv, no environment
	words = append(words, 3, phdr, 4, 56, 5, uint64(len(f.Progs)), 6, 4096, 9, f.Entry+base, 25, random, 23, 0, 0, 0)
	sp = (sp - uint64(len(words)*8)) &^ 15
	for i, w := range words {
		binary.LittleEndian.PutUint64(k.bytes(sp+uint64(i)*8, 8), w)
	}
	return guestabi.PC(f.Entry + base), sp
}
