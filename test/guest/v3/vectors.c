// What a processor of x86-64-v3 adds to a program's state: ymm registers in
// signal frames, across fork and between threads, XSAVE, and what CPUID says.
#include "../check.h"
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

// Places in the area of XSAVE.
enum { SW_MAGIC1 = 464, SW_SIZE = 468, SW_FEATURES = 472, SW_XSTATE_SIZE = 480, HEADER = 512, YMMH = 576 };

static uint32_t u32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static uint64_t u64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }

static void cpuid(void)
{
	unsigned a, b, c, d;
	__cpuid(1, a, b, c, d);
	CHECK((c >> 12 & 1) && (c >> 22 & 1) && (c >> 26 & 1) && (c >> 27 & 1) && (c >> 28 & 1) && (c >> 29 & 1));
	__cpuid_count(7, 0, a, b, c, d);
	CHECK((b >> 3 & 1) && (b >> 5 & 1) && (b >> 8 & 1));
	__cpuid(0x80000001, a, b, c, d);
	CHECK(c >> 5 & 1);
	__cpuid_count(13, 0, a, b, c, d);
	CHECK((a & 7) == 7 && b >= YMMH + 256 && c >= b);
	__cpuid_count(13, 2, a, b, c, d);
	CHECK(a == 256 && b == YMMH);
	__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	CHECK((a & 7) == 7);
	CHECK(__builtin_cpu_supports("x86-64-v3"));
	CHECK(getauxval(AT_MINSIGSTKSZ) > YMMH + 256);
}

static __m256i pattern(int seed)
{
	uint64_t v[4];
	for (int i = 0; i < 4; i++)
		v[i] = (seed + i + 1) * 0x9e3779b97f4a7c15;
	return _mm256_loadu_si256((void *)v);
}

static int same(__m256i a, __m256i b) { return _mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)) == -1; }

static volatile int handled;
static uint32_t magic1, magic2, size, xstate_size;
static uint64_t features, present, flags;
static uint8_t upper[16];

// What a handler does to vector registers stays in it, but for what it writes
// to its frame.
static void handler(int sig, siginfo_t *info, void *p)
{
	ucontext_t *uc = p;
	uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
	(void)info;
	flags = uc->uc_flags;
	magic1 = u32(fp + SW_MAGIC1), size = u32(fp + SW_SIZE), xstate_size = u32(fp + SW_XSTATE_SIZE);
	features = u64(fp + SW_FEATURES), present = u64(fp + HEADER);
	magic2 = u32(fp + xstate_size);
	memcpy(upper, fp + YMMH + 16 * 5, 16);
	if (sig == SIGUSR2)
		memset(fp + YMMH + 16 * 6, 0x5a, 16);
	__asm__ volatile("vpcmpeqd %%ymm0,%%ymm0,%%ymm0\nvpcmpeqd %%ymm5,%%ymm5,%%ymm5\nvpcmpeqd %%ymm6,%%ymm6,%%ymm6\nvpcmpeqd %%ymm15,%%ymm15,%%ymm15\nvzeroupper"
	                 ::: "xmm0", "xmm5", "xmm6", "xmm15");
	handled++;
}

// Sends itself a signal with ymm5, ymm6 and ymm15 set and returns what they are
// afterwards.
static NOINLINE void across(int sig, __m256i *five, __m256i *six, __m256i *fifteen)
{
	long tid = gettid();
	register __m256i a __asm__("ymm5") = *five, b __asm__("ymm6") = *six, c __asm__("ymm15") = *fifteen;
	long r;
	__asm__ volatile("syscall" : "=a"(r), "+x"(a), "+x"(b), "+x"(c) : "a"(200), "D"(tid), "S"((long)sig) : "rcx", "r11", "memory");
	*five = a, *six = b, *fifteen = c;
}

static void frames(void)
{
	struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	sigaction(SIGUSR1, &act, NULL);
	sigaction(SIGUSR2, &act, NULL);
	__m256i five = pattern(5), six = pattern(6), fifteen = pattern(15);
	across(SIGUSR1, &five, &six, &fifteen);
	CHECK(handled == 1);
	CHECK(same(five, pattern(5)) && same(six, pattern(6)) && same(fifteen, pattern(15)));
	CHECK(flags & 1); // UC_FP_XSTATE
	CHECK(magic1 == 0x46505853 && magic2 == 0x46505845 && size == xstate_size + 4);
	CHECK((features & 7) == 7 && (present & 6) == 6 && xstate_size >= YMMH + 256);
	__m128i high = _mm256_extracti128_si256(pattern(5), 1);
	CHECK(memcmp(upper, &high, 16) == 0);

	across(SIGUSR2, &five, &six, &fifteen);
	uint64_t v[4];
	_mm256_storeu_si256((void *)v, six);
	CHECK(same(five, pattern(5)) && v[2] == 0x5a5a5a5a5a5a5a5a && v[3] == 0x5a5a5a5a5a5a5a5a);
	_mm256_storeu_si256((void *)v, pattern(6));
	uint64_t w[4];
	_mm256_storeu_si256((void *)w, six);
	CHECK(v[0] == w[0] && v[1] == w[1]);
}

