// Recursion: without an end, interrupted by signals, and deeper than what holds
// the frames here; through pointers, by jumps at the end, with system calls.
// build: musl-gcc -static -O1 -Wall -Wno-infinite-recursion
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static volatile int ticks, faults;
static sigjmp_buf back;
static void tick(int sig)
{
	if (++ticks % 5 == 0)
		siglongjmp(back, 1);
}
static void fault(int sig)
{
	faults++;
	siglongjmp(back, 2);
}

static void every(long usec)
{
	struct itimerval it = {{0, usec}, {0, usec}};
	setitimer(ITIMER_REAL, &it, NULL);
}

// None of these has a loop.
static NOINLINE long fib(long n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static NOINLINE long ping(long n);
static NOINLINE long pong(long n) { return n < 2 ? n : ping(n - 1) + ping(n - 2); }
static NOINLINE long ping(long n) { return n < 2 ? n : pong(n - 1) + pong(n - 2); }
static NOINLINE long pointed(long n);
static long (*volatile pointer)(long) = pointed;
static NOINLINE long pointed(long n) { return n < 2 ? n : pointer(n - 1) + pointer(n - 2); }
long jumping(long n), jumping_too(long n), leaping(long n);
__asm__(".text\n.type jumping,@function\njumping:\ntest %rdi,%rdi\njs 1f\njmp jumping_too\n1: ret\n.size jumping,.-jumping\n"
        ".type jumping_too,@function\njumping_too:\nnop\njmp jumping\n.size jumping_too,.-jumping_too\n"
        ".type leaping,@function\nleaping:\nlea leaping(%rip),%rax\ntest %rdi,%rdi\njs 1f\njmp *%rax\n1: ret\n.size leaping,.-leaping\n");

static void interrupted(void)
{
	static long (*const functions[])(long) = {fib, ping, pointed, jumping, leaping};
	signal(SIGALRM, tick);
	every(2000);
	for (int i = 0; i < 5; i++) {
		ticks = 0;
		if (sigsetjmp(back, 1) == 0)
			printf("%d ended: %ld\n", i, functions[i](90));
		printf("function %d: %s\n", i, ticks < 5 ? "ended early" : "five ticks or, since then, more");
	}
	every(0);
}

static NOINLINE long endless(volatile long *p, long n)
{
	volatile char pad[100];
	pad[n % 100] = n;
	long r = endless(p, n + 1);
	return r + pad[5] + *p;
}
static NOINLINE long endless_pointer(volatile long *p, long n)
{
	static long (*volatile f)(volatile long *, long) = endless_pointer;
	volatile char pad[1000];
	pad[n % 1000] = n;
	long r = f(p, n + 1);
	return r + pad[5] + *p;
}

static void overflows(void)
{
	static char alternate[65536];
	stack_t ss = {.ss_sp = alternate, .ss_size = sizeof alternate};
	CHECK(sigaltstack(&ss, NULL) == 0);
	struct sigaction sa = {.sa_handler = fault, .sa_flags = SA_ONSTACK};
	CHECK(sigaction(SIGSEGV, &sa, NULL) == 0);
	char *kept = malloc(1 << 20);
	memset(kept, 0x5a, 1 << 20);
	for (int i = 0; i < 6; i++) {
		volatile long v = i;
		if (sigsetjmp(back, 1) == 0)
			i % 2 ? endless(&v, 0) : endless_pointer(&v, 0);
	}
	int whole = 1;
	for (int i = 0; i < 1 << 20; i++)
		whole &= kept[i] == 0x5a;
	CHECK(faults == 6 && whole);
}

// Deeper than the frames' place, with something in each frame that must not be
// done twice.
static long calls;
static NOINLINE long double with_x87(long n, volatile long double *acc)
{
	calls++;
	*acc = *acc + 1.5L;
	return n == 0 ? 1 : with_x87(n - 1, acc) + 0.5L;
}
static NOINLINE long with_syscall(long n)
{
	long ok = syscall(SYS_getpid) > 0;
	calls += ok;
	return n == 0 ? 0 : with_syscall(n - 1) + ok;
}
static NOINLINE long spaced(int n, long depth)
{
	volatile char pad[24];
	pad[n] = n;
	return n == 0 ? with_syscall(depth) : spaced(n - 1, depth) + pad[n];
}
static volatile long counter;
long tail(long, long *), tail_pointer(long, long *), large(long, long *);
long (*large_pointer)(long, long *) = large;
__asm__(".text\n.type tail,@function\ntail:\nincq counter(%rip)\nadd $1,%rdi\njmp large\n.size tail,.-tail\n"
        ".type tail_pointer,@function\ntail_pointer:\nincq counter(%rip)\nadd $1,%rdi\nmov large_pointer(%rip),%rax\njmp *%rax\n.size tail_pointer,.-tail_pointer\n");
NOINLINE long large(long n, long *a)
{
	long s = 0;
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 4; k++)
			s += a[(i * k + n) & 7] * (i + k), a[k] ^= s;
	n -= 2;
	if (n <= 0)
		return s;
	long r = n & 1024 ? tail_pointer(n, a) : tail(n, a);
	for (int i = 0; i < 2; i++)
		s += a[i] ^ r;
	return r + s;
}

static void deep(void)
{
	volatile long double acc = 0;
	long double x = with_x87(1200000, &acc);
	printf("x87 %Lg %Lg %ld\n", x, acc, calls);
	for (int i = 0; i < 6; i += 2) {
		calls = 0;
		long r = spaced(i, 1000000);
		printf("system calls %ld %ld\n", r, calls);
	}
	long a[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	long r = large(1600000, a);
	printf("jumps %ld %ld\n", r, counter);
}

void call_on(void *stack, void (*f)(void));
__asm__(".text\n.type call_on,@function\ncall_on:\npush %rbx\nmov %rsp,%rbx\nmov %rdi,%rsp\ncall *%rsi\nmov %rbx,%rsp\npop %rbx\nret\n.size call_on,.-call_on\n");

int main(void)
{
	interrupted();
	overflows();
	size_t size = 320 << 20;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(stack != MAP_FAILED);
	call_on(stack + size, deep);
	fflush(stdout);
	signal(SIGSEGV, SIG_DFL);
	volatile long v = 1;
	return endless(&v, 0); // ends by the signal
}
