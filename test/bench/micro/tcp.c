// TCP over the loopback interface. With a count: the time of a round trip of one
// byte between two processes, in nanoseconds. With a second argument, MiB to
// move one way: nanoseconds per MiB.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char buf[1 << 18];

static int talk(int s, long n, long mib) {
    if (mib == 0) {
        for (long i = 0; i < n; i++)
            if (read(s, buf, 1) != 1 || write(s, buf, 1) != 1) return 1;
        return 0;
    }
    for (long left = mib << 20, r; left > 0; left -= r)
        if ((r = read(s, buf, sizeof buf)) <= 0) return 1;
    return write(s, buf, 1) != 1;
}

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 10000, mib = argc > 2 ? atol(argv[2]) : 0;
    struct sockaddr_in a = {.sin_family = AF_INET};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (bind(l, (void *)&a, len) || listen(l, 1) || getsockname(l, (void *)&a, &len)) return 1;
    pid_t pid = fork();
    if (pid < 0) return 1;
    if (pid == 0) {
        int s = accept(l, NULL, NULL);
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        _exit(s < 0 || talk(s, n, mib));
    }
    int c = socket(AF_INET, SOCK_STREAM, 0), status;
    if (connect(c, (void *)&a, sizeof a)) return 1;
    setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct timespec x, y;
    clock_gettime(CLOCK_MONOTONIC, &x);
    if (mib == 0) {
        for (long i = 0; i < n; i++)
            if (write(c, buf, 1) != 1 || read(c, buf, 1) != 1) return 1;
    } else {
        for (long left = mib << 20, r; left > 0; left -= r)
            if ((r = write(c, buf, left < (long)sizeof buf ? left : (long)sizeof buf)) <= 0) return 1;
        if (read(c, buf, 1) != 1) return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &y);
    if (waitpid(pid, &status, 0) != pid || status != 0) return 1;
    printf("%.1f\n", ((y.tv_sec - x.tv_sec) * 1e9 + (y.tv_nsec - x.tv_nsec)) / (mib ? mib : n));
    return 0;
}
