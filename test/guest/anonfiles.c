// Files without a name: eventfd, timerfd, epoll, pairs of sockets.
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t v;
static char buf[300000];
static int status;

static void events(void)
{
	int e = eventfd(3, EFD_NONBLOCK);
	CHECK(read(e, &v, 8) == 8 && v == 3);
	ERR(read(e, &v, 8), EAGAIN);
	ERR(read(e, &v, 4), EINVAL);
	v = 5;
	CHECK(write(e, &v, 8) == 8 && write(e, &v, 8) == 8 && read(e, &v, 8) == 8 && v == 10);
	v = UINT64_MAX;
	ERR(write(e, &v, 8), EINVAL);
	v = UINT64_MAX - 1;
	CHECK(write(e, &v, 8) == 8);
	v = 1;
	ERR(write(e, &v, 8), EAGAIN);
	close(e);
	e = eventfd(2, EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(read(e, &v, 8) == 8 && v == 1 && read(e, &v, 8) == 8 && fcntl(e, F_GETFD) == FD_CLOEXEC);
	ERR(read(e, &v, 8), EAGAIN);
	ERR(eventfd(0, 7), EINVAL);
	close(e);
}

static void timers(void)
{
	int t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	ERR(read(t, &v, 8), EAGAIN);
	struct itimerspec it = {{0, 20000000}, {0, 20000000}}, got;
	CHECK(timerfd_settime(t, 0, &it, NULL) == 0 && timerfd_gettime(t, &got) == 0 && got.it_interval.tv_nsec == 20000000);
	usleep(70000);
	CHECK(read(t, &v, 8) == 8 && v >= 3);
	it = (struct itimerspec){0};
	CHECK(timerfd_settime(t, 0, &it, &got) == 0 && got.it_interval.tv_nsec == 20000000);
	usleep(30000);
	ERR(read(t, &v, 8), EAGAIN);
	it.it_value.tv_nsec = 2000000000;
	ERR(timerfd_settime(t, 0, &it, NULL), EINVAL);
	ERR(timerfd_settime(0, 0, &got, NULL), EINVAL);
	ERR(timerfd_create(99, 0), EINVAL);
	close(t);
	t = timerfd_create(CLOCK_REALTIME, 0);
	clock_gettime(CLOCK_REALTIME, &it.it_value);
	it.it_value.tv_sec -= 1;
	CHECK(timerfd_settime(t, TFD_TIMER_ABSTIME, &it, NULL) == 0 && read(t, &v, 8) == 8 && v == 1);
	close(t);
}

static void polls(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), p[2];
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 77}, out[4];
	CHECK(ep >= 0 && pipe(p) == 0 && epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev) == 0);
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev), EEXIST);
	ERR(epoll_ctl(ep, EPOLL_CTL_MOD, p[1], &ev), ENOENT);
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev), EINVAL);
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, 99, &ev), EBADF);
	ERR(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &ev), EINVAL);
	int f = open("/", O_RDONLY);
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, f, &ev), EPERM);
	close(f);
	CHECK(epoll_wait(ep, out, 4, 0) == 0 && epoll_wait(ep, out, 4, 10) == 0);
	write(p[1], "ab", 2);
	CHECK(epoll_wait(ep, out, 4, -1) == 1 && out[0].events == EPOLLIN && out[0].data.u64 == 77);
	CHECK(epoll_wait(ep, out, 4, 0) == 1); // level triggered
	ev.events = EPOLLIN | EPOLLET;
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev) == 0 && epoll_wait(ep, out, 4, 0) == 1 && epoll_wait(ep, out, 4, 0) == 0);
	write(p[1], "c", 1);
	CHECK(epoll_wait(ep, out, 4, 0) == 1 && epoll_wait(ep, out, 4, 0) == 0);
	ev.events = EPOLLIN | EPOLLONESHOT;
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev) == 0 && epoll_wait(ep, out, 4, 0) == 1);
	write(p[1], "d", 1);
	CHECK(epoll_wait(ep, out, 4, 0) == 0);
	ev.events = EPOLLOUT;
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &ev) == 0 && epoll_wait(ep, out, 4, 0) == 1 && out[0].events == EPOLLOUT);
	CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL) == 0 && epoll_wait(ep, out, 4, 0) == 0);
	ev.events = EPOLLIN;
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev) == 0);
	read(p[0], buf, 10);
	close(p[1]);
	CHECK(epoll_wait(ep, out, 4, -1) == 1 && out[0].events == EPOLLHUP);
	close(p[0]); // takes it out
	CHECK(epoll_wait(ep, out, 4, 0) == 0);
	ERR(epoll_wait(ep, out, 0, 0), EINVAL);
	CHECK(pipe(p) == 0 && epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev) == 0);
	fflush(stdout);
	pid_t c = fork();
	if (c == 0) {
		usleep(50000);
		write(p[1], "x", 1);
		_exit(0);
	}
	CHECK(epoll_wait(ep, out, 4, 5000) == 1);
	waitpid(c, &status, 0);
	int outer = epoll_create1(0);
	CHECK(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &ev) == 0 && epoll_wait(outer, out, 4, 0) == 1);
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, outer, &ev), ELOOP);
	close(outer), close(ep), close(p[0]), close(p[1]);
}

static void sockets(void)
{
	int s[2];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0 && fcntl(s[0], F_GETFD) == FD_CLOEXEC);
	CHECK(send(s[0], "hello", 5, 0) == 5 && recv(s[1], buf, 10, MSG_PEEK) == 5 && recv(s[1], buf, 10, 0) == 5);
	CHECK(write(s[1], "back", 4) == 4 && read(s[0], buf, 10) == 4);
	ERR(recv(s[0], buf, 1, MSG_DONTWAIT), EAGAIN);
	struct stat st;
	CHECK(fstat(s[0], &st) == 0 && S_ISSOCK(st.st_mode));
	ERR(lseek(s[0], 0, SEEK_SET), ESPIPE);
	int type;
	socklen_t len = sizeof type;
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM && len == 4);
	fflush(stdout);
	pid_t c = fork();
	if (c == 0) {
		close(s[0]);
		_exit(write(s[1], buf, sizeof buf) != sizeof buf);
	}
	CHECK(recv(s[0], buf, sizeof buf, MSG_WAITALL) == sizeof buf);
	CHECK(waitpid(c, &status, 0) == c && status == 0);
	CHECK(shutdown(s[0], SHUT_WR) == 0 && read(s[1], buf, 1) == 0);
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK(write(s[1], "y", 1) == 1 && read(s[0], buf, 1) == 1);
	close(s[1]);
	CHECK(read(s[0], buf, 1) == 0);
	close(s[0]);
	ERR(send(0x7ff, "x", 1, 0), EBADF);
	int p[2];
	CHECK(pipe(p) == 0);
	ERR(send(p[1], "x", 1, 0), ENOTSOCK);
	ERR(socketpair(AF_INET, SOCK_STREAM, 0, s), EOPNOTSUPP);
}

int main(void)
{
	close(0);
	open("/dev/null", O_RDONLY);
	events();
	timers();
	polls();
	sockets();
	return 0;
}
