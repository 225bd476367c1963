// Signals that come between instructions: registers, flags and the x87 and SSE
// state survive; handlers nest, leave by jumps, and run on stacks of their own.
#include "check.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Winfinite-recursion"
#define NOINLINE __attribute__((noinline, noclone))

static volatile long ticks;
static volatile double spoil_d;
static volatile long double spoil_ld;

// The handler uses as many registers as it can.
static void tick(int sig)
{
	ticks++;
	spoil_d = spoil_d * 1.5 + sig;
	spoil_ld = spoil_ld * 0.5L + 1;
	__asm__ volatile("pcmpeqd %%xmm0,%%xmm0\npcmpeqd %%xmm7,%%xmm7\npcmpeqd %%xmm15,%%xmm15\n"
	                 "mov $-1,%%rax\nmov %%rax,%%rcx\nmov %%rax,%%rdx\nmov %%rax,%%rsi\nmov %%rax,%%rdi\n"
	                 "mov %%rax,%%r8\nmov %%rax,%%r9\nmov %%rax,%%r10\nmov %%rax,%%r11\nmov %%rax,%%r12\ncmp %%rax,%%rax\nstc\nstd\ncld\n"
	                 ::: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "xmm0", "xmm7", "xmm15", "cc");
}

static void every(long usec)
{
	struct itimerval it = {{0, usec}, {0, usec}};
	setitimer(ITIMER_REAL, &it, NULL);
}

// A loop without calls whose state fills the registers.
static NOINLINE uint64_t hot(uint64_t seed, long n)
{
	uint64_t a = seed, b = a * 3, c = b ^ 7, d = c + 11, e = d * 13, f = e ^ 17, g = f + 19, h = g * 23, k = h ^ 29, m = k + 31;
	double x = 1, y = 2, z = 0.5;
	for (long i = 0; i < n; i++) {
		a += b ^ (c >> 3), b = b * 5 + d, c ^= e << 1, d += f >> 7, e = e * 9 + g, f ^= h, g += k, h = (h << 5 | h >> 59) + m, k ^= a, m += i;
		x = x * 0.999 + y, y = y * 0.5 + z, z = -z + 1;
	}
	return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ k ^ m ^ (uint64_t)(x * 1e6) ^ (uint64_t)(y * 1e6);
}

// Carries flags and x87 registers around a loop.
__asm__(".text\n.type flags_loop,@function\nflags_loop:\nfld1\nfldpi\nxor %eax,%eax\nclc\n"
        "1:\nadc $3,%rax\nrcl $1,%rdx\nfadd %st,%st(1)\nfxch\nfmuls half(%rip)\nfxch\npaddq %xmm1,%xmm0\nlea -1(%rdi),%rdi\ninc %rcx\ndec %rcx\njrcxz 2f\n2:\nlea (%rdi),%rcx\njrcxz 3f\njmp 1b\n"
        "3:\nfstpl (%rsi)\nfstpl 8(%rsi)\nret\n.size flags_loop,.-flags_loop\n"
        ".section .rodata\n.align 4\nhalf: .float 0.5\n.text\n"
        // A string operation that a signal may meet.
        ".type strings,@function\nstrings:\nmov %rdx,%rcx\nrep movsb\nmov %rdi,%rax\nret\n.size strings,.-strings\n");
long flags_loop(long n, double *out);
char *strings(char *to, const char *from, size_t n);

static NOINLINE long leaf(long v) { return v * 0x9e3779b97f4a7c15 + (v >> 7); }

static uint64_t work(int round)
{
	double out[2] = {0};
	uint64_t r = hot(round, 3000000);
	r = r * 31 + 0 * flags_loop(300000, out);
	r ^= (uint64_t)(out[0] * 1000) + (uint64_t)(out[1] * 1000);
	for (long i = 0; i < 1000000; i++)
		r = leaf(r + i);
	static char from[100000], to[100000];
	for (int i = 0; i < 100; i++) {
		memset(from, r + i, sizeof from);
		strings(to, from, sizeof to);
		r = r * 33 + (unsigned char)to[sizeof to - 1];
	}
	return r;
}

static void hot_loops(void)
{
	uint64_t quiet[4];
	for (int i = 0; i < 4; i++)
		quiet[i] = work(i);
	struct sigaction sa = {.sa_handler = tick, .sa_flags = SA_RESTART};
	sigaction(SIGALRM, &sa, NULL);
	every(500);
	int wrong = 0;
	for (int i = 0; i < 4; i++)
		wrong += work(i) != quiet[i];
	every(0);
	CHECK(wrong == 0);
	CHECK(ticks > 5);
	printf("work %lx\n", (long)quiet[3]);
}

