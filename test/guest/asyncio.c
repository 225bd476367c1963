// Signals about files: O_ASYNC, F_SETOWN, F_SETSIG, FIOASYNC on pipes, sockets
// and terminals.
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t got, code, fd, sig;
static volatile long band;

static void handler(int s, siginfo_t *i, void *u) {
	(void)u;
	got++;
	sig = s, code = i->si_code, fd = i->si_fd, band = i->si_band;
}

// settle waits until a signal has come, as the kernel may send it later than
// the event for what is no pipe.
static int settle(void) {
	for (int i = 0; i < 200 && !got; i++)
		usleep(5000);
	int n = got;
	got = 0;
	return n > 0;
}

static void show(const char *what, int from) {
	int n = settle();
	printf("%s: %d", what, n);
	if (n)
		printf(" signal %d code %d band %#lx fd %s", sig == SIGIO ? 0 : sig - SIGRTMIN + 1, code == SI_KERNEL ? 0 : code, code == SI_KERNEL ? 0 : band,
		       code == SI_KERNEL ? "-" : fd == from ? "right" : "wrong");
	printf("\n");
}

static void pipes(void) {
	int p[2], on = 1, off = 0;
	char c[10];
	struct f_owner_ex ox = {-1, -1};
	CHECK(pipe(p) == 0);
	CHECK(fcntl(p[0], F_GETOWN) == 0);
	CHECK(fcntl(p[0], F_GETOWN_EX, &ox) == 0);
	printf("nobody: %d %d\n", ox.type, ox.pid);
	CHECK(fcntl(p[0], F_SETFL, O_ASYNC) == 0);
	CHECK(fcntl(p[0], F_GETFL) == (O_RDONLY | O_ASYNC));
	CHECK(write(p[1], "x", 1) == 1);
	usleep(20000);
	CHECK(got == 0);
	CHECK(read(p[0], c, 10) == 1);
	CHECK(fcntl(p[0], F_SETOWN, getpid()) == 0);
	CHECK(fcntl(p[0], F_GETOWN) == getpid());
	CHECK(write(p[1], "x", 1) == 1);
	CHECK(got == 1); // before write returns
	show("pipe", p[0]);
	CHECK(fcntl(p[0], F_SETSIG, SIGRTMIN) == 0);
	CHECK(fcntl(p[0], F_GETSIG) == SIGRTMIN);
	CHECK(write(p[1], "x", 1) == 1);
	show("F_SETSIG", p[0]);
	CHECK(ioctl(p[0], FIOASYNC, &off) == 0);
	CHECK(fcntl(p[0], F_GETFL) == O_RDONLY);
	CHECK(write(p[1], "x", 1) == 1);
	usleep(20000);
	CHECK(got == 0);
	CHECK(ioctl(p[0], FIOASYNC, &on) == 0);
	ox.type = F_OWNER_TID, ox.pid = getpid();
	CHECK(fcntl(p[0], F_SETOWN_EX, &ox) == 0);
	CHECK(write(p[1], "x", 1) == 1);
	show("thread", p[0]);
	ox.type = F_OWNER_PGRP, ox.pid = getpgrp();
	CHECK(fcntl(p[0], F_SETOWN_EX, &ox) == 0);
	CHECK(fcntl(p[0], F_GETOWN_EX, &ox) == 0);
	CHECK(ox.type == F_OWNER_PGRP && ox.pid == getpgrp());
	CHECK(write(p[1], "x", 1) == 1);
	show("group", p[0]);
	ERR(fcntl(p[0], F_SETOWN, 999999), ESRCH);
	ERR(fcntl(p[0], F_SETSIG, 65), EINVAL);
	ox.type = 7;
	ERR(fcntl(p[0], F_SETOWN_EX, &ox), EINVAL);
	CHECK(fcntl(p[0], F_SETOWN, 0) == 0);
	CHECK(write(p[1], "x", 1) == 1);
	usleep(20000);
	CHECK(got == 0);
	int file = open("/proc/self/exe", O_RDONLY);
	CHECK(fcntl(file, F_SETFL, O_ASYNC) == 0);
	CHECK((fcntl(file, F_GETFL) & O_ASYNC) == 0);
	ERR(ioctl(file, FIOASYNC, &on), ENOTTY);
	close(file), close(p[0]), close(p[1]);
}

static void sockets(void) {
	int s[2], on = 1, pid = getpid();
	char c[10];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(ioctl(s[0], FIOASYNC, &on) == 0);
	CHECK(fcntl(s[0], F_SETOWN, pid) == 0);
	CHECK(fcntl(s[0], F_SETSIG, SIGRTMIN + 1) == 0);
	CHECK(write(s[1], "ab", 2) == 2);
	show("unix", s[0]);
	CHECK(read(s[0], c, 10) == 2);
	got = 0;
	int n = fork();
	if (n == 0) { // another process writes while this one sleeps
		usleep(20000);
		_exit(write(s[1], "c", 1) != 1);
	}
	while (!got)
		usleep(1000);
	show("from a child", s[0]);
	CHECK(waitpid(n, NULL, 0) == n);
	close(s[0]), close(s[1]);
	int i = inotify_init1(0);
	CHECK(fcntl(i, F_SETOWN, pid) == 0);
	CHECK(fcntl(i, F_SETSIG, SIGRTMIN) == 0);
	CHECK(fcntl(i, F_SETFL, O_ASYNC) == 0);
	CHECK(inotify_add_watch(i, ".", IN_CREATE) > 0);
	CHECK(mkdtemp((char[]){"asyncXXXXXX"}) != NULL);
	show("inotify", i);
	close(i);
}

static void terminal(void) {
	int m = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0);
	int s = open(ptsname(m), O_RDWR | O_NOCTTY);
	CHECK(s >= 0);
	CHECK(fcntl(s, F_SETOWN, getpid()) == 0);
	CHECK(fcntl(s, F_SETFL, O_RDWR | O_ASYNC) == 0);
	got = 0;
	CHECK(write(m, "a line\n", 7) == 7);
	show("terminal", s);
}

static void *thread(void *arg) {
	(void)arg;
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	usleep(50000);
	return NULL;
}

int main(void) {
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	CHECK(sigaction(SIGIO, &sa, NULL) == 0 && sigaction(SIGRTMIN, &sa, NULL) == 0 && sigaction(SIGRTMIN + 1, &sa, NULL) == 0);
	setpgid(0, 0);
	pthread_t t;
	CHECK(pthread_create(&t, NULL, thread, NULL) == 0);
	pipes();
	sockets();
	terminal();
	CHECK(pthread_join(t, NULL) == 0);
	signal(SIGIO, SIG_DFL);
	int p[2], n = fork();
	if (n == 0) { // SIGIO kills
		CHECK(pipe(p) == 0 && fcntl(p[0], F_SETOWN, getpid()) == 0 && fcntl(p[0], F_SETFL, O_ASYNC) == 0);
		write(p[1], "x", 1);
		_exit(1);
	}
	int st;
	CHECK(waitpid(n, &st, 0) == n);
	printf("killed by SIGIO: %d\n", WIFSIGNALED(st) && WTERMSIG(st) == SIGIO);
	return 0;
}
