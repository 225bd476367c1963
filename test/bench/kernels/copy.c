// The C library's memcpy, memmove and memset on long operands.
#include "kernel.h"
enum { SIZE = 1 << 18 };
static unsigned char a[SIZE], b[SIZE];
KERNEL("copy", 60000, {
    for (int i = 0; i < SIZE; i++) a[i] = (unsigned char)rng();
    for (long i = 0; i < n; i++) {
        size_t length = SIZE / 4 + rng() % (SIZE / 2);
        size_t from = rng() % (SIZE / 8);
        memcpy(b + from, a + from / 2, length);
        memmove(a + from, a + from + 40, length / 2);
        memset(a + from + length / 2, (int)i, length / 2);
        sum = sum * 31 + b[from + length / 2] + a[from + length / 3];
    }
})
