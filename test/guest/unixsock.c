// Unix sockets: names in the file system and abstract ones, streams, datagrams,
// packets, descriptors and credentials that travel.
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static socklen_t name(struct sockaddr_un *a, const char *path) {
	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	size_t n = strlen(path);
	memcpy(a->sun_path, path, n);
	if (path[0] == '@') {
		a->sun_path[0] = 0;
		return offsetof(struct sockaddr_un, sun_path) + n;
	}
	return offsetof(struct sockaddr_un, sun_path) + n + 1;
}

static int events(int fd) {
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
	poll(&p, 1, 0);
	return p.revents;
}

static void stream(const char *path) {
	struct sockaddr_un a, got;
	socklen_t n = name(&a, path), m = sizeof got;
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	ERR(listen(l, 1), EINVAL);
	CHECK(events(c) == (POLLOUT | POLLHUP));
	ERR(connect(c, (void *)&a, n), path[0] == '@' ? ECONNREFUSED : ENOENT);
	CHECK(bind(l, (void *)&a, n) == 0);
	ERR(bind(l, (void *)&a, n), path[0] == '@' ? EINVAL : EADDRINUSE);
	socklen_t o = name(&got, "other.sock");
	ERR(bind(l, (void *)&got, o), EINVAL);
	ERR(access("other.sock", F_OK), ENOENT);
	ERR(bind(c, (void *)&a, n), EADDRINUSE);
	ERR(connect(c, (void *)&a, n), ECONNREFUSED);
	CHECK(listen(l, 1) == 0);
	CHECK(getsockname(l, (void *)&got, &m) == 0 && m == n && memcmp(&a, &got, n) == 0);
	CHECK(connect(c, (void *)&a, n) == 0);
	CHECK(events(l) == POLLIN);
	CHECK(events(c) == POLLOUT);
	CHECK(write(c, "early", 5) == 5);
	m = sizeof got;
	int s = accept(l, (void *)&got, &m);
	CHECK(s >= 0 && m == 2 && got.sun_family == AF_UNIX);
	m = sizeof got;
	CHECK(getpeername(c, (void *)&got, &m) == 0 && m == n);
	m = sizeof got;
	CHECK(getsockname(s, (void *)&got, &m) == 0 && m == n);
	struct ucred u;
	m = sizeof u;
	CHECK(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &u, &m) == 0 && u.pid == getpid() && u.uid == getuid() && m == sizeof u);
	char buf[32];
	CHECK(read(s, buf, 2) == 2 && memcmp(buf, "ea", 2) == 0);
	int queued;
	CHECK(ioctl(s, FIONREAD, &queued) == 0 && queued == 3);
	CHECK(recv(s, buf, sizeof buf, MSG_PEEK) == 3 && recv(s, buf, sizeof buf, 0) == 3);
	ERR(recv(s, buf, 1, MSG_DONTWAIT), EAGAIN);
	ERR(sendto(c, "x", 1, 0, (void *)&a, n), EISCONN);
	ERR(connect(c, (void *)&a, n), EISCONN);
	CHECK(shutdown(c, SHUT_WR) == 0);
	CHECK(events(s) == (POLLIN | POLLOUT | POLLRDHUP));
	CHECK(read(s, buf, 1) == 0);
	signal(SIGPIPE, SIG_IGN);
	ERR(write(c, "x", 1), EPIPE);
	CHECK(write(s, "unread", 6) == 6);
	close(c);
	CHECK(events(s) == (POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP));
	ERR(read(s, buf, 1), ECONNRESET);
	CHECK(read(s, buf, 1) == 0);
	close(s);
	// The backlog: one more than asked for.
	int x[4];
	for (int i = 0; i < 4; i++) x[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK(connect(x[0], (void *)&a, n) == 0 && connect(x[1], (void *)&a, n) == 0);
	ERR(connect(x[2], (void *)&a, n), EAGAIN);
	close(l);
	CHECK(events(x[0]) & POLLHUP);
	ERR(read(x[0], buf, 1), ECONNRESET);
	for (int i = 0; i < 4; i++) close(x[i]);
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	ERR(connect(c, (void *)&a, n), ECONNREFUSED);
	close(c);
	if (path[0] != '@') {
		struct stat st;
		CHECK(stat(path, &st) == 0 && S_ISSOCK(st.st_mode));
		ERR(open(path, O_RDWR), ENXIO);
		CHECK(unlink(path) == 0);
	}
}

