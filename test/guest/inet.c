// TCP and UDP over the loopback interface: connections, options, errors and
// what poll says at each step.
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in local4(int port) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static int events(int fd) {
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
	poll(&p, 1, 0);
	return p.revents;
}

// settles waits until poll says what it should, for what takes a moment.
static int settles(int fd, int want) {
	for (int i = 0; i < 500; i++) {
		if (events(fd) == want) return 1;
		usleep(10000);
	}
	printf("events %#x\n", events(fd));
	return 0;
}

static int listener(int family, struct sockaddr *a, socklen_t *n) {
	int fd = socket(family, SOCK_STREAM, 0);
	CHECK(bind(fd, a, *n) == 0);
	CHECK(listen(fd, 5) == 0);
	CHECK(getsockname(fd, a, n) == 0);
	return fd;
}

static void tcp(int family) {
	struct sockaddr_storage st = {0};
	struct sockaddr *sa = (void *)&st;
	socklen_t n = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6), m;
	if (family == AF_INET)
		*(struct sockaddr_in *)&st = local4(0);
	else {
		struct sockaddr_in6 *a = (void *)&st;
		a->sin6_family = AF_INET6;
		a->sin6_addr = in6addr_loopback;
	}
	int l = listener(family, sa, &n);
	CHECK(settles(l, 0));
	int c = socket(family, SOCK_STREAM, 0);
	CHECK(events(c) == (POLLOUT | POLLHUP));
	CHECK(connect(c, sa, n) == 0);
	CHECK(settles(c, POLLOUT));
	CHECK(settles(l, POLLIN));
	ERR(connect(c, sa, n), EISCONN);
	struct sockaddr_storage peer, name;
	m = sizeof peer;
	int s = accept(l, (void *)&peer, &m);
	CHECK(s >= 0 && m == n && peer.ss_family == family);
	socklen_t k = sizeof name;
	CHECK(getsockname(c, (void *)&name, &k) == 0 && k == n && memcmp(&name, &peer, n) == 0);
	CHECK(getpeername(c, (void *)&name, &k) == 0 && memcmp(&name, sa, n) == 0);
	char buf[64];
	CHECK(send(c, "hello", 5, 0) == 5);
	CHECK(recv(s, buf, 3, MSG_PEEK) == 3 && memcmp(buf, "hel", 3) == 0);
	int queued;
	CHECK(ioctl(s, FIONREAD, &queued) == 0 && queued == 5);
	CHECK(recv(s, buf, sizeof buf, 0) == 5);
	ERR(recv(s, buf, sizeof buf, MSG_DONTWAIT), EAGAIN);
	CHECK(write(s, "ab", 2) == 2 && write(s, "cd", 2) == 2);
	CHECK(recv(c, buf, 4, MSG_WAITALL) == 4 && memcmp(buf, "abcd", 4) == 0);
	struct iovec iov[2] = {{"12", 2}, {"345", 3}};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = 2};
	CHECK(sendmsg(c, &mh, 0) == 5);
	char x[2], y[10];
	struct iovec in[2] = {{x, 2}, {y, 10}};
	struct msghdr rh = {.msg_iov = in, .msg_iovlen = 2};
	CHECK(recvmsg(s, &rh, 0) == 5 && memcmp(x, "12", 2) == 0 && memcmp(y, "345", 3) == 0 && rh.msg_flags == 0);
	// One end stops writing, then the other.
	CHECK(shutdown(c, SHUT_WR) == 0);
	CHECK(settles(s, POLLIN | POLLOUT | POLLRDHUP));
	CHECK(recv(s, buf, sizeof buf, 0) == 0);
	signal(SIGPIPE, SIG_IGN);
	ERR(send(c, "x", 1, 0), EPIPE);
	CHECK(send(s, "late", 4, 0) == 4);
	CHECK(recv(c, buf, sizeof buf, 0) == 4);
	CHECK(shutdown(s, SHUT_WR) == 0);
	CHECK(settles(c, POLLIN | POLLOUT | POLLRDHUP | POLLHUP));
	CHECK(recv(c, buf, sizeof buf, 0) == 0);
	close(c);
	close(s);
	// Unread data turns the end into a reset.
	c = socket(family, SOCK_STREAM, 0);
	CHECK(connect(c, sa, n) == 0);
	s = accept(l, NULL, NULL);
	CHECK(send(c, "unread", 6, 0) == 6);
	CHECK(settles(s, POLLIN | POLLOUT));
	close(s);
	CHECK(settles(c, POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP));
	ERR(recv(c, buf, 1, 0), ECONNRESET);
	close(c);
	close(l);
	// Nobody listens any more.
	c = socket(family, SOCK_STREAM, 0);
	ERR(connect(c, sa, n), ECONNREFUSED);
	CHECK(fcntl(c, F_SETFL, O_NONBLOCK) == 0);
	int e = connect(c, sa, n);
	CHECK(e == -1 && (errno == EINPROGRESS || errno == ECONNREFUSED));
	close(c);
}

