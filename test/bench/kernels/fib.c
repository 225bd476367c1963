// Calls: the naive Fibonacci numbers.
#include "kernel.h"
static __attribute__((noinline)) uint64_t fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
KERNEL("fib", 40, sum = fib((unsigned)n))