static void datagrams(void) {
	struct sockaddr_un a, b, from;
	socklen_t n = name(&a, "@agree-a"), m = name(&b, "dgram.sock"), k = sizeof from;
	int x = socket(AF_UNIX, SOCK_DGRAM, 0), y = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK(bind(x, (void *)&a, n) == 0 && bind(y, (void *)&b, m) == 0);
	ERR(send(x, "x", 1, 0), ENOTCONN);
	CHECK(sendto(x, "hello", 5, 0, (void *)&b, m) == 5);
	CHECK(sendto(x, "", 0, 0, (void *)&b, m) == 0);
	char buf[32];
	CHECK(recvfrom(y, buf, 3, MSG_TRUNC, (void *)&from, &k) == 5 && k == n && memcmp(&from, &a, n) == 0);
	CHECK(recv(y, buf, sizeof buf, 0) == 0);
	ERR(recv(y, buf, 1, MSG_DONTWAIT), EAGAIN);
	CHECK(connect(y, (void *)&a, n) == 0 && send(y, "back", 4, 0) == 4);
	struct iovec v = {buf, 2};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};
	CHECK(recvmsg(x, &h, 0) == 2 && h.msg_flags == MSG_TRUNC);
	int z = socket(AF_UNIX, SOCK_DGRAM, 0), w = socket(AF_UNIX, SOCK_STREAM, 0);
	ERR(sendto(z, "x", 1, 0, (void *)&b, m), EPERM);
	ERR(connect(w, (void *)&b, m), EPROTOTYPE);
	int full = 0;
	while (sendto(z, "x", 1, MSG_DONTWAIT, (void *)&a, n) == 1) full++;
	CHECK(errno == EAGAIN && full > 5);
	close(x);
	ERR(send(y, "x", 1, 0), ECONNREFUSED);
	ERR(sendto(z, "x", 1, 0, (void *)&a, n), ECONNREFUSED);
	close(y), close(z), close(w);
	CHECK(unlink("dgram.sock") == 0);
}

