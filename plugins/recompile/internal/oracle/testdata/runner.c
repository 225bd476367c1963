// runner runs instruction bytes on the CPU. It is a Linux program without libc:
// each case arrives on standard input, is entered by returning from a signal
// handler with the case's registers in the signal frame, and leaves by a signal
// (the code page is filled with int3), whose frame holds the registers after.
// The layouts of case_in and case_out are those of cpu.go.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define CODE_PAGE 0x10000000UL
#define CODE_OFFSET 0x800
#define DATA_PAGE 0x20000000UL
#define PAGE 4096

struct case_in {
	u64 gpr[16];
	u64 flags, fs_base, gs_base;
	u32 mxcsr, code_len;
	u8 code[64];
	u8 fx[512];
	u8 mem[PAGE];
};

struct case_out {
	u64 signal, pc;
	u64 gpr[16];
	u64 flags;
	u8 fx[512];
	u8 mem[PAGE];
};

struct frame { // ucontext of the kernel's uapi
	u64 uc_flags;
	void *link;
	void *ss_sp;
	u64 ss_flags, ss_size;
	u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	u16 cs, gs, fs, ss;
	u64 err, trapno, oldmask, cr2;
	u8 *fpstate;
};

static long syscall3(long n, long a, long b, long c)
{
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}

static long syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	long r;
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return r;
}

static void quit(int code)
{
	for (;;)
		syscall3(231, code, 0, 0);
}

static void copy(u8 *to, const u8 *from, u64 n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void transfer(long nr, int fd, u8 *p, u64 n)
{
	while (n) {
		long r = syscall3(nr, fd, (long)p, n);
		if (r == -4)
			continue;
		if (r <= 0)
			quit(r < 0);
		p += r;
		n -= r;
	}
}

static struct case_in in;
static struct case_out out;
static int started;
static u8 stack[1 << 16] __attribute__((aligned(64)));

static void handler(int sig, void *info, struct frame *f)
{
	(void)info;
	u64 *regs[16] = {&f->rax, &f->rcx, &f->rdx, &f->rbx, &f->rsp, &f->rbp, &f->rsi, &f->rdi,
		&f->r8, &f->r9, &f->r10, &f->r11, &f->r12, &f->r13, &f->r14, &f->r15};
	__asm__ volatile("cld");
	if (started) {
		out.signal = sig;
		out.pc = f->rip;
		out.flags = f->eflags;
		for (int i = 0; i < 16; i++)
			out.gpr[i] = *regs[i];
		copy(out.fx, f->fpstate, 512);
		copy(out.mem, (u8 *)DATA_PAGE, PAGE);
		transfer(1, 1, (u8 *)&out, sizeof out);
	}
	started = 1;
	transfer(0, 0, (u8 *)&in, sizeof in);
	u8 *code = (u8 *)CODE_PAGE + CODE_OFFSET;
	for (int i = 0; i < 64; i++)
		code[i] = i < (int)in.code_len ? in.code[i] : 0xcc;
	copy((u8 *)DATA_PAGE, in.mem, PAGE);
	for (int i = 0; i < 16; i++)
		*regs[i] = in.gpr[i];
	f->rip = (u64)code;
	f->eflags = (in.flags & 0xcd5) | 0x202;
	copy(f->fpstate, in.fx, 416); // what lies above describes the frame
	*(u32 *)(f->fpstate + 24) = in.mxcsr & 0xffff;
	*(u32 *)(f->fpstate + 28) = 0xffff;
	if (*(u32 *)(f->fpstate + 464) == 0x46505853) // an XSAVE frame: x87 and SSE count as set
		*(u64 *)(f->fpstate + 512) |= 3;
	syscall3(158, 0x1002, in.fs_base, 0);
	syscall3(158, 0x1001, in.gs_base, 0);
}

__asm__(".globl restorer\nrestorer:\n\tmov $15, %eax\n\tsyscall\n");
extern void restorer(void);

static void map(u64 addr, int prot)
{
	if ((u64)syscall6(9, addr, PAGE, prot, 0x100022, -1, 0) != addr)
		quit(2);
}

__attribute__((used)) static void start(void)
{
	struct {
		void *handler;
		u64 flags;
		void *restorer;
		u64 mask;
	} act = {handler, 4 | 0x08000000 | 0x04000000, restorer, 0};
	struct {
		void *sp;
		int flags;
		u64 size;
	} alt = {stack, 0, sizeof stack};
	static const int signals[] = {4, 5, 7, 8, 11};
	map(CODE_PAGE, 7);
	map(DATA_PAGE, 3);
	for (int i = 0; i < PAGE; i++)
		((u8 *)CODE_PAGE)[i] = 0xcc;
	syscall3(131, (long)&alt, 0, 0);
	for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
		syscall6(13, signals[i], (long)&act, 0, 8, 0, 0);
	__asm__ volatile("int3");
	quit(3);
}

__asm__(".globl _start\n_start:\n\tand $-16, %rsp\n\tcall start\n");
