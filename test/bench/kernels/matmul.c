// Double arithmetic on arrays: the product of two 192 x 192 matrices.
#include "kernel.h"
enum { SIZE = 192 };
static double a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];
static __attribute__((noinline)) void multiply(void) {
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) c[i][j] = 0;
    for (int i = 0; i < SIZE; i++)
        for (int k = 0; k < SIZE; k++)
            for (int j = 0; j < SIZE; j++) c[i][j] += a[i][k] * b[k][j];
}
KERNEL("matmul", 60, {
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) { a[i][j] = rng() % 1000 / 7.0; b[i][j] = rng() % 1000 / 3.0; }
    for (long i = 0; i < n; i++) { multiply(); a[i % SIZE][0] = c[0][i % SIZE] / 1e9; }
    for (int i = 0; i < SIZE; i++) { uint64_t bits; memcpy(&bits, &c[i][i], 8); sum ^= bits; }
})