static void packets(void) {
	int p[2];
	char buf[16];
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) == 0 && fcntl(p[0], F_GETFD) == FD_CLOEXEC);
	CHECK(send(p[0], "one", 3, 0) == 3 && send(p[0], "second", 6, 0) == 6);
	CHECK(recv(p[1], buf, 16, 0) == 3 && recv(p[1], buf, 2, 0) == 2);
	ERR(recv(p[1], buf, 16, MSG_DONTWAIT), EAGAIN);
	close(p[0]);
	CHECK(recv(p[1], buf, 16, 0) == 0);
	ERR(send(p[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	close(p[1]);
	ERR(socketpair(AF_UNIX, SOCK_RDM, 0, p), ESOCKTNOSUPPORT);
	ERR(socketpair(AF_UNIX, SOCK_STREAM, 7, p), EPROTONOSUPPORT);
}

union control {
	char b[CMSG_SPACE(sizeof(int) * 3) + CMSG_SPACE(sizeof(struct ucred))];
	struct cmsghdr align;
};

static ssize_t pass(int s, const char *text, int *fds, int n) {
	union control c = {0};
	struct iovec v = {(void *)text, strlen(text)};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *m = CMSG_FIRSTHDR(&h);
	m->cmsg_level = SOL_SOCKET, m->cmsg_type = SCM_RIGHTS, m->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(m), fds, n * sizeof(int));
	return sendmsg(s, &h, 0);
}

static void descriptors(void) {
	int p[2], pipes[2];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0 && pipe(pipes) == 0);
	int send3[3] = {pipes[1], pipes[0], p[0]};
	CHECK(pass(p[0], "fds", send3, 2) == 3);
	close(pipes[1]);
	union control c;
	char buf[16];
	struct iovec v = {buf, sizeof buf};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
	CHECK(recvmsg(p[1], &h, MSG_CMSG_CLOEXEC) == 3);
	struct cmsghdr *m = CMSG_FIRSTHDR(&h);
	CHECK(m && m->cmsg_type == SCM_RIGHTS && m->cmsg_len == CMSG_LEN(2 * sizeof(int)));
	int got[3];
	memcpy(got, CMSG_DATA(m), 2 * sizeof(int));
	CHECK(fcntl(got[0], F_GETFD) == FD_CLOEXEC);
	CHECK(write(got[0], "through", 7) == 7 && read(pipes[0], buf, 16) == 7);
	close(got[0]), close(got[1]);
	CHECK(read(pipes[0], buf, 16) == 0);
	// Not enough room for both.
	int two[2] = {pipes[0], p[0]};
	CHECK(pass(p[0], "x", two, 2) == 1);
	h.msg_controllen = CMSG_LEN(sizeof(int));
	CHECK(recvmsg(p[1], &h, 0) == 1 && h.msg_flags == MSG_CTRUNC);
	m = CMSG_FIRSTHDR(&h);
	CHECK(m && m->cmsg_len == CMSG_LEN(sizeof(int)));
	memcpy(got, CMSG_DATA(m), sizeof(int));
	close(got[0]);
	int bad = 99;
	ERR(pass(p[0], "x", &bad, 1), EBADF);
	// What nobody received is closed with the socket.
	int q[2];
	CHECK(pipe(q) == 0 && pass(p[0], "x", &q[1], 1) == 1);
	close(q[1]);
	close(p[0]), close(p[1]);
	CHECK(read(q[0], buf, 1) == 0);
	close(q[0]), close(pipes[0]);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, p) == 0);
	int on = 1;
	CHECK(setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
	pid_t child = fork();
	if (child == 0) {
		send(p[0], "creds", 5, 0);
		_exit(0);
	}
	h.msg_controllen = sizeof c;
	CHECK(recvmsg(p[1], &h, 0) == 5);
	m = CMSG_FIRSTHDR(&h);
	struct ucred u;
	CHECK(m && m->cmsg_type == SCM_CREDENTIALS && m->cmsg_len == CMSG_LEN(sizeof u));
	memcpy(&u, CMSG_DATA(m), sizeof u);
	CHECK(u.pid == child && u.uid == getuid());
	wait(NULL);
	close(p[0]), close(p[1]);
}

static void pairs(void) {
	int p[2];
	char buf[8];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) == 0);
	CHECK(events(p[0]) == POLLOUT);
	static char big[1 << 16];
	long sent = 0, r;
	while ((r = write(p[0], big, sizeof big)) > 0) sent += r;
	CHECK(r == -1 && errno == EAGAIN && sent >= 65536);
	CHECK(events(p[0]) == 0);
	while (read(p[1], big, sizeof big) > 0)
		;
	CHECK(errno == EAGAIN && events(p[0]) == POLLOUT);
	struct sockaddr_un a;
	socklen_t n = sizeof a;
	CHECK(getsockname(p[0], (void *)&a, &n) == 0 && n == 2);
	struct sockaddr_un f = {.sun_family = AF_UNIX};
	CHECK(bind(p[0], (void *)&f, 2) == 0);
	n = sizeof a;
	CHECK(getsockname(p[0], (void *)&a, &n) == 0 && n == 8 && a.sun_path[0] == 0);
	close(p[0]);
	CHECK(events(p[1]) == (POLLIN | POLLOUT | POLLRDHUP | POLLHUP));
	CHECK(read(p[1], buf, 8) == 0);
	close(p[1]);
}

int main(void) {
	alarm(50);
	char dir[] = "/tmp/unixXXXXXX";
	CHECK(mkdtemp(dir) && chdir(dir) == 0);
	stream("server.sock");
	stream("@agree-stream");
	datagrams();
	packets();
	descriptors();
	pairs();
	chdir("/");
	CHECK(rmdir(dir) == 0);
	return 0;
}
