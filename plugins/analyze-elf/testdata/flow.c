// Control flow of every kind that compilers make indirect: switches, labels as
// values, function pointers in data, callbacks, setjmp, tail calls.
#include <ctype.h>
#include <locale.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline))

static NOINLINE int dense(int x) {
  switch (x) {
  case 0: return 7;
  case 1: return x * 3 + 1;
  case 2: puts("two"); return 4;
  case 3: return getchar();
  case 4: return x << 5;
  case 5: return x ^ 0x55;
  case 6: puts("six"); break;
  case 7: return -x;
  case 9: return x % 3;
  case 12: puts("twelve"); return 1;
  }
  return 99;
}

static NOINLINE long byteSwitch(const unsigned char *p, long n) {
  long sum = 0;
  for (long i = 0; i < n; i++)
    switch (p[i] & 7) {
    case 0: sum += 1; break;
    case 1: sum *= 3; break;
    case 2: sum ^= p[i]; break;
    case 3: sum -= i; break;
    case 4: sum = sum << 1 | 1; break;
    case 5: sum += strlen((const char *)p); break;
    case 6: sum = ~sum; break;
    case 7: sum += 0x1234; break;
    }
  return sum;
}

static NOINLINE int unbounded(unsigned x) {
  switch (x) {
  case 0: return printf("a\n");
  case 1: return printf("b %d\n", x);
  case 2: return printf("c %u\n", x);
  case 3: return printf("d %x\n", x);
  case 4: return printf("e %o\n", x);
  case 5: return printf("f %c\n", 'f');
  default: __builtin_unreachable();
  }
}

static NOINLINE int interpret(const unsigned char *code) {
  static const void *const ops[] = {&&push, &&add, &&mul, &&dup, &&jump, &&stop};
  int stack[16], sp = 0;
#define NEXT goto *ops[*code++]
  NEXT;
push: stack[sp++] = *code++; NEXT;
add: sp--; stack[sp - 1] += stack[sp]; NEXT;
mul: sp--; stack[sp - 1] *= stack[sp]; NEXT;
dup: stack[sp] = stack[sp - 1]; sp++; NEXT;
jump: code += *code; NEXT;
stop: return stack[sp - 1];
}

static int twice(int x) { return 2 * x; }
static int square(int x) { return x * x; }
static int negate(int x) { return -x; }
static int (*const table[])(int) = {twice, square, negate, abs, toupper};

struct shape { const char *name; int (*area)(int); };
static struct shape shapes[] = {{"twice", twice}, {"square", square}, {"negate", negate}};

static NOINLINE int tail(int (*f)(int), int x) { return f(x + 1); }

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static jmp_buf env;
static NOINLINE void leap(int n) {
  if (n == 0) longjmp(env, 42);
  leap(n - 1);
}

static void atEnd(void) { puts("at end"); }

int main(int argc, char **argv) {
  (void)argv;
  atexit(atEnd);
  setlocale(LC_ALL, "C");
  int sum = 0;
  for (int i = -1; i < 14; i++) sum += dense(i);
  sum += byteSwitch((const unsigned char *)"The quick brown fox jumps over it", 33);
  for (unsigned i = 0; i < 6; i++) sum += unbounded(i);
  static const unsigned char program[] = {0, 6, 0, 7, 2, 3, 1, 4, 1, 0, 5};
  sum += interpret(program);
  for (unsigned i = 0; i < sizeof table / sizeof *table; i++) sum += tail(table[i], argc + i);
  for (int i = 0; i < 3; i++) printf("%s %d\n", shapes[i].name, shapes[i].area(i + 3));
  int v[100];
  for (int i = 0; i < 100; i++) v[i] = (i * 7919) % 101;
  qsort(v, 100, sizeof *v, compare);
  int *hit = bsearch(&v[50], v, 100, sizeof *v, compare);
  if (setjmp(env) == 0) leap(5);
  char a[512], b[512];
  memset(a, 'x', sizeof a);
  for (unsigned n = 0; n < 300; n += 7)
    for (unsigned o = 0; o < 17; o++) {
      memcpy(b + o, a + (n + o) % 16, n);
      memmove(b + o, b + 3, n);
      sum += memcmp(a, b + o, n) == 0;
      b[o + n] = 0;
      sum += strlen(b + o) + (strchr(b + o, 'y') != 0) + (strcmp(a, b + o) > 0);
    }
  snprintf(a, sizeof a, "%5d|%-8s|%+.3f|%g|%e|%a|%Lf|%#x|%08lo|%%|%c|%p|%hhd|%lld|%.*s|%n", sum & 7, "left", 3.14159, 1e100,
           12345.678, 1.5, 2.5L, 255u, 8L, 'z', (void *)16, 300, 1LL << 40, 3, "abcdef", &v[0]);
  puts(a);
  int x = 0; float f = 0; double d = 0; char word[16] = "";
  sscanf("12 3.5 1e3 word", "%d %f %lf %15s", &x, &f, &d, word);
  printf("%d %f %f %s %f %ld\n", x, f, d, word, strtod("0x1.8p3", 0), strtol("-077", 0, 0));
  time_t t = 86400 * 365;
  strftime(b, sizeof b, "%Y-%m-%d %H:%M:%S %j %a %b %%", gmtime(&t));
  printf("%s %d %d\n", b, hit ? *hit : -1, sum);
  return 0;
}