// A loop that only a handler ends.
static volatile sig_atomic_t stop;
static void set_stop(int sig) { (void)sig; stop = 1; }
static sigjmp_buf out;
static void jump_out(int sig) { siglongjmp(out, sig); }
static void endless(void)
{
	signal(SIGALRM, set_stop);
	for (int i = 0; i < 20; i++) {
		stop = 0;
		ualarm(2000, 0);
		while (!stop)
			;
	}
	CHECK(stop == 1);
	signal(SIGALRM, jump_out);
	volatile int times = 0;
	for (volatile int i = 0; i < 50; i++) {
		if (sigsetjmp(out, 1) == 0) {
			ualarm(2000, 0);
			__asm__ volatile("1: jmp 1b" ::: "memory");
		}
		times++;
	}
	CHECK(times == 50);
}

// Faults that a handler leaves by a jump, thousands of times.
static NOINLINE int fault_deep(int n, int kind)
{
	volatile int keep = n;
	if (n)
		return fault_deep(n - 1, kind) + keep;
	switch (kind) {
	case 0: return *(volatile int *)(long)kind;
	case 1: __asm__ volatile("ud2"); break;
	case 2: __asm__ volatile("cltd\nidivl %1" : : "a"(1), "r"(n) : "edx"); break;
	case 3: *(volatile char *)0xfffffffffffffff0 = 1; break;
	case 4: ((void (*)(void))(long)n)(); break;
	case 5: __asm__ volatile("hlt"); break;
	}
	return keep;
}
static void faults(void)
{
	struct sigaction sa = {.sa_handler = jump_out};
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	volatile long counts[33] = {0};
	for (volatile int i = 0; i < 6000; i++) {
		int s = sigsetjmp(out, 1);
		if (s == 0)
			fault_deep(i % 50, i % 6);
		else
			counts[s]++;
	}
	printf("faults: SEGV %ld ILL %ld FPE %ld BUS %ld\n", counts[SIGSEGV], counts[SIGILL], counts[SIGFPE], counts[SIGBUS]);
}

// A handler that skips the instruction that failed.
static volatile long mended;
static void mend(int sig, siginfo_t *info, void *ctx)
{
	(void)sig, (void)info;
	ucontext_t *uc = ctx;
	mended++;
	uc->uc_mcontext.gregs[REG_RIP] += 2, uc->uc_mcontext.gregs[REG_RAX] = 42;
}
static void restarts(void)
{
	struct sigaction sa = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
	sigaction(SIGILL, &sa, NULL);
	long ok = 1, r;
	for (int i = 0; i < 200; i++) {
		__asm__ volatile("mov $1,%%eax\nud2" : "=a"(r));
		ok &= r == 42;
	}
	CHECK(ok && mended == 200);
}

// Handlers in handlers, each on the stack of the one before.
static volatile int level, deepest;
static void nest(int sig)
{
	level++;
	if (level > deepest)
		deepest = level;
	if (level < 30)
		raise(sig == SIGUSR1 ? SIGUSR2 : SIGUSR1);
	level--;
}
static uintptr_t stack_seen;
static void on_alt(int sig)
{
	char here;
	stack_seen = (uintptr_t)&here;
	if (sig == SIGSEGV)
		siglongjmp(out, 1);
}
static NOINLINE int fault_deep(int n, int kind);
static void nested(void)
{
	struct sigaction sa = {.sa_handler = nest, .sa_flags = SA_NODEFER};
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	for (int i = 0; i < 100; i++)
		raise(SIGUSR1);
	CHECK(level == 0 && deepest == 30);
	static char alt[65536];
	stack_t s = {.ss_sp = alt, .ss_size = sizeof alt};
	sigaltstack(&s, NULL);
	sa = (struct sigaction){.sa_handler = on_alt, .sa_flags = SA_ONSTACK};
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	volatile int caught = 0;
	for (volatile int i = 0; i < 3; i++)
		if (sigsetjmp(out, 1) == 0)
			fault_deep(2000, 0);
		else
			caught += stack_seen - (uintptr_t)alt < sizeof alt;
	CHECK(caught == 3);
}

// Threads: signals to one of them while others run; locks, atomics, conditions.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long counter, shared, turn_of;
static __thread volatile long own;
static void thread_tick(int sig) { (void)sig; own++; }
static void *adder(void *p)
{
	long id = (long)p;
	for (int i = 0; i < 20000; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		pthread_mutex_unlock(&lock);
		__atomic_fetch_add(&shared, id, __ATOMIC_SEQ_CST);
	}
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&lock);
		while (turn_of % 4 != id)
			pthread_cond_wait(&cond, &lock);
		turn_of++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&lock);
	}
	return (void *)(id * id);
}
static void *spinner(void *p)
{
	while (!own)
		;
	return p;
}
static void threads(void)
{
	pthread_t t[4];
	void *r;
	long sum = 0;
	for (long i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, adder, (void *)i);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], &r), sum += (long)r;
	CHECK(counter == 80000 && shared == 120000 && sum == 14 && turn_of == 800);
	signal(SIGUSR1, thread_tick);
	pthread_create(&t[0], NULL, spinner, (void *)5);
	usleep(20000);
	pthread_kill(t[0], SIGUSR1);
	pthread_join(t[0], &r);
	CHECK(r == (void *)5 && own == 0);
}

int main(void)
{
	hot_loops();
	endless();
	faults();
	restarts();
	nested();
	threads();
	return 0;
}