static void nonblocking(void) {
	struct sockaddr_in a = local4(0);
	socklen_t n = sizeof a;
	int l = listener(AF_INET, (void *)&a, &n);
	CHECK(fcntl(l, F_SETFL, O_NONBLOCK) == 0);
	ERR(accept(l, NULL, NULL), EAGAIN);
	int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	CHECK(fcntl(c, F_GETFD) == FD_CLOEXEC && fcntl(c, F_GETFL) == (O_RDWR | O_NONBLOCK));
	CHECK(connect(c, (void *)&a, n) == 0 || errno == EINPROGRESS);
	CHECK(settles(c, POLLOUT));
	int err = -1;
	socklen_t en = sizeof err;
	CHECK(getsockopt(c, SOL_SOCKET, SO_ERROR, &err, &en) == 0 && err == 0 && en == 4);
	CHECK(settles(l, POLLIN));
	int s = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	CHECK(s >= 0 && fcntl(s, F_GETFL) == (O_RDWR | O_NONBLOCK));
	char buf[1 << 16] = {0};
	ERR(read(s, buf, 1), EAGAIN);
	long sent = 0, got = 0, r;
	while ((r = write(c, buf, sizeof buf)) > 0) sent += r;
	CHECK(r == -1 && errno == EAGAIN && sent > 65536);
	CHECK(!(events(c) & POLLOUT));
	while (got < sent) {
		if ((r = read(s, buf, sizeof buf)) > 0) got += r;
		else if (errno == EAGAIN) usleep(1000);
		else break;
	}
	CHECK(got == sent);
	CHECK(settles(c, POLLOUT));
	struct timeval t = {0, 30000};
	fcntl(s, F_SETFL, 0);
	CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
	ERR(recv(s, buf, 1, 0), EAGAIN);
	close(c), close(s), close(l);
}

