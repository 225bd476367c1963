// The cost of one process: fork, exit in the child, wait. Prints nanoseconds
// per child. A second argument is the number of KiB that are written before,
// so that they are there to be copied.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 200;
    size_t kib = argc > 2 ? (size_t)atol(argv[2]) : 0;
    char *p = malloc(kib * 1024 + 1);
    if (!p) return 1;
    memset(p, 1, kib * 1024 + 1);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (long i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid < 0) return 1;
        if (pid == 0) _exit(p[0]);
        int status;
        if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 1) return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.1f\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / n);
    return 0;
}
