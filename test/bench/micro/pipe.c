// The cost of one byte written to a pipe and read back by the same process.
// Prints nanoseconds per pair of calls.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 100000;
    int p[2];
    char b = 0;
    if (pipe(p)) return 1;
    struct timespec x, y;
    clock_gettime(CLOCK_MONOTONIC, &x);
    for (long i = 0; i < n; i++)
        if (write(p[1], &b, 1) != 1 || read(p[0], &b, 1) != 1) return 1;
    clock_gettime(CLOCK_MONOTONIC, &y);
    printf("%.1f\n", ((y.tv_sec - x.tv_sec) * 1e9 + (y.tv_nsec - x.tv_nsec)) / n);
    return 0;
}
