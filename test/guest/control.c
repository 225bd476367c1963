// Transfers of control that do not nest: jumps out of frames and of handlers,
// contexts, stacks switched by hand, tricks with return addresses, calls into
// the middle of functions, deep recursion.
// build: musl-gcc -static -O1 -Wall -Werror
// build: gcc -static -O2 -mindirect-branch=thunk-inline -mfunction-return=thunk-inline -w
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Winfinite-recursion"
#define NOINLINE __attribute__((noinline, noclone))

// Jumps across frames.
static jmp_buf deep;
static NOINLINE int descend(int n)
{
	volatile char pad[64];
	pad[n & 63] = n;
	if (n == 0)
		longjmp(deep, 7);
	return descend(n - 1) + pad[n & 63];
}

static void jumps(void)
{
	volatile int total = 0;
	for (volatile int i = 0; i < 2000; i++) {
		int r = setjmp(deep);
		if (r == 0)
			descend(1 + i % 300);
		total += r;
	}
	CHECK(total == 14000);
}

// setjmp called again and again from below the frame that it returns to.
static void shallow(void)
{
	static jmp_buf b;
	volatile int n = 0;
	int r = setjmp(b);
	if (r < 200000) {
		n++;
		longjmp(b, r + 1);
	}
	CHECK(n == 200000 && r == 200000);
}

// Contexts that take turns.
static ucontext_t main_context, a_context, b_context;
static long turns;
static void turn(int other)
{
	for (;;) {
		turns++;
		if (turns >= 100000)
			swapcontext(other ? &b_context : &a_context, &main_context);
		else if (other)
			swapcontext(&b_context, &a_context);
		else
			swapcontext(&a_context, &b_context);
	}
}

static int ended;
static void short_context(int x, int y, int z) { ended += x * 100 + y * 10 + z; }

#ifdef __GLIBC__
static void contexts(void)
{
	static char stack_a[65536], stack_b[65536];
	getcontext(&a_context);
	a_context.uc_stack.ss_sp = stack_a;
	a_context.uc_stack.ss_size = sizeof stack_a;
	a_context.uc_link = NULL;
	b_context = a_context;
	getcontext(&b_context);
	b_context.uc_stack.ss_sp = stack_b;
	b_context.uc_stack.ss_size = sizeof stack_b;
	makecontext(&a_context, (void (*)(void))turn, 1, 0);
	makecontext(&b_context, (void (*)(void))turn, 1, 1);
	swapcontext(&main_context, &a_context);
	CHECK(turns == 100000);
	for (int i = 0; i < 1000; i++) {
		getcontext(&a_context);
		a_context.uc_stack.ss_sp = stack_a;
		a_context.uc_stack.ss_size = sizeof stack_a;
		a_context.uc_link = &main_context;
		makecontext(&a_context, (void (*)(void))short_context, 3, 1, 2, 3);
		swapcontext(&main_context, &a_context);
	}
	CHECK(ended == 123000);
}
#else
static void contexts(void) { (void)turn, (void)short_context; }
#endif

// Stacks switched by hand, as coroutine libraries do.
__asm__(".text\n.type switch_stack,@function\nswitch_stack:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size switch_stack,.-switch_stack\n"
        // The same with a jump in the place of ret.
        ".type switch_jump,@function\nswitch_jump:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\npop %rcx\njmp *%rcx\n"
        ".size switch_jump,.-switch_jump\n");
void switch_stack(void **save, void *to);
void switch_jump(void **save, void *to);

static void *main_sp, *co_sp[8];
static long co_count[8];
static int co_current;
static void (*co_switch)(void **, void *);
static NOINLINE void co_yield_deep(int n)
{
	volatile int keep = n;
	if (n)
		co_yield_deep(n - 1);
	else
		co_switch(&co_sp[co_current], main_sp);
	co_count[co_current] += keep;
}
static void co_body(void)
{
	for (int i = 0;; i++)
		co_yield_deep(i % 5);
}