static void options(void) {
	int s = socket(AF_INET, SOCK_STREAM, 0), v = 0;
	socklen_t n = sizeof v;
	static const struct { int level, name, set; } o[] = {
		{SOL_SOCKET, SO_REUSEADDR, 1}, {SOL_SOCKET, SO_KEEPALIVE, 1}, {SOL_SOCKET, SO_BROADCAST, 1}, {SOL_SOCKET, SO_REUSEPORT, 1},
		{SOL_SOCKET, SO_OOBINLINE, 1}, {SOL_SOCKET, SO_RCVLOWAT, 7},
		{IPPROTO_TCP, TCP_NODELAY, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 33}, {IPPROTO_TCP, TCP_KEEPINTVL, 12}, {IPPROTO_TCP, TCP_KEEPCNT, 4},
		{IPPROTO_TCP, TCP_CORK, 1}, {IPPROTO_IP, IP_TTL, 12}, {IPPROTO_IP, IP_TOS, 16}, {IPPROTO_TCP, TCP_USER_TIMEOUT, 5000}};
	for (unsigned i = 0; i < sizeof o / sizeof *o; i++) {
		CHECK(getsockopt(s, o[i].level, o[i].name, &v, &n) == 0 && n == 4);
		printf("%d %d: %d\n", o[i].level, o[i].name, v);
		CHECK(setsockopt(s, o[i].level, o[i].name, &o[i].set, 4) == 0);
		CHECK(getsockopt(s, o[i].level, o[i].name, &v, &n) == 0);
		printf("%d\n", v);
	}
	static const int ask[] = {SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN, SO_ERROR, SO_SNDLOWAT};
	for (unsigned i = 0; i < sizeof ask / sizeof *ask; i++) {
		CHECK(getsockopt(s, SOL_SOCKET, ask[i], &v, &n) == 0);
		printf("option %d: %d\n", ask[i], v);
	}
	v = 9000;
	CHECK(setsockopt(s, SOL_SOCKET, SO_RCVBUF, &v, 4) == 0 && getsockopt(s, SOL_SOCKET, SO_RCVBUF, &v, &n) == 0 && v == 18000);
	struct linger lg = {1, 3}, lo = {0};
	n = sizeof lo;
	CHECK(setsockopt(s, SOL_SOCKET, SO_LINGER, &lg, sizeof lg) == 0);
	CHECK(getsockopt(s, SOL_SOCKET, SO_LINGER, &lo, &n) == 0 && lo.l_onoff == 1 && lo.l_linger == 3);
	ERR(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &v, 2), EINVAL);
	ERR(setsockopt(s, SOL_SOCKET, 9999, &v, 4), ENOPROTOOPT);
	ERR(getsockopt(s, IPPROTO_TCP, 9999, &v, &n), ENOPROTOOPT);
	ERR(getsockopt(0, SOL_SOCKET, SO_TYPE, &v, &n), ENOTSOCK);
	ERR(getsockopt(99, SOL_SOCKET, SO_TYPE, &v, &n), EBADF);
	ERR(listen(0, 1), ENOTSOCK);
	ERR(getpeername(s, (void *)&lo, &n), ENOTCONN);
	ERR(recv(s, &v, 1, 0), ENOTCONN);
	ERR(shutdown(s, SHUT_RDWR), ENOTCONN);
	ERR(send(s, &v, 1, MSG_NOSIGNAL), EPIPE);
	ERR(accept(s, NULL, NULL), EINVAL);
	close(s);
	ERR(socket(AF_INET, 77, 0), EINVAL);
	ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	ERR(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
	ERR(socketpair(AF_INET, SOCK_STREAM, 0, (int *)&lo), EOPNOTSUPP);
	struct sockaddr_in a = local4(0), b;
	n = sizeof a;
	int l = listener(AF_INET, (void *)&a, &n);
	int u = socket(AF_INET, SOCK_STREAM, 0);
	ERR(bind(u, (void *)&a, sizeof a), EADDRINUSE);
	ERR(bind(u, (void *)&a, 7), EINVAL);
	b = a, b.sin_family = AF_UNIX;
	ERR(bind(u, (void *)&b, sizeof b), EAFNOSUPPORT);
	b = a, b.sin_addr.s_addr = htonl(0xc0000201), b.sin_port = 0;
	ERR(bind(u, (void *)&b, sizeof b), EADDRNOTAVAIL);
	b.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(u, (void *)&b, sizeof b) == 0);
	ERR(bind(u, (void *)&b, sizeof b), EINVAL);
	close(u), close(l);
}

