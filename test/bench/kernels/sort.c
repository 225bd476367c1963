// Indirect calls: the C library's qsort over integers and over strings.
#include "kernel.h"
enum { COUNT = 100000 };
static uint32_t numbers[COUNT];
static char strings[COUNT / 4][16];
static int by_number(const void *x, const void *y) {
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}
static int by_text(const void *x, const void *y) { return strcmp(x, y); }
KERNEL("sort", 20, {
    for (long i = 0; i < n; i++) {
        for (int j = 0; j < COUNT; j++) numbers[j] = rng();
        for (int j = 0; j < COUNT / 4; j++) snprintf(strings[j], sizeof strings[j], "%08x", rng());
        qsort(numbers, COUNT, sizeof numbers[0], by_number);
        qsort(strings, COUNT / 4, sizeof strings[0], by_text);
        sum = sum * 31 + numbers[COUNT / 2] + (unsigned char)strings[COUNT / 8][3];
    }
})
