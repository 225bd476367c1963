package confine

import (
	"fmt"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// forbidden are system calls that running containers never needs: other programs
// and processes, mounts and namespaces, ids, the kernel itself, and interfaces
// with a history of holes.
func forbidden() []uint32 {
	return []uint32{
		unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_FORK, unix.SYS_VFORK,
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD,
		unix.SYS_PROCESS_MADVISE, unix.SYS_PERF_EVENT_OPEN, unix.SYS_BPF, unix.SYS_USERFAULTFD,
		unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
		unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
		unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT,
		unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
		unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
		unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD,
		unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
		unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_SYSLOG, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT,
		unix.SYS_PERSONALITY, unix.SYS_USELIB, unix.SYS_VHANGUP, unix.SYS_LOOKUP_DCOOKIE,
		unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL, unix.SYS_REMAP_FILE_PAGES,
		unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_MSGGET, unix.SYS_SEMGET,
		unix.SYS_FANOTIFY_INIT, unix.SYS_MBIND, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES,
	}
}

// namespaces are the flags of clone(2) that make one.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// program is the filter (seccomp(2)). What it forbids fails with EPERM.
func (o *Options) program() ([]bpf.RawInstruction, error) {
	const (
		numberAt = 0
		archAt   = 4
		argAt    = 16 // of argument 0, its lower half
	)
	deny := bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	absent := bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
	allow := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	number := bpf.LoadAbsolute{Off: numberAt, Size: 4}
	arg := func(i uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: argAt + 8*i, Size: 4} }
	var p []bpf.Instruction
	add := func(list ...bpf.Instruction) { p = append(p, list...) }
	// on executes body, which ends in a return, for one system call.
	on := func(nr uint32, body ...bpf.Instruction) {
		add(bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: uint8(len(body))})
		add(body...)
	}
	add(bpf.LoadAbsolute{Off: archAt, Size: 4}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AUDIT_ARCH_X86_64, SkipTrue: 1}, deny,
		number, bpf.JumpIf{Cond: bpf.JumpLessThan, Val: 0x40000000, SkipTrue: 1}, deny)
	for _, nr := range []uint32{unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_PKEY_MPROTECT} {
		has := func(bits uint32) []bpf.Instruction { // is denied
			return []bpf.Instruction{arg(2), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: bits}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: bits, SkipFalse: 1}, deny}
		}
		body := has(unix.PROT_EXEC)
		if o.Code == CodeMade || o.Code == CodeFiles && nr == unix.SYS_MMAP {
			body = has(unix.PROT_EXEC | unix.PROT_WRITE)
		}
		if o.Code == CodeFiles && nr == unix.SYS_MMAP { // and nothing but files is executable
			const notAnonymous = 1
			body = append(body, arg(2), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: unix.PROT_EXEC}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 3 + notAnonymous},
				arg(3), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: unix.MAP_ANONYMOUS}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: notAnonymous}, deny)
		}
		on(nr, append(body, allow)...)
	}
	// New threads, but no processes and no namespaces.
	on(unix.SYS_CLONE, arg(0), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: namespaces | unix.CLONE_THREAD},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.CLONE_THREAD, SkipTrue: 1}, deny, allow)
	on(unix.SYS_CLONE3, absent) // its flags are in memory, where a filter does not see them
	if !o.network() {
		on(unix.SYS_SOCKET, deny)
	} else {
		// TCP and UDP only: Landlock does not see MPTCP, which Go prefers.
		on(unix.SYS_SOCKET, arg(0), bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 3}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_UNIX, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipTrue: 1}, deny,
			arg(2), bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 3}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipTrue: 1}, deny, allow)
	}
	for _, nr := range forbidden() {
		on(nr, deny)
	}
	add(allow)
	return bpf.Assemble(p)
}

func (o *Options) seccomp(r *Report) error {
	raw, err := o.program()
	if err != nil {
		return fmt.Errorf("assembling the seccomp filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	tid, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("installing the seccomp filter: %w", errno)
	}
	if tid != 0 {
		return fmt.Errorf("installing the seccomp filter: thread %d does not take it", tid)
	}
	what := fmt.Sprintf("seccomp: %d system calls, processes, namespaces, memory that is executable", len(forbidden()))
	switch o.Code {
	case CodeMade:
		what += " and writable"
	case CodeFiles:
		what += " and no file's"
	}
	if !o.network() {
		what += ", sockets"
	}
	r.Done = append(r.Done, what)
	return nil
}
