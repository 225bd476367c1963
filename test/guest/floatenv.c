// MXCSR and the x87 control word: rounding modes, exception flags, exceptions
// that are not masked, and how long they last across calls, signals and threads.
#define _GNU_SOURCE
#include "check.h"
#include <fenv.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <xmmintrin.h>

static volatile double result;
static volatile float small;
static double plus(double a, double b) { volatile double x = a, y = b; return result = x + y; }
static double over(double a, double b) { volatile double x = a, y = b; return result = x / y; }
static float times(float a, float b) { volatile float x = a, y = b; return small = x * y; }

static uint64_t bits(double v)
{
	uint64_t u;
	memcpy(&u, &v, 8);
	return u;
}

// Code that is hot before the mode changes, and whose frames stay on the stack.
static double sum(int n, void (*half)(void))
{
	volatile double step = 0.1;
	double s = 0;
	for (int i = 0; i < n; i++) {
		s += step;
		if (i == n / 2 && half)
			half();
	}
	return s;
}

static void upward(void) { fesetround(FE_UPWARD); }

static sigjmp_buf back;
static volatile int code;

static void on_fpe(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	code = info->si_code;
	siglongjmp(back, 1);
}

// What the frame says of the x87 unit, and whether the address is that of the
// instruction that waited.
static volatile unsigned status;
static volatile int there;

static void on_x87(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	(void)sig;
	code = info->si_code;
	status = u->uc_mcontext.fpregs->swd & 0xffbf; // all but the stack fault
	there = (long)info->si_addr == u->uc_mcontext.gregs[REG_RIP];
	siglongjmp(back, 1);
}

static void waiting(void)
{
	static const struct { unsigned short mask; long double a, b; } raised[] = {{4, 1, 0}, {1, 0, 0}, {8, 1e4932L, 1e-4932L}, {16, 1e-4932L, 1e4932L}, {32, 1, 3}};
	struct sigaction act = {.sa_sigaction = on_x87, .sa_flags = SA_SIGINFO};
	sigaction(SIGFPE, &act, 0);
	for (int i = 0; i < 5; i++) {
		long double a = raised[i].a, b = raised[i].b, r = 7;
		unsigned short control = 0x37f & ~raised[i].mask, before = 0;
		code = 0;
		if (!sigsetjmp(back, 1)) {
			__asm__ volatile("fninit; fldcw %4; fldt %2; fldt %3; fdivrp; fnstsw %1; fwait; fstpt %0" : "=m"(r), "=m"(before) : "m"(a), "m"(b), "m"(control));
			printf("not raised\n");
		}
		__asm__ volatile("fninit");
		printf("x87 exception %x: code %d, status %04x, there %d, result %.0Lf, before %04x\n", raised[i].mask, code, status, there, r, before);
	}
}

static void on_usr1(int sig)
{
	(void)sig;
	fesetround(FE_DOWNWARD);
	printf("in the handler: %d\n", fegetround() == FE_DOWNWARD);
}

static void *thread(void *arg)
{
	(void)arg;
	printf("thread: %d, sum %016lx\n", fegetround(), bits(sum(100, 0)));
	return 0;
}

int main(void)
{
	static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
	printf("before: %016lx\n", bits(sum(1000, 0)));
	for (int i = 0; i < 4; i++) {
		fesetround(modes[i]);
		printf("mode %d: %016lx %016lx %016lx %.17g\n", fegetround(), bits(plus(1, 0x1p-60)), bits(over(1, 3)), bits(sum(1000, 0)), (double)times(1.1f, 1.3f));
	}
	fesetround(FE_TONEAREST);
	double changed = sum(1000, upward);
	printf("changed within a loop: %016lx, mode %d\n", bits(changed), fegetround());
	pthread_t t;
	pthread_create(&t, 0, thread, 0);
	pthread_join(t, 0);
	fesetround(FE_TONEAREST);

	feclearexcept(FE_ALL_EXCEPT); // the C library's functions look at both units
	plus(1, 1);
	printf("exact: %x\n", fetestexcept(FE_ALL_EXCEPT));
	over(1, 3);
	printf("inexact: %x\n", fetestexcept(FE_ALL_EXCEPT));
	over(1, 0);
	printf("divided by zero: %x\n", fetestexcept(FE_ALL_EXCEPT));
	feclearexcept(FE_ALL_EXCEPT);
	times(1e38f, 1e38f);
	printf("overflow: %x\n", fetestexcept(FE_ALL_EXCEPT));
	feclearexcept(FE_ALL_EXCEPT);
	over(0, 0);
	printf("invalid: %x\n", fetestexcept(FE_ALL_EXCEPT));
	feclearexcept(FE_ALL_EXCEPT);
	times(1e-38f, 1e-5f);
	printf("underflow: %x\n", fetestexcept(FE_ALL_EXCEPT));

	_mm_setcsr(_mm_getcsr() | 0x8040);
	printf("flushed: %g %g\n", (double)times(1e-38f, 0.1f), plus(0, 4e-320));
	_mm_setcsr(_mm_getcsr() & ~0x8040u);
	printf("kept: %g %g\n", (double)times(1e-38f, 0.1f), plus(0, 4e-320));

	struct sigaction act = {.sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO};
	sigaction(SIGFPE, &act, 0);
	static const struct { int mask; double a, b; } raised[] = {{FE_DIVBYZERO, 1, 0}, {FE_INVALID, 0, 0}, {FE_OVERFLOW, 1e308, 1e-308}, {FE_UNDERFLOW, 1e-308, 1e308}, {FE_INEXACT, 1, 3}};
	for (int i = 0; i < 5; i++) {
		feclearexcept(FE_ALL_EXCEPT);
		code = 0;
		if (!sigsetjmp(back, 1)) {
			_mm_setcsr(0x1f80 & ~(raised[i].mask << 7));
			over(raised[i].a, raised[i].b);
			printf("not raised\n");
		}
		_mm_setcsr(0x1f80);
		printf("exception %x: code %d\n", raised[i].mask, code);
	}

	waiting();

	signal(SIGUSR1, on_usr1);
	fesetround(FE_UPWARD);
	raise(SIGUSR1);
	printf("after the handler: %d %016lx\n", fegetround() == FE_UPWARD, bits(plus(1, 0x1p-60)));
	return 0;
}