// A loop of vectors that a timer interrupts.
static NOINLINE uint64_t loop(long n)
{
	__m256d x = _mm256_set_pd(1, 2, 3, 4), y = _mm256_set1_pd(0.9999), z = _mm256_set_pd(0.5, 0.25, 0.125, 1);
	__m256i s = pattern(1), t = pattern(2);
	for (long i = 0; i < n; i++) {
		x = _mm256_fmadd_pd(x, y, z);
		s = _mm256_add_epi64(_mm256_xor_si256(s, _mm256_slli_epi64(t, 7)), _mm256_srli_epi64(s, 9));
		t = _mm256_permute4x64_epi64(_mm256_sub_epi64(t, s), 0x93);
	}
	uint64_t v[4], w[4], sum = 0;
	_mm256_storeu_pd((double *)v, x);
	_mm256_storeu_si256((void *)w, _mm256_xor_si256(s, t));
	for (int i = 0; i < 4; i++)
		sum = sum * 31 + (v[i] ^ w[i]);
	return sum;
}

static void *thread(void *p)
{
	*(uint64_t *)p = loop(200000);
	return NULL;
}

static void interrupted(void)
{
	uint64_t want = loop(200000), got[3];
	struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGALRM, &act, NULL);
	struct itimerval it = {{0, 500}, {0, 500}}, off = {0};
	handled = 0;
	setitimer(ITIMER_REAL, &it, NULL);
	int rounds = 0, equal = 0;
	do {
		pthread_t t[2];
		pthread_create(&t[0], NULL, thread, &got[0]);
		pthread_create(&t[1], NULL, thread, &got[1]);
		got[2] = loop(200000);
		pthread_join(t[0], NULL);
		pthread_join(t[1], NULL);
		equal += got[0] == want && got[1] == want && got[2] == want;
		rounds++;
	} while (handled < 5 && rounds < 200);
	setitimer(ITIMER_REAL, &off, NULL);
	CHECK(handled >= 5 && equal == rounds);
	printf("%016lx\n", want);
}

static NOINLINE long forks(__m256i *v)
{
	register __m256i a __asm__("ymm7") = *v;
	long r;
	__asm__ volatile("syscall" : "=a"(r), "+x"(a) : "a"(57) : "rcx", "r11", "memory");
	*v = a;
	return r;
}

static void fork_keeps(void)
{
	__m256i v = pattern(7);
	long pid = forks(&v);
	if (pid == 0)
		_exit(same(v, pattern(7)) ? 42 : 1);
	int status = 0;
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42 && same(v, pattern(7)));
}

static uint8_t area[4096] __attribute__((aligned(64)));

// XSAVE and XRSTOR as a dynamic linker uses them.
static NOINLINE void save_and_restore(__m256i *v, uint32_t save, uint32_t restore)
{
	register __m256i a __asm__("ymm9") = *v;
	__asm__ volatile("xsave (%2)\nvpcmpeqd %%ymm9,%%ymm9,%%ymm9\nmov %3,%%eax\nxrstor (%2)\n"
	                 : "+x"(a), "+a"(save) : "r"(area), "r"(restore), "d"(0) : "memory",
	                 "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
	*v = a;
}

static void xsave(void)
{
	__m256i v = pattern(9);
	memset(area, 0, sizeof area);
	save_and_restore(&v, 6, 6);
	CHECK(same(v, pattern(9)));
	CHECK((u64(area + HEADER) & 6) == 6);
	v = pattern(9);
	memset(area, 0, sizeof area);
	save_and_restore(&v, 4, 4); // the upper halves only
	__m128i high = _mm256_extracti128_si256(pattern(9), 1);
	CHECK(memcmp(area + YMMH + 16 * 9, &high, 16) == 0);
	uint64_t w[4];
	_mm256_storeu_si256((void *)w, v);
	CHECK(w[0] == ~0ul && w[1] == ~0ul && memcmp(w + 2, &high, 16) == 0);
	v = pattern(9);
	memset(area, 0, sizeof area); // nothing is there: initial values, but for MXCSR
	area[24] = 0x80, area[25] = 0x1f;
	save_and_restore(&v, 0, 4);
	_mm256_storeu_si256((void *)w, v);
	CHECK(w[0] == ~0ul && w[1] == ~0ul && w[2] == 0 && w[3] == 0);
}

int main(void)
{
	cpuid();
	frames();
	fork_keeps();
	xsave();
	interrupted();
	return 0;
}
