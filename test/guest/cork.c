// What is held back on a stream: MSG_MORE and TCP_CORK.
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int a, b;

static void connection(void) {
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof in;
	int l = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(bind(l, (void *)&in, n) == 0 && listen(l, 1) == 0 && getsockname(l, (void *)&in, &n) == 0);
	a = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(a, (void *)&in, n) == 0);
	b = accept(l, NULL, NULL);
	CHECK(b >= 0);
	close(l);
}

// waiting returns what can be read within 50 ms, and -1 if nothing can.
static long waiting(void) {
	static char buf[1 << 20];
	struct pollfd p = {b, POLLIN, 0};
	if (poll(&p, 1, 50) == 0)
		return -1;
	return recv(b, buf, sizeof buf, MSG_DONTWAIT);
}

static void set(int name, int v) { CHECK(setsockopt(a, IPPROTO_TCP, name, &v, sizeof v) == 0); }

static char big[200000];

int main(void) {
	connection();
	CHECK(send(a, "head", 4, MSG_MORE) == 4);
	CHECK(waiting() == -1);
	CHECK(send(a, "tail", 4, 0) == 4);
	CHECK(waiting() == 8);
	CHECK(send(a, "x", 1, MSG_MORE) == 1);
	usleep(400000); // it is not held back for longer than 200 ms
	CHECK(waiting() == 1);
	CHECK(send(a, "x", 1, MSG_MORE) == 1);
	set(TCP_NODELAY, 1);
	CHECK(waiting() == 1);
	set(TCP_CORK, 1);
	int v = 0;
	socklen_t n = sizeof v;
	CHECK(getsockopt(a, IPPROTO_TCP, TCP_CORK, &v, &n) == 0 && v == 1);
	for (int i = 0; i < 10; i++)
		CHECK(write(a, "0123456789", 10) == 10);
	CHECK(waiting() == -1);
	set(TCP_CORK, 0);
	CHECK(waiting() == 100);
	for (int i = 0; i < 3; i++) { // the time of each begins anew
		set(TCP_CORK, 1);
		CHECK(write(a, "0123456789", 10) == 10);
		CHECK(waiting() == -1);
		usleep(400000);
		CHECK(waiting() == 10);
		CHECK(write(a, "0123456789", 10) == 10);
		set(TCP_CORK, 0);
		CHECK(waiting() == 10);
	}
	set(TCP_CORK, 1);
	CHECK(write(a, big, sizeof big) == sizeof big);
	long total = 0, k;
	while ((k = waiting()) > 0)
		total += k;
	printf("whole segments come: %d\n", total > 100000);
	while (total < (long)sizeof big && (k = recv(b, big, sizeof big, 0)) > 0)
		total += k;
	CHECK(total == sizeof big);
	CHECK(write(a, "last", 4) == 4);
	CHECK(shutdown(a, SHUT_WR) == 0);
	CHECK(waiting() == 4);
	CHECK(waiting() == 0);
	close(a), close(b);
	connection();
	set(TCP_CORK, 1);
	for (int i = 0; i < 30; i++)
		CHECK(write(a, big, 10007) == 10007);
	close(a); // sends what is left
	total = 0;
	while ((k = recv(b, big, sizeof big, 0)) > 0)
		total += k;
	CHECK(k == 0 && total == 300210);
	return 0;
}
