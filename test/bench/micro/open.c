// The cost of open and close of a file, or with a second argument of stat. Prints
// nanoseconds per pair of calls, or per call.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 100000;
    const char *name = "/tmp/bench-open";
    struct stat st;
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || close(fd)) return 1;
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (long i = 0; i < n; i++) {
        if (argc > 2) {
            if (stat(name, &st) || st.st_size != 1) return 1;
        } else if ((fd = open(name, O_RDONLY)) < 0 || close(fd))
            return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.1f\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / n);
    return unlink(name);
}
