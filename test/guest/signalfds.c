// signalfd, pidfd, and what a status says of a core dump.
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int readable(int fd, int ms) {
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, ms) == 1 && p.revents == POLLIN;
}

static void signalfds(void) {
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 2);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	int f = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	CHECK(f >= 0 && fcntl(f, F_GETFD) == FD_CLOEXEC);
	struct signalfd_siginfo i[3];
	ERR(read(f, i, sizeof i), EAGAIN);
	ERR(read(f, i, 10), EINVAL);
	CHECK(!readable(f, 0));
	kill(getpid(), SIGUSR1);
	CHECK(readable(f, 0));
	union sigval v = {.sival_int = 77};
	CHECK(sigqueue(getpid(), SIGRTMIN + 2, v) == 0);
	v.sival_int = 78;
	CHECK(sigqueue(getpid(), SIGRTMIN + 2, v) == 0);
	CHECK(read(f, i, sizeof i) == sizeof i);
	CHECK(i[0].ssi_signo == SIGUSR1 && i[0].ssi_pid == (unsigned)getpid() && i[0].ssi_code == SI_USER);
	CHECK(i[1].ssi_int == 77 && i[2].ssi_int == 78 && i[2].ssi_code == SI_QUEUE);
	CHECK(!readable(f, 0));
	int e = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = 5}, got;
	CHECK(epoll_ctl(e, EPOLL_CTL_ADD, f, &ev) == 0 && epoll_wait(e, &got, 1, 0) == 0);
	if (fork() == 0) {
		usleep(50000);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	CHECK(epoll_wait(e, &got, 1, 10000) == 1 && got.data.u32 == 5);
	sigemptyset(&set);
	CHECK(signalfd(f, &set, 0) == f);
	ERR(read(f, i, sizeof i), EAGAIN);
	ERR(signalfd(0, &set, 0), EINVAL);
	wait(NULL);
	close(e), close(f);
}

static void pidfds(void) {
	ERR(syscall(SYS_pidfd_open, 0, 0), EINVAL);
	ERR(syscall(SYS_pidfd_open, getpid(), 7), EINVAL);
	pid_t child = fork();
	if (child == 0) {
		pause();
		_exit(1);
	}
	int p = syscall(SYS_pidfd_open, child, 0);
	CHECK(p >= 0 && fcntl(p, F_GETFD) == FD_CLOEXEC && !readable(p, 0));
	CHECK(syscall(SYS_pidfd_send_signal, p, 0, NULL, 0) == 0);
	ERR(syscall(SYS_pidfd_send_signal, p, SIGTERM, NULL, 1 << 20), EINVAL);
	ERR(syscall(SYS_pidfd_send_signal, 0, SIGTERM, NULL, 0), EBADF);
	CHECK(syscall(SYS_pidfd_send_signal, p, SIGTERM, NULL, 0) == 0);
	CHECK(readable(p, 10000));
	siginfo_t i;
	CHECK(waitid(3, p, &i, WEXITED) == 0 && i.si_pid == child && i.si_status == SIGTERM && i.si_code == CLD_KILLED);
	ERR(syscall(SYS_pidfd_send_signal, p, 0, NULL, 0), ESRCH);
	close(p);
}

static void cores(void) {
	struct rlimit none = {0, RLIM_INFINITY};
	CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
	pid_t child = fork();
	if (child == 0) abort();
	siginfo_t i;
	CHECK(waitid(P_PID, child, &i, WEXITED | WNOWAIT) == 0 && i.si_code == CLD_KILLED && i.si_status == SIGABRT);
	int status;
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && !WCOREDUMP(status));
}

static void note(int sig) { (void)sig; }

// masks shows that the mask of ppoll ends with it, though it waited.
static void masks(void) {
	sigset_t usr2;
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	struct sigaction sa = {.sa_handler = note};
	sigaction(SIGUSR2, &sa, NULL);
	struct timespec t = {0, 20000000};
	CHECK(ppoll(NULL, 0, &t, &usr2) == 0);
	sigset_t now;
	CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && !sigismember(&now, SIGUSR2));
	if (fork() == 0) {
		usleep(50000);
		kill(getppid(), SIGUSR2);
		_exit(0);
	}
	t.tv_sec = 10;
	ERR(ppoll(NULL, 0, &t, NULL), EINTR);
	wait(NULL);
}

int main(void) {
	alarm(50);
	masks();
	signalfds();
	pidfds();
	cores();
	return 0;
}