static void coroutines(void)
{
	static char stacks[8][32768] __attribute__((aligned(16)));
	for (int way = 0; way < 2; way++) {
		co_switch = way ? switch_jump : switch_stack;
		memset(co_count, 0, sizeof co_count);
		for (int i = 0; i < 8; i++) {
			void **sp = (void **)(stacks[i] + sizeof stacks[i] - 16);
			*--sp = (void *)co_body;
			co_sp[i] = sp - 6;
		}
		for (int i = 0; i < 200000; i++) {
			co_current = i % 8;
			co_switch(&main_sp, co_sp[co_current]);
		}
		long sum = 0;
		for (int i = 0; i < 8; i++)
			sum += co_count[i];
		printf("coroutines %d: %ld\n", way, sum);
	}
}

// Tricks with return addresses.
__asm__(".text\n"
        ".type push_ret,@function\npush_ret:\nlea 1f(%rip),%rax\npush %rax\nmov $5,%eax\nret\nint3\n1:\nadd $37,%eax\nret\n.size push_ret,.-push_ret\n"
        ".type pop_return,@function\npop_return:\npop %rcx\nlea 1(%rdi),%rax\npush %rcx\nret\n.size pop_return,.-pop_return\n"
        ".type pop_jump,@function\npop_jump:\npop %rcx\nlea 2(%rdi),%rax\njmp *%rcx\n.size pop_jump,.-pop_jump\n"
        ".type get_pc,@function\nget_pc:\ncall 1f\n1:\npop %rax\nlea 1b(%rip),%rdx\nsub %rdx,%rax\nadd $11,%rax\nret\n.size get_pc,.-get_pc\n"
        ".type get_pc_ret,@function\nget_pc_ret:\ncall 1f\nmov $77,%eax\nret\n1:\naddq $0,(%rsp)\nret\n.size get_pc_ret,.-get_pc_ret\n"
        // Returns to the caller's caller.
        ".type twice,@function\ntwice:\nadd $8,%rsp\nmov $21,%eax\nret\n.size twice,.-twice\n"
        ".type over,@function\nover:\ncall twice\nmov $1,%eax\nret\n.size over,.-over\n"
        // ret with an immediate.
        ".type ret16,@function\nret16:\nmov 8(%rsp),%rax\nadd 16(%rsp),%rax\nret $16\n.size ret16,.-ret16\n"
        ".type call_ret16,@function\ncall_ret16:\npush %rbx\nmov %rsp,%rbx\npush $30\npush $12\ncall ret16\ncmp %rsp,%rbx\nje 1f\nxor %eax,%eax\n1:\nmov %rbx,%rsp\npop %rbx\nret\n.size call_ret16,.-call_ret16\n"
        // Two entries, the second in the middle.
        ".type two_entries,@function\ntwo_entries:\nmov $100,%eax\njmp 1f\n.globl middle_entry\nmiddle_entry:\nmov $200,%eax\n1:\nadd %edi,%eax\nret\n.size two_entries,.-two_entries\n"
        // A loop entered in its middle by a call.
        ".type mid_loop,@function\nmid_loop:\nxor %eax,%eax\nmov $10,%ecx\n1:\nadd $3,%eax\nmid_loop_inner:\nadd $1,%eax\ndec %ecx\njnz 1b\nret\n.size mid_loop,.-mid_loop\n"
        ".type enter_mid_loop,@function\nenter_mid_loop:\nmov $0,%eax\nmov $5,%ecx\ncall mid_loop_inner\nadd $1000,%eax\nret\n.size enter_mid_loop,.-enter_mid_loop\n"
        // enter and leave; xchg of a return address; a call through memory on the stack.
        ".type frames,@function\nframes:\nenter $32,$0\nmov %rdi,-8(%rbp)\nmov -8(%rbp),%rax\nleave\nret\n.size frames,.-frames\n"
        ".type call_stack,@function\ncall_stack:\npush %rdi\nmov $4,%edi\ncall *(%rsp)\nadd $8,%rsp\nret\n.size call_stack,.-call_stack\n"
        // pushf and popf around a jump; cmov and setcc of its flags; loop and jrcxz.
        ".type loops,@function\nloops:\nxor %eax,%eax\nmov %rdi,%rcx\njrcxz 2f\n1:\ninc %rax\nloop 1b\n2:\nret\n.size loops,.-loops\n");