static void udp(void) {
	struct sockaddr_in a = local4(0), b = local4(0), from;
	socklen_t n = sizeof a;
	int x = socket(AF_INET, SOCK_DGRAM, 0), y = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(bind(x, (void *)&a, n) == 0 && getsockname(x, (void *)&a, &n) == 0);
	CHECK(bind(y, (void *)&b, n) == 0 && getsockname(y, (void *)&b, &n) == 0);
	CHECK(events(x) == POLLOUT);
	ERR(send(x, "x", 1, 0), EDESTADDRREQ);
	CHECK(sendto(x, "hello", 5, 0, (void *)&b, sizeof b) == 5);
	CHECK(settles(y, POLLIN | POLLOUT));
	char buf[100];
	CHECK(recvfrom(y, buf, 3, MSG_PEEK | MSG_TRUNC, (void *)&from, &n) == 5);
	CHECK(n == sizeof from && from.sin_port == a.sin_port && from.sin_addr.s_addr == a.sin_addr.s_addr);
	struct iovec v = {buf, 3};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_name = &from, .msg_namelen = sizeof from};
	CHECK(recvmsg(y, &h, 0) == 3 && h.msg_flags == MSG_TRUNC && h.msg_namelen == sizeof from);
	ERR(recv(y, buf, 1, MSG_DONTWAIT), EAGAIN);
	CHECK(sendto(x, "", 0, 0, (void *)&b, sizeof b) == 0);
	CHECK(recv(y, buf, sizeof buf, 0) == 0);
	CHECK(connect(y, (void *)&a, sizeof a) == 0);
	CHECK(send(y, "back", 4, 0) == 4 && recv(x, buf, sizeof buf, 0) == 4);
	CHECK(getpeername(y, (void *)&from, &n) == 0 && from.sin_port == a.sin_port);
	struct mmsghdr mm[3] = {0};
	struct iovec iv[3] = {{"1", 1}, {"22", 2}, {"333", 3}}, ov[3];
	char out[3][8];
	for (int i = 0; i < 3; i++) mm[i].msg_hdr.msg_iov = &iv[i], mm[i].msg_hdr.msg_iovlen = 1;
	CHECK(sendmmsg(y, mm, 3, 0) == 3 && mm[2].msg_len == 3);
	for (int i = 0; i < 3; i++) ov[i].iov_base = out[i], ov[i].iov_len = 8, mm[i].msg_hdr.msg_iov = &ov[i];
	CHECK(recvmmsg(x, mm, 3, MSG_WAITFORONE, NULL) == 3 && mm[0].msg_len == 1 && mm[1].msg_len == 2 && mm[2].msg_len == 3);
	struct sockaddr un = {.sa_family = AF_UNSPEC};
	CHECK(connect(y, &un, sizeof un) == 0);
	ERR(getpeername(y, (void *)&from, &n), ENOTCONN);
	static char big[70000];
	ERR(sendto(x, big, sizeof big, 0, (void *)&b, sizeof b), EMSGSIZE);
	ERR(listen(x, 1), EOPNOTSUPP);
	// A connected socket hears that nobody is there.
	close(x);
	CHECK(connect(y, (void *)&a, sizeof a) == 0 && send(y, "x", 1, 0) == 1);
	struct pollfd p = {.fd = y};
	CHECK(poll(&p, 1, 5000) == 1 && p.revents == POLLERR);
	ERR(recv(y, buf, 1, 0), ECONNREFUSED);
	close(y);
}

static void dual(void) {
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	socklen_t n = sizeof any;
	int l = listener(AF_INET6, (void *)&any, &n);
	struct sockaddr_in a = local4(ntohs(any.sin6_port));
	int c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(c, (void *)&a, sizeof a) == 0);
	struct sockaddr_in6 peer;
	n = sizeof peer;
	int s = accept(l, (void *)&peer, &n);
	char text[64];
	CHECK(s >= 0 && n == sizeof peer && strcmp(inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof text), "::ffff:127.0.0.1") == 0);
	close(c), close(s), close(l);
	l = socket(AF_INET6, SOCK_STREAM, 0);
	int on = 1;
	CHECK(setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0);
	any.sin6_port = 0, n = sizeof any;
	CHECK(bind(l, (void *)&any, sizeof any) == 0 && listen(l, 1) == 0 && getsockname(l, (void *)&any, &n) == 0);
	a = local4(ntohs(any.sin6_port));
	c = socket(AF_INET, SOCK_STREAM, 0);
	ERR(connect(c, (void *)&a, sizeof a), ECONNREFUSED);
	close(c), close(l);
}

