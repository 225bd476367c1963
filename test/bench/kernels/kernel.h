// What every kernel shares: it runs its work N times (argument, or a default
// that takes some tenths of a second natively) and prints one checksum, so that
// a wrong translation is seen and no work can be optimised away.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t rng_state = 12345;
static inline uint32_t rng(void) {
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 17;
    rng_state ^= rng_state << 5;
    return rng_state;
}

#define KERNEL(name, default_n, ...)                               \
    int main(int argc, char **argv) {                              \
        long n = argc > 1 ? atol(argv[1]) : (default_n);           \
        uint64_t sum = 0;                                          \
        __VA_ARGS__;                                               \
        printf(name " %ld %016llx\n", n, (unsigned long long)sum); \
        return 0;                                                  \
    }
