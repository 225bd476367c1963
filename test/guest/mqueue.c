// POSIX message queues.
#include "check.h"
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int signalled, value, code;

static void handler(int sig, siginfo_t *info, void *ctx) {
	(void)ctx;
	signalled = sig;
	value = info->si_value.sival_int;
	code = info->si_code;
}

static struct timespec soon(void) {
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 30000000;
	if (ts.tv_nsec >= 1000000000) ts.tv_sec++, ts.tv_nsec -= 1000000000;
	return ts;
}

int main(void) {
	char name[64], buf[128];
	snprintf(name, sizeof name, "/megabin-%d", getpid());
	ERR(mq_open(name, O_RDWR), ENOENT);
	ERR(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL), EACCES);
	struct mq_attr attr = {.mq_maxmsg = 0, .mq_msgsize = 16}, got;
	ERR(mq_open(name, O_RDWR | O_CREAT, 0600, &attr), EINVAL);
	attr.mq_maxmsg = 3;
	mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attr);
	CHECK(q >= 0 && fcntl(q, F_GETFD) == FD_CLOEXEC);
	ERR(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr), EEXIST);
	CHECK(mq_getattr(q, &got) == 0 && got.mq_maxmsg == 3 && got.mq_msgsize == 16 && got.mq_curmsgs == 0 && got.mq_flags == O_NONBLOCK);
	ERR(mq_receive(q, buf, 16, NULL), EAGAIN);
	ERR(mq_receive(q, buf, 15, NULL), EMSGSIZE);
	ERR(mq_send(q, buf, 17, 0), EMSGSIZE);
	ERR(mq_send(q, buf, 1, 32768), EINVAL);
	CHECK(mq_send(q, "low", 4, 1) == 0 && mq_send(q, "high", 5, 9) == 0 && mq_send(q, "low2", 5, 1) == 0);
	ERR(mq_send(q, "x", 1, 0), EAGAIN);
	struct pollfd p = {q, POLLIN | POLLOUT, 0};
	CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
	memset(buf, 0, sizeof buf);
	CHECK(read(q, buf, sizeof buf) > 0 && strncmp(buf, "QSIZE:14 ", 9) == 0);
	unsigned prio;
	CHECK(mq_receive(q, buf, 16, &prio) == 5 && prio == 9 && strcmp(buf, "high") == 0);
	CHECK(mq_receive(q, buf, 16, &prio) == 4 && prio == 1 && strcmp(buf, "low") == 0);
	CHECK(mq_receive(q, buf, 16, &prio) == 5 && prio == 1 && strcmp(buf, "low2") == 0);

	// Waiting, with and without a limit.
	attr.mq_flags = 0;
	CHECK(mq_setattr(q, &attr, &got) == 0 && got.mq_flags == O_NONBLOCK);
	struct timespec ts = soon();
	ERR(mq_timedreceive(q, buf, 16, &prio, &ts), ETIMEDOUT);
	ts.tv_nsec = -1;
	ERR(mq_timedreceive(q, buf, 16, &prio, &ts), EINVAL);
	pid_t child = fork();
	if (child == 0) {
		usleep(30000);
		_exit(mq_send(q, "child", 6, 0) == 0 ? 5 : 1);
	}
	CHECK(mq_receive(q, buf, 16, &prio) == 6 && strcmp(buf, "child") == 0);
	int status;
	CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 5);

	// One process is told of the first message in an empty queue, once.
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	sigaction(SIGUSR1, &sa, NULL);
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
	CHECK(mq_notify(q, &ev) == 0);
	ERR(mq_notify(q, &ev), EBUSY);
	CHECK(mq_send(q, "1", 1, 0) == 0 && signalled == SIGUSR1 && value == 42 && code == SI_MESGQ);
	signalled = 0;
	CHECK(mq_send(q, "2", 1, 0) == 0 && signalled == 0);
	CHECK(mq_notify(q, &ev) == 0 && mq_notify(q, NULL) == 0 && mq_notify(q, &ev) == 0 && mq_notify(q, NULL) == 0);

	mqd_t reader = mq_open(name, O_RDONLY);
	ERR(mq_send(reader, "x", 1, 0), EBADF);
	ERR(mq_receive(0, buf, 16, NULL), EBADF);
	CHECK(mq_unlink(name) == 0);
	ERR(mq_unlink(name), ENOENT);
	CHECK(mq_receive(reader, buf, 16, NULL) == 1 && buf[0] == '1');
	CHECK(mq_close(reader) == 0 && mq_close(q) == 0);
	return 0;
}
