// Pipes, FIFOs, poll, select: what waits for what.
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static char buf[200000];
static int status;
static int p[2];

static int ready(int fd, int events)
{
	struct pollfd f = {fd, events, 0};
	return poll(&f, 1, 0) < 0 ? -1 : f.revents;
}

static void basics(void)
{
	CHECK(pipe(p) == 0);
	CHECK(ready(p[0], POLLIN) == 0 && ready(p[1], POLLOUT) == POLLOUT);
	CHECK(write(p[1], "hello", 5) == 5 && ready(p[0], POLLIN | POLLOUT) == POLLIN);
	int n;
	CHECK(ioctl(p[0], FIONREAD, &n) == 0 && n == 5);
	CHECK(read(p[0], buf, 3) == 3 && read(p[0], buf, 10) == 2);
	ERR(lseek(p[0], 0, SEEK_CUR), ESPIPE);
	ERR(pread(p[0], buf, 1, 0), ESPIPE);
	ERR(write(p[0], "x", 1), EBADF);
	ERR(read(p[1], buf, 1), EBADF);
	ERR(fsync(p[1]), EINVAL);
	ERR(ftruncate(p[1], 0), EINVAL);
	struct stat st;
	CHECK(fstat(p[0], &st) == 0 && S_ISFIFO(st.st_mode) && (st.st_mode & 0777) == 0600);
	close(p[1]);
	CHECK(ready(p[0], POLLIN) == POLLHUP && read(p[0], buf, 1) == 0);
	close(p[0]);
	CHECK(pipe(p) == 0 && close(p[0]) == 0);
	CHECK((ready(p[1], POLLOUT) & POLLERR) != 0);
	signal(SIGPIPE, SIG_IGN);
	ERR(write(p[1], "x", 1), EPIPE);
	signal(SIGPIPE, SIG_DFL);
	fflush(stdout);
	pid_t c = fork();
	if (c == 0) {
		write(p[1], "x", 1);
		_exit(0);
	}
	CHECK(waitpid(c, &status, 0) == c && WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
	close(p[1]);
	// What was a pipe, opened by name: nobody waits for the other end.
	CHECK(pipe(p) == 0 && write(p[1], "late", 4) == 4 && close(p[1]) == 0);
	snprintf(buf, sizeof buf, "/proc/self/fd/%d", p[0]);
	int again = open(buf, O_RDONLY);
	CHECK(again >= 0 && read(again, buf, 10) == 4 && read(again, buf, 10) == 0);
	close(again);
	close(p[0]);
	ERR(syscall(SYS_pipe, 1), EFAULT);
	ERR(pipe2(p, 1), EINVAL);
}

static void nonblocking(void)
{
	CHECK(pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0 && fcntl(p[0], F_GETFD) == FD_CLOEXEC);
	ERR(read(p[0], buf, 1), EAGAIN);
	CHECK(write(p[1], buf, 65000) == 65000);
	ERR(write(p[1], buf, 4096), EAGAIN);
	CHECK(fcntl(p[1], F_GETPIPE_SZ) == 65536);
	CHECK(read(p[0], buf, sizeof buf) == 65000);
	CHECK(write(p[1], buf, sizeof buf) == 65536 && ready(p[1], POLLOUT) == 0);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 200000) == 262144 && ready(p[1], POLLOUT) == POLLOUT);
	ERR(fcntl(p[0], F_SETPIPE_SZ, 4096), EBUSY);
	close(p[0]), close(p[1]);
}

static void blocking(void)
{
	CHECK(pipe(p) == 0);
	fflush(stdout);
	pid_t c = fork();
	if (c == 0) {
		close(p[0]);
		for (int i = 0; i < 10; i++)
			if (write(p[1], buf, sizeof buf) != sizeof buf)
				_exit(1);
		_exit(0);
	}
	close(p[1]);
	long total = 0, n;
	while ((n = read(p[0], buf, 7777)) > 0)
		total += n;
	CHECK(total == 10L * sizeof buf && waitpid(c, &status, 0) == c && status == 0);
	close(p[0]);
}

static void onalarm(int sig) { (void)sig; }

static void interrupted(void)
{
	CHECK(pipe(p) == 0);
	struct sigaction sa = {.sa_handler = onalarm};
	sigaction(SIGALRM, &sa, NULL);
	struct itimerval it = {.it_value = {0, 30000}};
	setitimer(ITIMER_REAL, &it, NULL);
	ERR(read(p[0], buf, 1), EINTR);
	setitimer(ITIMER_REAL, &it, NULL);
	struct pollfd f = {p[0], POLLIN, 0};
	ERR(poll(&f, 1, -1), EINTR);
	setitimer(ITIMER_REAL, &it, NULL);
	fd_set r;
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	ERR(select(p[0] + 1, &r, NULL, NULL, NULL), EINTR);
	// With SA_RESTART read goes on, poll does not.
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	fflush(stdout);
	pid_t c = fork();
	if (c == 0) {
		usleep(150000);
		write(p[1], "x", 1);
		_exit(0);
	}
	CHECK(read(p[0], buf, 1) == 1);
	waitpid(c, &status, 0);
	setitimer(ITIMER_REAL, &it, NULL);
	ERR(poll(&f, 1, -1), EINTR);
	// A partial write counts although a signal came.
	setitimer(ITIMER_REAL, &it, NULL);
	sa.sa_flags = 0;
	sigaction(SIGALRM, &sa, NULL);
	CHECK(write(p[1], buf, sizeof buf) == 65536);
	close(p[0]), close(p[1]);
}

