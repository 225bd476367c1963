// The cost of a thread: create and join, or with a second argument of a round
// trip between two threads through a pair of futexes. Prints nanoseconds for each.
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static atomic_int ball; // 0: main has it, 1: the thread
static long rounds;

static void *nothing(void *p) { return p; }

static void await(int mine) {
    while (atomic_load(&ball) != mine) syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, !mine, NULL, NULL, 0);
}

static void hit(int other) {
    atomic_store(&ball, other);
    syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *pong(void *p) {
    for (long i = 0; i < rounds; i++) {
        await(1);
        hit(0);
    }
    return p;
}

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 1000;
    pthread_t t;
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    if (argc > 2) {
        rounds = n;
        if (pthread_create(&t, NULL, pong, NULL)) return 1;
        for (long i = 0; i < n; i++) {
            hit(1);
            await(0);
        }
        if (pthread_join(t, NULL)) return 1;
    } else
        for (long i = 0; i < n; i++)
            if (pthread_create(&t, NULL, nothing, NULL) || pthread_join(t, NULL)) return 1;
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.1f\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / n);
    return 0;
}
