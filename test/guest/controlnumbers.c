// Numbers: long double in and out of text, libm, __int128, _Float128, wide
// divisions, SSE loops, and string functions at the edges of pages.
#include "check.h"
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t state = 88172645463325252ull;
static uint64_t next(void) { state ^= state << 13; state ^= state >> 7; return state ^= state << 17; }
static uint64_t sum;
static void mix(const void *p, size_t n) { const unsigned char *c = p; while (n--) sum = (sum ^ *c++) * 1099511628211u; }

static void text(void)
{
	char b[5200];
	int bad = 0;
	for (int i = 0; i < 2000; i++) {
		union { uint64_t u; double d; } v = {next()};
		if (v.d != v.d || isinf(v.d))
			continue;
		snprintf(b, sizeof b, "%.17g", v.d);
		mix(b, strlen(b));
		bad += strtod(b, NULL) != v.d;
		long double l = (long double)v.d * 1.1L;
		if (isinf(l)) continue;
		snprintf(b, sizeof b, "%.21Lg", l);
		mix(b, strlen(b));
		bad += strtold(b, NULL) != l;
		snprintf(b, sizeof b, "%La %a", l, v.d);
		mix(b, strlen(b));
	}
	CHECK(bad == 0);
	printf("text %lx %Lg %.30Lg %f\n", sum, LDBL_MAX, 1 / 3.0L, DBL_MAX);
}

static void math(void)
{
	volatile double d;
	volatile long double l;
	volatile float f;
	long double acc = 0;
	for (int i = -300; i < 300; i++) {
		double x = i * 0.37 + 0.01, a = fabs(x);
		d = sin(x) + cos(x) + tan(x) + exp(x / 10) + log(a) + sqrt(a) + pow(a, 1.7) + atan2(x, 3) + cbrt(x) + tgamma(x / 20) + erf(x) + sinh(x / 30) + asinh(x) + log1p(a) + expm1(x / 50) + floor(x) + ceil(x) + rint(x) + fmod(x, 0.7) + hypot(x, 3) + remainder(x, 1.3) + lround(x) + ldexp(x, 3);
		l = sinl(x) + cosl(x) + tanl(x) + expl(x / 10) + logl(a) + sqrtl(a) + powl(a, 1.7L) + atan2l(x, 3) + cbrtl(x) + floorl(x) + ceill(x) + rintl(x) + fmodl(x, 0.7L) + log2l(a) + exp2l(x / 9) + log10l(a) + truncl(x) + nearbyintl(x) + scalbnl(x, 5) + logbl(a) + llrintl(x);
		f = sinf(x) + cosf(x) + expf(x / 20) + logf(a) + powf(a, 1.3f) + fmaf(x, 2, 1);
		acc += d + l + f;
		double dd = d; float ff = f; long double ll = l;
		mix(&dd, sizeof dd), mix(&ff, sizeof ff), mix(&ll, 10);
	}
	printf("math %lx %.20Lg\n", sum, acc);
}

static void wide(void)
{
	for (int i = 0; i < 20000; i++) {
		unsigned __int128 a = (unsigned __int128)next() << 64 | next(), b = (unsigned __int128)(next() >> (i % 64)) << (i % 50) | (next() >> (i % 60)) | 1;
		__int128 s = (__int128)a, t = (__int128)b;
		unsigned __int128 q = a / b, r = a % b, p = a * b, sh = a >> (i % 128) ^ b << (i % 127);
		__int128 sq = s / t, sr = s % -t;
		mix(&q, 16), mix(&r, 16), mix(&p, 16), mix(&sh, 16), mix(&sq, 16), mix(&sr, 16);
		double d = (double)a; float f = (float)s; long double l = (long double)a;
		mix(&d, 8), mix(&f, 4), mix(&l, 10);
		__float128 x = (__float128)d / 3, y = x * x + (__float128)l;
		long double back = (long double)y;
		int64_t n = (int64_t)(y / ((__float128)d * 1e9));
		mix(&back, 10), mix(&n, 8);
		uint64_t lo, hi;
		__asm__("divq %4" : "=a"(lo), "=d"(hi) : "a"(next()), "d"(next() >> 33), "r"(next() | 1ull << 63) : "cc");
		mix(&lo, 8), mix(&hi, 8);
	}
	printf("wide %lx\n", sum);
}

