#include <stdio.h>
#include "lib.h"
__thread int counter = 40;
static int values[4] = {1, 2, 3, 4};
int *pointers[4] = {&values[3], &values[2], &values[1], &values[0]};
int twice(int x) { return 2 * x; }
int through_plt(int (*f)(int), int x) { return f(x) + twice(x); }
#ifdef __GLIBC__
static int fast(void) { return 1; }
static int (*choose(void))(void) { return fast; }
int resolved(void) __attribute__((ifunc("choose")));
#else
int resolved(void) { return 1; }
#endif
__attribute__((constructor)) static void begin(void) { puts("libuse begins"); }
__attribute__((destructor)) static void end(void) { puts("libuse ends"); }
