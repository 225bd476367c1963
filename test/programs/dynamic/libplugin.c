#include <stdio.h>
#include "lib.h"
static __thread int own = 7, other = 1;
int own_counter(int add) { own += add; other += own; return own + other; }
__attribute__((constructor)) static void begin(void) { printf("plugin begins, twice(4) is %d\n", twice(4)); }
__attribute__((destructor)) static void end(void) { puts("plugin ends"); }
