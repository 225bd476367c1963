// runner runs instruction bytes on the CPU. It is a Linux program without libc.
// Cases lie in memory that it shares with its parent (file descriptor 3); the
// parent writes their number, 8 bytes, to standard input and reads 8 bytes when
// all are done. Each case is entered by returning from a signal handler with the
// case's registers in the signal frame, and leaves by a signal (the code page is
// filled with int3), whose frame holds the registers after. The layout of a
// record is that of cpu.go.
//
// Below 4 GiB there is nothing but the page of the code, which cannot be
// written there, and that of the data: the program itself is position
// independent and lies where a case's address hits it only by a rare chance.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define CODE_PAGE 0x10000000UL
#define CODE_OFFSET 0x800
#define CODE_ALIAS 0x600100000000UL // where the code page can be written
#define DATA_PAGE 0x20000000UL
#define PAGE 4096
#define XSAVE_MAGIC 0x46505853 // FP_XSTATE_MAGIC1: the frame is one of XSAVE
#define XSAVE_YMMH 576
#define XSAVE_AVX 4

#define MAX_CODE 128
#define RECORDS 512
#define SHARED 0x600000000000UL

struct record {
	u64 signal, pc;         // after, as are the next two
	u64 trap, address;      // vector of the exception; of a page fault
	u64 gpr[16];    // these and what follows: before, then after
	u64 flags, fs_base, gs_base;
	u32 mxcsr, code_len;
	u8 code[MAX_CODE];
	u8 fx[512];
	u8 ymmh[256];
	u8 mem[PAGE];
	u8 pad[16];
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

// shared is the memory that the parent sees.
struct shared {
	u64 current; // number of the record that runs, from 1 on
	u64 pad[7];
	struct record records[RECORDS];
};

static struct record *next = ((struct shared *)SHARED)->records, *last = ((struct shared *)SHARED)->records;
static int started;
static u64 fs_now, gs_now;
static u8 stack[1 << 16] __attribute__((aligned(64)));

// load_code puts the code of r into its page, unless it is there.
static void load_code(struct record *r)
{
	u64 *code = (u64 *)(CODE_ALIAS + CODE_OFFSET), *from = (u64 *)r->code;
	for (int i = 0; i < MAX_CODE / 8; i++)
		if (code[i] != from[i])
			code[i] = from[i];
}

static void handler(int sig, void *info, struct frame *f)
{
	(void)info;
	u64 *regs[16] = {&f->rax, &f->rcx, &f->rdx, &f->rbx, &f->rsp, &f->rbp, &f->rsi, &f->rdi,
		&f->r8, &f->r9, &f->r10, &f->r11, &f->r12, &f->r13, &f->r14, &f->r15};
	__asm__ volatile("cld");
	if (started) {
		next->signal = sig;
		next->pc = f->rip;
		next->trap = f->trapno;
		next->address = f->cr2;
		next->flags = f->eflags;
		for (int i = 0; i < 16; i++)
			next->gpr[i] = *regs[i];
		copy(next->fx, f->fpstate, 512);
		if (*(u32 *)(f->fpstate + 464) == XSAVE_MAGIC) {
			if (*(u64 *)(f->fpstate + 512) & XSAVE_AVX)
				copy(next->ymmh, f->fpstate + XSAVE_YMMH, 256);
			else
				for (int i = 0; i < 256; i++)
					next->ymmh[i] = 0;
		}
		copy(next->mem, (u8 *)DATA_PAGE, PAGE);
		next++;
	}
	started = 1;
	while (next == last) {
		u64 n = 0;
		transfer(1, 1, (u8 *)&n, sizeof n);
		transfer(0, 0, (u8 *)&n, sizeof n);
		if (n > RECORDS)
			quit(4);
		next = ((struct shared *)SHARED)->records;
		last = next + n;
	}
	((struct shared *)SHARED)->current = next - ((struct shared *)SHARED)->records + 1;
	load_code(next);
	copy((u8 *)DATA_PAGE, next->mem, PAGE);
	for (int i = 0; i < 16; i++)
		*regs[i] = next->gpr[i];
	f->rip = CODE_PAGE + CODE_OFFSET;
	f->eflags = (next->flags & 0xcd5) | 0x202;
	copy(f->fpstate, next->fx, 416); // what lies above describes the frame
	*(u32 *)(f->fpstate + 24) = next->mxcsr & 0xffff;
	*(u32 *)(f->fpstate + 28) = 0xffff;
	if (*(u32 *)(f->fpstate + 464) == XSAVE_MAGIC) { // x87, SSE and AVX count as set
		*(u64 *)(f->fpstate + 512) |= 3 | XSAVE_AVX;
		copy(f->fpstate + XSAVE_YMMH, next->ymmh, 256);
	}
	if (fs_now != next->fs_base)
		syscall3(158, 0x1002, fs_now = next->fs_base, 0);
	if (gs_now != next->gs_base)
		syscall3(158, 0x1001, gs_now = next->gs_base, 0);
}

__asm__(".globl restorer\nrestorer:\n\tmov $15, %eax\n\tsyscall\n");
extern void restorer(void) __attribute__((visibility("hidden")));

static void map(u64 addr, u64 size, int prot, int flags, int fd)
{
	if ((u64)syscall6(9, addr, size, prot, 0x100000 | flags, fd, 0) != addr)
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
	int code = syscall3(319, (long)"code", 0, 0); // memfd_create
	if (code < 0 || syscall3(77, code, PAGE, 0) < 0)
		quit(5);
	map(CODE_PAGE, PAGE, 5, 1, code);
	map(CODE_ALIAS, PAGE, 3, 1, code);
	map(DATA_PAGE, PAGE, 3, 0x22, -1);
	map(SHARED, sizeof(struct shared), 3, 1, 3);
	for (int i = 0; i < PAGE; i++)
		((u8 *)CODE_ALIAS)[i] = 0xcc;
	syscall3(131, (long)&alt, 0, 0);
	for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
		syscall6(13, signals[i], (long)&act, 0, 8, 0, 0);
	__asm__ volatile("int3");
	quit(3);
}

__asm__(".globl _start\n_start:\n\tand $-16, %rsp\n\tcall start\n");