int push_ret(void), pop_return(int), pop_jump(int), get_pc(void), get_pc_ret(void), over(void);
long call_ret16(void), frames(long), call_stack(int (*)(int)), loops(long);
int two_entries(int), middle_entry(int), mid_loop(void), enter_mid_loop(void);

static void tricks(void)
{
	long sum = 0;
	for (int i = 0; i < 20000; i++)
		sum += push_ret() + pop_return(i) + pop_jump(i) + get_pc() + get_pc_ret() + over();
	printf("tricks %ld\n", sum);
	CHECK(push_ret() == 42);
	CHECK(pop_return(1) == 2);
	CHECK(pop_jump(1) == 3);
	CHECK(get_pc() == 11);
	CHECK(get_pc_ret() == 77);
	CHECK(over() == 21);
	CHECK(call_ret16() == 42);
	CHECK(two_entries(1) == 101);
	CHECK(middle_entry(1) == 201);
	CHECK(mid_loop() == 40);
	CHECK(enter_mid_loop() == 1017);
	CHECK(frames(12) == 12);
	CHECK(call_stack(middle_entry) == 204);
	CHECK(loops(10) == 10 && loops(0) == 0);
}

// Calls at the end of functions, direct and through pointers.
static NOINLINE int odd(unsigned n);
#pragma GCC push_options
#pragma GCC optimize("O2")
static NOINLINE int even(unsigned n) { return n == 0 ? 1 : odd(n - 1); }
static NOINLINE int odd(unsigned n) { return n == 0 ? 0 : even(n - 1); }
typedef long (*step)(long, long);
static long step_a(long n, long acc), step_b(long n, long acc);
static step volatile steps[2] = {step_a, step_b};
static NOINLINE long step_a(long n, long acc) { return n == 0 ? acc : steps[n & 1](n - 1, acc + 1); }
static NOINLINE long step_b(long n, long acc) { return n == 0 ? acc : steps[n & 1](n - 1, acc + 2); }

#pragma GCC pop_options

static void tails(int depth)
{
	CHECK(even(depth) == 1);
	CHECK(step_a(depth, 0) > depth);
}

// Recursion on a stack of 512 MiB.
static NOINLINE long recurse(long n)
{
	volatile long keep = n;
	if (n == 0)
		return 0;
	return recurse(n - 1) + (keep & 3);
}
static NOINLINE long recurse_pointer(long n, long (*volatile f)(long))
{
	volatile long keep = n;
	if (n == 0)
		return f(10);
	return recurse_pointer(n - 1, f) + (keep & 1);
}
static long deep_result[3];
static jmp_buf out_of_deep;
static NOINLINE long recurse_out(long n)
{
	volatile long keep = n;
	if (n == 0)
		longjmp(out_of_deep, 5);
	return recurse_out(n - 1) + keep;
}
static NOINLINE void on_big_stack(void)
{
	deep_result[0] = recurse(1000000);
	deep_result[1] = recurse_pointer(1000000, recurse);
	if (setjmp(out_of_deep) == 0)
		recurse_out(1000000);
	else
		deep_result[2] = 1;
}
__asm__(".text\n.type call_on,@function\ncall_on:\npush %rbx\nmov %rsp,%rbx\nmov %rdi,%rsp\ncall *%rsi\nmov %rbx,%rsp\npop %rbx\nret\n.size call_on,.-call_on\n");
void call_on(void *stack, void (*f)(void));

static void recursion(void)
{
	size_t size = 256 << 20;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(stack != MAP_FAILED);
	if (stack == MAP_FAILED)
		return;
	call_on(stack + size, on_big_stack);
	printf("recursion %ld %ld %ld\n", deep_result[0], deep_result[1], deep_result[2]);
	munmap(stack, size);
}

