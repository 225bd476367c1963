// AVX and FMA under MXCSR: rounding modes, exception flags, exceptions that are
// not masked, and what XRSTOR makes of it.
#include "../check.h"
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>

#define NOINLINE __attribute__((noinline, noclone))

static uint64_t bits(double v)
{
	uint64_t u;
	memcpy(&u, &v, 8);
	return u;
}

static NOINLINE void print(const char *what, __m256d v)
{
	double d[4];
	_mm256_storeu_pd(d, v);
	printf("%s %016lx %016lx %016lx %016lx, flags %02x\n", what, bits(d[0]), bits(d[1]), bits(d[2]), bits(d[3]), _mm_getcsr() & 0x3f);
}

static NOINLINE __m256d sum(__m256d a, __m256d b) { return _mm256_add_pd(a, b); }
static NOINLINE __m256d fused(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }
static NOINLINE float single(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static NOINLINE __m256d quotient(__m256d a, __m256d b) { return _mm256_div_pd(a, b); }

static sigjmp_buf back;
static volatile int code;

static void on_fpe(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	code = info->si_code;
	siglongjmp(back, 1);
}

static uint8_t area[4096] __attribute__((aligned(64)));

int main(void)
{
	volatile double one = 1, tiny = 0x1p-60, third = 1.0 / 3;
	__m256d a = _mm256_set_pd(one, -one, third, -third), b = _mm256_set_pd(tiny, tiny, -tiny, -tiny), c = _mm256_set1_pd(third);
	for (int mode = 0; mode < 4; mode++) {
		_mm_setcsr(0x1f80 | mode << 13);
		print("sum", sum(a, b));
		print("fused", fused(a, c, b));
		printf("single %08x\n", _mm_cvtsi128_si32(_mm_castps_si128(_mm_set_ss(single((float)third, (float)third, (float)tiny)))));
		print("less", _mm256_cmp_pd(a, c, _CMP_LT_OS));
	}
	_mm_setcsr(0x1f80);
	print("divided by zero", quotient(a, _mm256_setzero_pd()));

	struct sigaction act = {.sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO};
	sigaction(SIGFPE, &act, 0);
	if (!sigsetjmp(back, 1)) {
		_mm_setcsr(0x1f80 & ~0x200);
		print("not raised", quotient(a, _mm256_setzero_pd()));
	}
	printf("raised: code %d\n", code);

	_mm_setcsr(0x5f80);
	__asm__ volatile("xsave (%0)" : : "r"(area), "a"(2), "d"(0) : "memory");
	_mm_setcsr(0x1f80);
	print("nearest", sum(a, b));
	memset(area + 160, 0, 256); // the registers
	__asm__ volatile("xrstor (%0)" : : "r"(area), "a"(2), "d"(0) : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
	                 "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
	print("up again", sum(_mm256_set_pd(one, -one, third, -third), _mm256_set1_pd(tiny)));
	return 0;
}
