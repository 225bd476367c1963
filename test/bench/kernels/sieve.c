// Byte stores and loads over 4 MiB: the sieve of Eratosthenes.
#include "kernel.h"
enum { SIZE = 4 << 20 };
static unsigned char composite[SIZE];
static __attribute__((noinline)) unsigned sieve(void) {
    unsigned primes = 0;
    memset(composite, 0, SIZE);
    for (unsigned i = 2; i < SIZE; i++) {
        if (composite[i]) continue;
        primes++;
        for (uint64_t j = (uint64_t)i * i; j < SIZE; j += i) composite[j] = 1;
    }
    return primes;
}
KERNEL("sieve", 40, for (long i = 0; i < n; i++) sum += sieve())
