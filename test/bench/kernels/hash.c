// Rotates, multiplications and xors over a buffer: an xxHash-like hash and a
// SipHash-like permutation, everything in registers.
#include "kernel.h"
static inline uint64_t rotl(uint64_t x, int r) { return x << r | x >> (64 - r); }
static __attribute__((noinline)) uint64_t hash(const uint64_t *p, int n, uint64_t seed) {
    uint64_t a = seed + 1, b = seed ^ 0x9e3779b97f4a7c15u, c = ~seed, d = seed * 5;
    for (int i = 0; i + 4 <= n; i += 4) {
        a = rotl(a + p[i] * 0xc2b2ae3d27d4eb4fu, 31) * 0x9e3779b185ebca87u;
        b = rotl(b + p[i + 1] * 0xc2b2ae3d27d4eb4fu, 31) * 0x9e3779b185ebca87u;
        c += d; d = rotl(d, 13) ^ c; c = rotl(c, 32) ^ p[i + 2];
        a += b; b = rotl(b, 17) ^ a; d += p[i + 3];
    }
    return a ^ b ^ c ^ d;
}
static uint64_t buffer[4096];
KERNEL("hash", 200000, {
    for (int i = 0; i < 4096; i++) buffer[i] = (uint64_t)rng() << 32 | rng();
    for (long i = 0; i < n; i++) sum = hash(buffer, 4096, sum);
})