// Computed goto and a large switch.
static NOINLINE long interpret(const unsigned char *code, int n)
{
	static void *labels[] = {&&inc, &&dec, &&twice, &&neg, &&loop, &&end};
	long acc = 1;
	const unsigned char *p = code;
	goto *labels[*p++];
inc:
	acc++;
	goto *labels[*p++];
dec:
	acc -= 3;
	goto *labels[*p++];
twice:
	acc = acc * 2 % 1000003;
	goto *labels[*p++];
neg:
	acc ^= 0x55;
	goto *labels[*p++];
loop:
	if (--n > 0)
		p = code;
	goto *labels[*p++];
end:
	return acc;
}

#define C4(n) case n: r += n * 3 + 1; break; case n + 1: r ^= n; break; case n + 2: r -= n; v++; goto again; case n + 3: r += v; /* fallthrough */
#define C16(n) C4(n) C4(n + 4) C4(n + 8) C4(n + 12)
#define C64(n) C16(n) C16(n + 16) C16(n + 32) C16(n + 48)
#define C256(n) C64(n) C64(n + 64) C64(n + 128) C64(n + 192)
static NOINLINE long big_switch(int v)
{
	long r = 0;
again:
	switch (v) {
		C256(0) C256(256)
		break;
	case -5: r = 5; break;
	case 100000: r = 6; break;
	default: r = -1;
	}
	if (v++ % 7 == 0 && v < 500)
		goto again;
	return r;
}

static void switches(void)
{
	static const unsigned char code[] = {0, 2, 1, 3, 0, 2, 4, 5};
	printf("interpret %ld\n", interpret(code, 50000));
	unsigned long sum = 0;
	for (int v = -10; v < 600; v++)
		if (v % 4 != 2)
			sum = sum * 31 + big_switch(v);
	printf("switch %lu %ld\n", sum, big_switch(100000));
}

// Nested functions with trampolines would need executable stacks; frames whose
// size is only known at run time do not.
static NOINLINE long variable_frames(int n)
{
	volatile char a[n * 16 + 1];
	volatile char *b = __builtin_alloca(n * 3 + 1);
	for (int i = 0; i <= n * 3; i++)
		b[i] = a[i] = i;
	return n ? variable_frames(n - 1) + b[n] + a[n] : b[0];
}
static NOINLINE double variadic(int n, ...)
{
	va_list ap, aq;
	va_start(ap, n);
	va_copy(aq, ap);
	double sum = 0;
	for (int i = 0; i < n; i++)
		switch (i % 4) {
		case 0: sum += va_arg(ap, int); break;
		case 1: sum += va_arg(ap, double); break;
		case 2: sum += (double)va_arg(ap, long double); break;
		case 3: sum += va_arg(ap, long long); break;
		}
	sum *= va_arg(aq, int);
	va_end(ap);
	va_end(aq);
	return sum;
}
struct small { double d; int i; };
struct large { long a[9]; long double ld; };
static NOINLINE struct small make_small(int i) { return (struct small){i * 1.5, i}; }
static NOINLINE struct large make_large(int i, struct large l, struct small s)
{
	for (int k = 0; k < 9; k++)
		l.a[k] += i + s.i;
	l.ld += s.d;
	return l;
}
static void arguments(void)
{
	printf("frames %ld\n", variable_frames(200));
	printf("variadic %g\n", variadic(14, 2, 1.5, 2.25L, 7LL, 5, 6.5, 7.25L, 1LL << 40, 9, 10.5, 11.25L, -12LL, 13, 14.5));
	struct large l = {{1, 2, 3}, 0.5L};
	struct small s = make_small(3);
	for (int i = 0; i < 100; i++)
		l = make_large(i, l, make_small(i));
	printf("structs %ld %ld %Lg %g %d\n", l.a[0], l.a[8], l.ld, s.d, s.i);
}

int main(void)
{
	jumps();
	shallow();
	contexts();
	coroutines();
	tricks();
	tails(3000000);
	recursion();
	switches();
	arguments();
	return 0;
}