__attribute__((optimize("O3"))) static void vectors(void)
{
	enum { N = 4099 };
	static int8_t a8[N]; static uint16_t a16[N]; static int32_t a32[N], b32[N]; static int64_t a64[N]; static float af[N]; static double ad[N];
	for (int i = 0; i < N; i++)
		a8[i] = next(), a16[i] = next(), a32[i] = next(), b32[i] = next(), a64[i] = next(), af[i] = (int)next() / 1e5f, ad[i] = (int)next() / 1e5;
	for (int round = 0; round < 20; round++) {
		int32_t m = INT32_MIN; int64_t s = 0; uint32_t us = 0; double ds = 0; int max8 = -128;
		for (int i = 0; i < N; i++) s += a32[i], m = a32[i] > m ? a32[i] : m;
		for (int i = 0; i < N; i++) us += a16[i] * 3u;
		for (int i = 0; i < N; i++) max8 = a8[i] > max8 ? a8[i] : max8;
		for (int i = 0; i < N; i++) a8[i] = a8[i] * 7 + (a8[i] >> 2), a16[i] = (a16[i] << 3) ^ (a16[i] >> 5), b32[i] = a32[i] * b32[i] + (a32[i] > 0 ? a8[i] : -3);
		for (int i = 0; i < N; i++) a64[i] = (a64[i] ^ a32[i]) * 5 + (a64[i] >> 9), ad[i] = ad[i] * 0.99 + af[i], af[i] = (float)ad[i] - a16[i];
		for (int i = 0; i < N; i++) a32[i] = (int)(ad[i] * 0.25) + abs(b32[i]), ds += fabs(ad[i]) > 100 ? sqrt(fabs(ad[i])) : ad[i];
		mix(&m, 4), mix(&s, 8), mix(&us, 4), mix(&ds, 8), mix(&max8, 4);
	}
	mix(a8, sizeof a8), mix(a16, sizeof a16), mix(a32, sizeof a32), mix(b32, sizeof b32), mix(a64, sizeof a64), mix(af, sizeof af), mix(ad, sizeof ad);
	printf("vectors %lx\n", sum);
}

static void edges(void)
{
	char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(p, 4096, PROT_NONE), mprotect(p + 8192, 4096, PROT_NONE);
	char *end = p + 8192, *start = p + 4096, buf[512];
	long bad = 0;
	for (int n = 1; n < 200; n++) {
		char *s = end - n;
		memset(s, 'a' + n % 20, n - 1), s[n - 1] = 0;
		bad += strlen(s) != (size_t)n - 1 || strnlen(s, n) != (size_t)n - 1;
		strcpy(buf, s), bad += strcmp(buf, s) != 0 || memcmp(buf, s, n) != 0 || strncmp(s, buf, n) != 0 || strcasecmp(s, buf) != 0;
		bad += strchr(s, 'z') != NULL || strrchr(s, 'z') != NULL || memchr(s, 'z', n) != NULL || strchr(s, 0) != end - 1;
		bad += strstr(s, "zy") != NULL || strspn(s, "abcdefghijklmnopqrstu") != (size_t)n - 1 || strcspn(s, "xyz") != (size_t)n - 1;
		memcpy(s, buf, n), memmove(s, s + n / 2, n - n / 2);
		memset(s, 0, n);
		memset(start, n, n), memmove(start + n / 3, start, n), memcpy(buf, start, n), mix(buf, n);
		memmove(end - n, start, n), bad += memcmp(end - n, start, n) != 0;
	}
	CHECK(bad == 0);
	printf("edges %lx\n", sum);
}

static int compare(const void *a, const void *b, void *arg) { ++*(long *)arg; long x = *(long *)a, y = *(long *)b; return (x > y) - (x < y); }
static void library(void)
{
	long n = 0, v[1000], ok = 1;
	for (int i = 0; i < 1000; i++) v[i] = next() >> 8;
	qsort_r(v, 1000, sizeof v[0], compare, &n);
	for (int i = 1; i < 1000; i++) ok &= v[i - 1] <= v[i];
	CHECK(ok && n > 5000);
	printf("locale %s %d\n", setlocale(LC_ALL, "C"), setlocale(LC_ALL, "xx_YY") == NULL);
	for (int i = 0; i < 50; i++) {
		int fds[2], status;
		if (pipe(fds)) return;
		pid_t pid = fork();
		if (pid == 0) {
			dup2(fds[1], 1), close(fds[0]), close(fds[1]);
			execl("/proc/self/exe", "controlnumbers", "child", (char *)0);
			_exit(99);
		}
		close(fds[1]);
		char b[16] = {0};
		ssize_t got = read(fds[0], b, sizeof b);
		close(fds[0]), waitpid(pid, &status, 0);
		if (got != 6 || status != 3 << 8) { printf("FAIL child %d: %zd %x %s\n", i, got, status, b); return; }
	}
	printf("children\n");
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) { puts("child"); return 3; }
	text(), math(), wide(), vectors(), edges(), library();
	return 0;
}