static void nothing(int sig) { (void)sig; }

// interrupted shows which calls begin anew after a signal.
static void interrupted(void) {
	struct sockaddr_in a = local4(0);
	socklen_t n = sizeof a;
	int l = listener(AF_INET, (void *)&a, &n), c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(c, (void *)&a, n) == 0);
	int s = accept(l, NULL, NULL);
	struct sigaction sa = {.sa_handler = nothing};
	struct itimerval it = {.it_value = {0, 50000}};
	char b;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	ERR(accept(l, NULL, NULL), EINTR);
	setitimer(ITIMER_REAL, &it, NULL);
	ERR(recv(s, &b, 1, 0), EINTR);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	if (fork() == 0) {
		usleep(200000);
		write(c, "z", 1);
		_exit(0);
	}
	CHECK(recv(s, &b, 1, 0) == 1 && b == 'z');
	struct timeval t = {5, 0};
	CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
	setitimer(ITIMER_REAL, &it, NULL);
	ERR(recv(s, &b, 1, 0), EINTR);
	wait(NULL);
	close(c), close(s), close(l);
}

static void *shut(void *fd) {
	usleep(100000);
	shutdown(*(int *)fd, SHUT_RDWR);
	return NULL;
}

// woken shows that another thread's shutdown ends a wait.
static void woken(void) {
	struct sockaddr_in a = local4(0);
	socklen_t n = sizeof a;
	int l = listener(AF_INET, (void *)&a, &n), c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(c, (void *)&a, n) == 0);
	int s = accept(l, NULL, NULL);
	pthread_t t;
	char b;
	pthread_create(&t, NULL, shut, &s);
	CHECK(recv(s, &b, 1, 0) == 0);
	pthread_join(t, NULL);
	pthread_create(&t, NULL, shut, &l);
	ERR(accept(l, NULL, NULL), EINVAL);
	pthread_join(t, NULL);
	close(c), close(s), close(l);
}

static void interfaces(void) {
	CHECK(if_nametoindex("lo") == 1);
	char name[IF_NAMESIZE];
	CHECK(if_indextoname(1, name) && strcmp(name, "lo") == 0);
	CHECK(if_nametoindex("nothere") == 0);
	struct ifaddrs *all, *i;
	CHECK(getifaddrs(&all) == 0);
	for (i = all; i; i = i->ifa_next) {
		if (strcmp(i->ifa_name, "lo") || !i->ifa_addr) continue;
		char text[64] = "";
		if (i->ifa_addr->sa_family == AF_INET) inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, text, sizeof text);
		if (i->ifa_addr->sa_family == AF_INET6) inet_ntop(AF_INET6, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, text, sizeof text);
		printf("lo: family %d flags %#x %s\n", i->ifa_addr->sa_family, i->ifa_flags, text);
	}
	freeifaddrs(all);
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq r = {.ifr_name = "lo"};
	CHECK(ioctl(s, SIOCGIFADDR, &r) == 0 && ((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	CHECK(ioctl(s, SIOCGIFMTU, &r) == 0 && r.ifr_mtu == 65536);
	CHECK(ioctl(s, SIOCGIFFLAGS, &r) == 0 && r.ifr_flags == (IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
	struct ifreq list[20];
	struct ifconf c = {.ifc_len = sizeof list, .ifc_req = list};
	CHECK(ioctl(s, SIOCGIFCONF, &c) == 0 && c.ifc_len >= (int)sizeof *list && strcmp(list[0].ifr_name, "lo") == 0);
	close(s);
}

int main(void) {
	alarm(50);
	tcp(AF_INET);
	tcp(AF_INET6);
	nonblocking();
	options();
	udp();
	dual();
	interrupted();
	woken();
	interfaces();
	return 0;
}