static void waiting(void)
{
	CHECK(pipe(p) == 0);
	struct pollfd f[3] = {{p[0], POLLIN, 0}, {-1, POLLIN, 7}, {99, POLLIN, 0}};
	CHECK(poll(f, 2, 20) == 0 && f[1].revents == 0);
	CHECK(poll(f, 3, 1000) == 1 && f[2].revents == POLLNVAL);
	struct timeval t0, t1, tv = {0, 30000};
	gettimeofday(&t0, NULL);
	CHECK(syscall(SYS_select, 0, NULL, NULL, NULL, &tv) == 0);
	gettimeofday(&t1, NULL);
	CHECK((t1.tv_sec - t0.tv_sec) * 1000000 + t1.tv_usec - t0.tv_usec >= 30000 && tv.tv_sec == 0 && tv.tv_usec == 0);
	fflush(stdout);
	pid_t c = fork();
	if (c == 0) {
		usleep(50000);
		write(p[1], "x", 1);
		_exit(0);
	}
	CHECK(poll(f, 1, -1) == 1 && f[0].revents == POLLIN);
	fd_set r, w;
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(p[0], &r);
	FD_SET(p[1], &w);
	tv = (struct timeval){5, 0};
	CHECK(syscall(SYS_select, p[1] + 1, &r, &w, NULL, &tv) == 2 && FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w) && tv.tv_sec >= 4);
	waitpid(c, &status, 0);
	read(p[0], buf, 1);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	struct timespec ts = {0, 1000000};
	CHECK(pselect(p[0] + 1, &r, NULL, NULL, &ts, NULL) == 0 && !FD_ISSET(p[0], &r));
	/* A descriptor beyond the table is not looked at: Linux cuts n to the
	   table's size, so the table has to have grown past 99 first. */
	CHECK(dup2(p[0], 200) == 200 && close(200) == 0);
	FD_SET(99, &r);
	ERR(select(100, &r, NULL, NULL, &tv), EBADF);
	ERR(select(-1, NULL, NULL, NULL, NULL), EINVAL);
	sigset_t block, none;
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	signal(SIGUSR1, onalarm);
	sigprocmask(SIG_BLOCK, &block, NULL);
	raise(SIGUSR1);
	ts = (struct timespec){5, 0};
	ERR(ppoll(f, 1, &ts, &none), EINTR);
	sigset_t now;
	sigprocmask(SIG_BLOCK, NULL, &now);
	CHECK(sigismember(&now, SIGUSR1));
	close(p[0]), close(p[1]);
}

static void fifos(void)
{
	char path[64];
	snprintf(path, sizeof path, "/tmp/fifo-%d", getpid());
	CHECK(mkfifo(path, 0600) == 0);
	ERR(open(path, O_WRONLY | O_NONBLOCK), ENXIO);
	int r = open(path, O_RDONLY | O_NONBLOCK);
	CHECK(r >= 0 && read(r, buf, 1) == 0 && ready(r, POLLIN) == 0);
	int w = open(path, O_WRONLY);
	ERR(read(r, buf, 1), EAGAIN);
	CHECK(w >= 0 && write(w, "abc", 3) == 3 && read(r, buf, 10) == 3);
	close(w);
	CHECK(ready(r, POLLIN) == POLLHUP && read(r, buf, 1) == 0);
	close(r);
	fflush(stdout);
	pid_t c = fork();
	if (c == 0) {
		usleep(30000);
		int fd = open(path, O_WRONLY);
		write(fd, "late", 4);
		_exit(0);
	}
	r = open(path, O_RDONLY); // waits for the writer
	CHECK(r >= 0 && read(r, buf, 10) == 4);
	waitpid(c, &status, 0);
	close(r);
	struct sigaction sa = {.sa_handler = onalarm};
	sigaction(SIGALRM, &sa, NULL);
	struct itimerval it = {.it_value = {0, 30000}};
	setitimer(ITIMER_REAL, &it, NULL);
	ERR(open(path, O_RDONLY), EINTR);
	int both = open(path, O_RDWR);
	CHECK(both >= 0 && write(both, "x", 1) == 1 && read(both, buf, 1) == 1);
	close(both);
	unlink(path);
	// A pipe can be opened anew through /proc.
	CHECK(pipe(p) == 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", p[1]);
	w = open(path, O_WRONLY);
	CHECK(w >= 0 && write(w, "y", 1) == 1 && read(p[0], buf, 10) == 1 && buf[0] == 'y');
	char name[64];
	ssize_t n = readlink(path, name, sizeof name);
	CHECK(n > 6 && memcmp(name, "pipe:[", 6) == 0);
}

int main(void)
{
	basics();
	nonblocking();
	blocking();
	interrupted();
	waiting();
	fifos();
	return 0;
}
