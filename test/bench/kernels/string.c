// The C library's memory and string functions on short and long operands.
#include "kernel.h"
static char a[1 << 16], b[1 << 16];
KERNEL("string", 100000, {
    for (size_t i = 0; i < sizeof a - 1; i++) a[i] = (char)('a' + rng() % 26);
    for (long i = 0; i < n; i++) {
        size_t length = (size_t)(rng() % (sizeof a - 64));
        size_t from = (size_t)(rng() % 32);
        memcpy(b, a + from, length);
        b[length] = 0;
        sum += strlen(b);
        char *z = strchr(b, 'z' + (int)(i & 1));
        sum += z ? (uint64_t)(z - b) : 1;
        sum += (uint64_t)(memcmp(a + from, b, length) == 0);
        for (int k = 0; k < 64; k++) {
            char small[64];
            size_t m = (size_t)(rng() % 48);
            memcpy(small, a + k, m);
            small[m] = 0;
            sum += strlen(small) + (uint64_t)(unsigned char)small[m / 2];
        }
    }
})
