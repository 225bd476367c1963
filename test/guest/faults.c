// What a handler sees of a fault: the signal, its code and address, the
// instruction, the stack pointer, and what the processor said.
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

static sigjmp_buf back;
static volatile int number, code;
static volatile uint64_t address;
static volatile greg_t regs[23];

static void handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	number = sig, code = info->si_code, address = (uint64_t)info->si_addr;
	for (int i = 0; i < 23; i++)
		regs[i] = u->uc_mcontext.gregs[i];
	siglongjmp(back, 1);
}

// Each function faults at the label that ends with _at, with rdi, rsi and rdx
// as the test sets them.
#define FUNC(name, body) \
	void name(uint64_t, uint64_t, uint64_t); \
	extern char name##_at[]; \
	__asm__(".text\n.type " #name ",@function\n" #name ":\n" body "\n.size " #name ",.-" #name "\n")

FUNC(load, "mov $0x1111,%r8d\nload_at: mov (%rdi),%rax\nmov $0x2222,%r9d\nadd %rax,%r9\nret");
FUNC(load_byte, "load_byte_at: movzbl 1(%rdi,%rsi,4),%eax\nret");
FUNC(load_unused, "load_unused_at: mov (%rdi),%rax\nxor %eax,%eax\nret");
FUNC(store, "push %rbx\npush %rbp\npush %r12\nsub $40,%rsp\nstore_at: movl $5,8(%rdi)\nadd $40,%rsp\npop %r12\npop %rbp\npop %rbx\nret");
FUNC(modify, "push %rbx\nmodify_at: addl $1,(%rdi)\npop %rbx\nret");
FUNC(locked, "push %rax\nlocked_at: lock addq $1,(%rdi)\npop %rax\nret");
FUNC(exchange, "exchange_at: xchg %rax,(%rdi)\nret");
FUNC(wide, "push %rbx\nxor %ebx,%ebx\nxor %ecx,%ecx\nxor %eax,%eax\nxor %edx,%edx\nwide_at: lock cmpxchg16b (%rdi)\npop %rbx\nret");
FUNC(push_memory, "push %rbx\npush_memory_at: push (%rdi)\npop %rax\npop %rbx\nret");
FUNC(pop_memory, "push %rbx\npop_memory_at: pop (%rdi)\nret");
FUNC(call_memory, "push %rbx\ncall_memory_at: call *(%rdi)\npop %rbx\nret");
FUNC(jump_memory, "push %rbx\njump_memory_at: jmp *(%rdi)");
FUNC(after_call, "push %rbx\ncall 1f\nafter_call_at: mov (%rdi),%eax\npop %rbx\nret\n1: ret");
FUNC(in_branch, "push %rbx\ntest %rdi,%rdi\nje 1f\nsub $24,%rsp\nin_branch_at: mov (%rdi),%eax\nadd $24,%rsp\n1: pop %rbx\nret");
FUNC(frame, "push %rbp\nmov %rsp,%rbp\nsub $64,%rsp\nand $-64,%rsp\nframe_at: mov (%rdi),%eax\nleave\nret");
FUNC(second, "push %rbx\nmov (%rsi),%rax\nmov %rax,-8(%rsp)\nsecond_at: mov 8(%rdi),%rbx\nmov (%rdi),%rcx\npop %rbx\nret");
FUNC(loop, "push %rbx\nxor %eax,%eax\nmov $10,%ecx\n1: add (%rsi),%eax\ndec %ecx\njnz 1b\nmov $10,%ecx\n2: add (%rsi,%rcx,4),%eax\nloop_at: add (%rdi),%eax\ndec %ecx\njnz 2b\npop %rbx\nret");
FUNC(push_loop, "mov $10,%ecx\n1: push %rcx\npush %rcx\ncmp $5,%ecx\njne 2f\npush_loop_at: mov (%rdi),%eax\n2: pop %rdx\npop %rdx\ndec %ecx\njnz 1b\nret");
FUNC(copy, "mov $10,%ecx\ncopy_at: rep movsb\nret");
FUNC(fill, "mov $0x55,%al\nmov $100,%ecx\nfill_at: rep stosb\nret");
FUNC(scan, "xor %eax,%eax\nmov $-1,%rcx\nscan_at: repne scasb\nret");
FUNC(vector, "push %rbx\nvector_at: movups 16(%rdi),%xmm0\npop %rbx\nret");
FUNC(vector_store, "push %rbx\nvector_store_at: movups %xmm0,(%rdi)\npop %rbx\nret");
FUNC(scalar, "push %rbx\nscalar_at: mulsd (%rdi),%xmm1\npop %rbx\nret");
FUNC(x87, "push %rbx\nx87_at: fldl (%rdi)\nfstp %st(0)\npop %rbx\nret");
FUNC(divide, "push %rbx\nmov %rdi,%rax\ncqo\nmov $5,%r10d\ndivide_at: idiv %rsi\npop %rbx\nret");
FUNC(divide_32, "push %rbx\nmov %edi,%eax\ncltd\ndivide_32_at: idiv %esi\npop %rbx\nret");
FUNC(divide_8, "push %rbx\nmov %edi,%eax\ndivide_8_at: div %sil\npop %rbx\nret");
FUNC(divide_wide, "push %rbx\nmov %rdi,%rax\ndivide_wide_at: div %rsi\npop %rbx\nret");
FUNC(divide_memory, "push %rbx\nmov %rdi,%rax\ncqo\ndivide_memory_at: idivq (%rsi)\npop %rbx\nret");
FUNC(undefined, "sub $40,%rsp\nmov $9,%r11d\nundefined_at: ud2\nadd $40,%rsp\nret");
FUNC(breakpoint, "push %rbx\nint3\nbreakpoint_at: pop %rbx\nret");
FUNC(halt, "push %rbx\nhalt_at: hlt\npop %rbx\nret");
FUNC(stack, "mov %rsp,%rax\nmov %rdi,%rsp\nstack_at: push %rax\nmov %rax,%rsp\nret");

static uint64_t sp, zero, word = 3;
static void show(const char *name, char *at)
{
	printf("%s: signal %d code %d address %#lx pc %+ld", name, number, code, address, (long)(regs[REG_RIP] - (greg_t)at));
	long distance = regs[REG_RSP] - (greg_t)sp;
	if (distance < -4096 || distance > 4096)
		printf(" sp %#lx", (long)regs[REG_RSP]);
	else
		printf(" sp %+ld", distance);
	printf(" trap %ld error %#lx", (long)regs[REG_TRAPNO], (long)regs[REG_ERR]);
	if (regs[REG_TRAPNO] == 14)
		printf(" cr2 %#lx", (long)regs[REG_CR2]);
	printf("\n");
}

static struct {
	void (*f)(uint64_t, uint64_t, uint64_t);
	const char *name;
	char *at;
} now;

static __attribute__((noinline)) void go(uint64_t a, uint64_t b, uint64_t c)
{
	if (sigsetjmp(back, 1)) {
		show(now.name, now.at);
		return;
	}
	__asm__ volatile("mov %%rsp,%%rbx\nsub $128,%%rsp\nand $-64,%%rsp\nmov %%rsp,%0\ncall *%1\nmov %%rbx,%%rsp"
	                 : "=m"(sp) : "r"(now.f), "D"(a), "S"(b), "d"(c)
	                 : "rax", "rbx", "rcx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1");
	printf("%s did not fault\n", now.name);
}

#define TEST(func, a, b, c) (now.f = func, now.name = #func, now.at = func##_at, go((uint64_t)(a), (uint64_t)(b), (uint64_t)(c)))

static void bad_pc(uint64_t to)
{
	void (*volatile f)(void) = (void (*)(void))to;
	if (sigsetjmp(back, 1)) {
		printf("pc %#lx: signal %d code %d address %#lx pc %#lx trap %ld error %#lx\n", to, number, code, address,
		       (long)regs[REG_RIP], (long)regs[REG_TRAPNO], (long)regs[REG_ERR]);
		return;
	}
	f();
}

int main(void)
{
	static char alternate[65536];
	stack_t ss = {.ss_sp = alternate, .ss_size = sizeof alternate};
	CHECK(sigaltstack(&ss, NULL) == 0);
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS};
	for (int i = 0; i < 5; i++)
		CHECK(sigaction(signals[i], &sa, NULL) == 0);
	for (int round = 0; round < 3; round++) {
		uint64_t null = round == 1 ? 0x40 : 0;
		if (round == 2)
			null = 0xfff80000; // beyond what a 32-bit guest can have, unmapped natively
		TEST(load, null, 0, 0);
		TEST(load_byte, null, 3, 0);
		TEST(load_unused, null, 0, 0);
		TEST(store, null, 0, 0);
		TEST(modify, null, 0, 0);
		TEST(locked, null, 0, 0);
		TEST(exchange, null, 0, 0);
		TEST(wide, null, 0, 0);
		TEST(push_memory, null, 0, 0);
		TEST(pop_memory, null, 0, 0);
		TEST(call_memory, null, 0, 0);
		TEST(jump_memory, null, 0, 0);
		TEST(after_call, null, 0, 0);
		if (null)
			TEST(in_branch, null, 0, 0);
		TEST(frame, null, 0, 0);
		TEST(second, null, &word, 0);
		TEST(push_loop, null, 0, 0);
		TEST(copy, null, &word, 0);
		TEST(fill, null, 0, 0);
		TEST(scan, null, 0, 0);
		TEST(vector, null, 0, 0);
		TEST(vector_store, null, 0, 0);
		TEST(scalar, null, 0, 0);
		TEST(x87, null, 0, 0);
	}
	// What was written and can still be read is exact.
	TEST(load, 0, 0, 0);
	CHECK(regs[REG_R8] == 0x1111 && regs[REG_RDI] == 0 && regs[REG_R9] != 0x2222);
	static int numbers[16];
	TEST(loop, 0, numbers, 0);
	TEST(load, 0x8000000000000010, 0, 0);
	TEST(divide, 5, 0, 0);
	TEST(divide, INT64_MIN, -1, 0);
	TEST(divide_32, INT32_MIN, -1, 0);
	TEST(divide_32, 1, 0, 0);
	TEST(divide_8, 0x1234, 2, 0);
	TEST(divide_wide, 1, 2, 7);
	TEST(divide_memory, 1, &zero, 0);
	TEST(divide_memory, 1, 16, 0);
	TEST(divide, 77, 0, 0);
	CHECK(regs[REG_RAX] == 77 && regs[REG_RDX] == 0 && regs[REG_R10] == 5);
	TEST(undefined, 0, 0, 0);
	CHECK(regs[REG_R11] == 9);
	TEST(breakpoint, 0, 0, 0);
	TEST(halt, 0, 0, 0);
	TEST(stack, 0x48, 0, 0);
	bad_pc(0);
	bad_pc(0x1234);
	bad_pc(0xffff0000);
	return 0;
}
