// Terminals' rarer modes: flow control, packet mode, marked bytes, the erasing
// of what is hard to erase, characters put into the input, losing a terminal.
// build: musl-gcc -static -O1 -Wall -Werror
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static char buf[8192];

static void show(const char *s, size_t n)
{
	putchar('"');
	for (size_t i = 0; i < n; i++)
		printf(s[i] < ' ' || s[i] > '~' ? "\\%03o" : "%c", s[i] & 0xff);
	printf("\"\n");
}

// got reads until want has come, for five seconds at most.
static int gotn(int fd, const char *want, size_t len)
{
	size_t n = 0;
	struct pollfd p = {fd, POLLIN, 0};
	while (n < len && poll(&p, 1, 5000) == 1) {
		ssize_t r = read(fd, buf + n, len - n);
		if (r <= 0)
			break;
		n += r;
	}
	if (n != len || memcmp(buf, want, n)) {
		printf("got "), show(buf, n);
		return 0;
	}
	return 1;
}

static int got(int fd, const char *want) { return gotn(fd, want, strlen(want)); }

static int put(int fd, const char *s) { return write(fd, s, strlen(s)) == (ssize_t)strlen(s); }

static int events(int fd, int mask)
{
	struct pollfd p = {fd, mask, 0};
	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static int soon(int fd, int mask)
{
	struct pollfd p = {fd, mask, 0};
	return poll(&p, 1, 5000) == 1 && p.revents & mask;
}

static int m, s;
static struct termios usual;

static void start(void)
{
	CHECK(openpty(&m, &s, NULL, NULL, NULL) == 0 && tcgetattr(s, &usual) == 0);
}

static void stop(void)
{
	close(s);
	close(m);
}

static void set(tcflag_t in_on, tcflag_t in_off, tcflag_t out, tcflag_t local_on, tcflag_t local_off)
{
	struct termios t = usual;
	t.c_iflag = (t.c_iflag | in_on) & ~in_off;
	t.c_oflag |= out;
	t.c_lflag = (t.c_lflag | local_on) & ~local_off;
	CHECK(tcsetattr(s, TCSANOW, &t) == 0);
}

static void flow(void)
{
	start();
	CHECK(usual.c_iflag & IXON && usual.c_cc[VSTOP] == 19 && usual.c_cc[VSTART] == 17);
	// A stopped terminal takes no output; neither character is input or echoed.
	CHECK(put(m, "\023"));
	while (events(s, POLLOUT)) // it takes a moment
		usleep(1000);
	CHECK(fcntl(s, F_SETFL, O_NONBLOCK) == 0);
	ERR(write(s, "x", 1), EAGAIN);
	CHECK(put(m, "a\n") && soon(s, POLLIN) && events(m, POLLIN) == 0);
	CHECK(put(m, "\021") && got(m, "a\r\n") && soon(s, POLLOUT) && put(s, "out") && got(m, "out"));
	CHECK(got(s, "a\n"));
	// With IXANY any character starts it, and is input.
	set(IXANY, 0, 0, 0, 0);
	CHECK(put(m, "\023"));
	while (events(s, POLLOUT))
		usleep(1000);
	CHECK(put(m, "b\n") && got(m, "b\r\n") && soon(s, POLLOUT) && got(s, "b\n"));
	// Turning IXON off starts it; then the characters are input.
	set(0, 0, 0, 0, 0);
	CHECK(put(m, "\023"));
	while (events(s, POLLOUT))
		usleep(1000);
	set(0, IXON, 0, 0, 0);
	CHECK(soon(s, POLLOUT) && put(m, "\023\021\n") && got(m, "^S^Q\r\n") && got(s, "\023\021\n"));
	// By request, where ^Q does not help.
	set(0, 0, 0, 0, ECHO);
	CHECK(tcflow(s, TCOOFF) == 0 && events(s, POLLOUT) == 0);
	CHECK(put(m, "\021c\n") && soon(s, POLLIN) && events(s, POLLOUT) == 0 && got(s, "c\n"));
	CHECK(tcflow(s, TCOON) == 0 && soon(s, POLLOUT));
	CHECK(tcflow(s, TCIOFF) == 0 && got(m, "\023") && tcflow(s, TCION) == 0 && got(m, "\021"));
	ERR(tcflow(s, 9), EINVAL);
	// ^C starts it, too.
	set(0, 0, 0, 0, 0);
	CHECK(put(m, "\023"));
	while (events(s, POLLOUT))
		usleep(1000);
	CHECK(put(m, "\003") && soon(s, POLLOUT) && got(m, "^C"));
	stop();
}

// A writer that waits goes on when the terminal does.
static void waiting(void)
{
	int st;
	start();
	CHECK(tcflow(s, TCOOFF) == 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(!put(s, "late"));
	usleep(20000);
	CHECK(waitpid(pid, &st, WNOHANG) == 0 && events(m, POLLIN) == 0);
	CHECK(tcflow(s, TCOON) == 0 && got(m, "late") && waitpid(pid, &st, 0) == pid && st == 0);
	stop();
}

static void packets(void)
{
	int on = 1, off = 0;
	start();
	CHECK(ioctl(m, TIOCGPKT, &off) == 0 && off == 0);
	CHECK(put(s, "plain") && got(m, "plain") && ioctl(m, TIOCPKT, &on) == 0 && ioctl(m, TIOCGPKT, &off) == 0 && off == 1);
	CHECK(put(s, "data") && gotn(m, "\0data", 5));
	CHECK(put(s, "first") && tcflush(s, TCIFLUSH) == 0 && soon(m, POLLPRI) && events(m, POLLPRI | POLLIN) == (POLLPRI | POLLIN));
	CHECK(read(m, buf, 9) == 1 && buf[0] == TIOCPKT_FLUSHREAD && gotn(m, "\0first", 6) && events(m, POLLPRI) == 0);
	CHECK(tcflush(s, TCOFLUSH) == 0 && read(m, buf, 9) == 1 && buf[0] == TIOCPKT_FLUSHWRITE);
	CHECK(tcflow(s, TCOOFF) == 0 && read(m, buf, 9) == 1 && buf[0] == TIOCPKT_STOP);
	CHECK(tcflow(s, TCOON) == 0 && read(m, buf, 9) == 1 && buf[0] == TIOCPKT_START);
	set(0, IXON, 0, 0, 0);
	CHECK(read(m, buf, 9) == 1 && buf[0] == TIOCPKT_NOSTOP);
	set(IXON, 0, 0, 0, 0);
	CHECK(read(m, buf, 9) == 1 && buf[0] == TIOCPKT_DOSTOP);
	set(0, IXON, 0, 0, 0);
	set(IXON, 0, 0, 0, 0);
	CHECK(tcflush(s, TCIOFLUSH) == 0 && read(m, buf, 9) == 1);
	CHECK(buf[0] == (TIOCPKT_DOSTOP | TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE));
	off = 0;
	CHECK(ioctl(m, TIOCPKT, &off) == 0 && put(s, "plain") && got(m, "plain"));
	ERR(ioctl(s, TIOCPKT, &on), ENOTTY);
	ERR(ioctl(s, TIOCGPKT, &on), ENOTTY);
	stop();
}

static void bytes(void)
{
	start();
	set(0, 0, 0, 0, ECHO);
	CHECK(put(m, "a\377b\n") && got(s, "a\377b\n"));
	set(PARMRK, 0, 0, 0, ECHO);
	CHECK(put(m, "a\377b\n") && got(s, "a\377\377b\n"));
	set(PARMRK | ISTRIP, 0, 0, 0, ECHO);
	CHECK(put(m, "a\377b\341\n") && got(s, "ba\n")); // 0177 erases
	set(IUCLC, 0, 0, 0, ECHO);
	CHECK(put(m, "ABc\n") && got(s, "abc\n"));
	set(IGNCR, 0, 0, 0, ECHO);
	CHECK(put(m, "a\rb\n") && got(s, "ab\n"));
	set(INLCR, ICRNL, 0, 0, ECHO | ICANON);
	CHECK(put(m, "a\n") && got(s, "a\r"));
	CHECK(tcsendbreak(m, 0) == 0 && tcsendbreak(s, 0) == 0 && tcdrain(s) == 0);

	set(0, 0, OLCUC, 0, 0);
	CHECK(put(s, "abC\n") && got(m, "ABC\r\n"));
	set(0, 0, XTABS, 0, 0);
	CHECK(put(s, "ab\tc\t|\n") && got(m, "ab      c       |\r\n"));
	set(0, 0, ONOCR, 0, 0);
	CHECK(put(s, "\ra\r\rb\n") && got(m, "a\rb\r\n"));
	set(0, 0, OCRNL, 0, 0);
	CHECK(put(s, "a\rb\n") && got(m, "a\nb\r\n"));
	stop();
}

// line types into a canonical terminal; what it shows and gives is known.
static int line(const char *in, const char *echo, const char *read)
{
	int ok = put(m, in) && got(m, echo);
	return got(s, read) && ok;
}

static void erasing(void)
{
	start();
	CHECK(line("ab cd.ef\027x\n", "ab cd.ef\b \b\b \bx\r\n", "ab cd.x\n"));
	CHECK(line("ab  \027x\n", "ab  \b \b\b \b\b \b\b \bx\r\n", "x\n"));
	CHECK(line("\026\001\177x\n", "^\b^A\b \b\b \bx\r\n", "x\n"));
	CHECK(line("a\tb\177\177c\n", "a\tb\b \b\b\b\b\b\b\b\bc\r\n", "ac\n"));
	CHECK(put(s, "> ") && got(m, "> ") && line("ab\t\177c\n", "ab\t\b\b\b\bc\r\n", "abc\n"));
	CHECK(line("\t\t\177\177c\n", "\t\t\b\b\b\b\b\b\b\b\b\b\b\b\b\b\b\bc\r\n", "c\n"));
	CHECK(line("ab\022c\n", "ab^R\r\nabc\r\n", "abc\n"));
	CHECK(line("\177\027\025z\n", "z\r\n", "z\n"));
	set(IUTF8, 0, 0, 0, 0);
	CHECK(line("a\303\251\177b\n", "a\303\251\b \bb\r\n", "ab\n"));
	set(0, 0, 0, 0, ECHOKE);
	CHECK(line("ab\025c\n", "ab^U\r\nc\r\n", "c\n"));
	set(0, 0, 0, 0, ECHOE);
	CHECK(line("ab\177c\n", "ab^?c\r\n", "ac\n"));
	set(0, 0, 0, ECHOPRT, 0);
	CHECK(line("ab\177\177c\n", "ab\\ba/c\r\n", "c\n"));
	set(0, 0, 0, 0, ECHOCTL);
	CHECK(line("a\026\001\177c\n", "a\001c\r\n", "ac\n"));
	set(0, 0, 0, ECHONL, ECHO);
	CHECK(line("a\025b\n", "\r\n", "b\n"));
	set(0, 0, 0, 0, ICANON);
	CHECK(put(m, "a\n\001\r") && got(m, "a^J^A\r\n") && got(s, "a\n\001\n"));
	usual.c_cc[VEOL] = '!', usual.c_cc[VEOL2] = 2;
	set(0, 0, 0, 0, 0);
	CHECK(line("a!", "a!", "a!") && line("b\002", "b^B", "b\002") && line("c\004", "c", "c"));
	stop();
}

// A line that is too long keeps its first 4095 bytes and its end.
static void overlong(void)
{
	char long_line[5000];
	start();
	set(0, 0, 0, 0, ECHO);
	memset(long_line, 'x', sizeof long_line);
	memcpy(long_line + 4990, "0123456789", 10);
	CHECK(write(m, long_line, sizeof long_line) == sizeof long_line && put(m, "\n") && soon(s, POLLIN));
	ssize_t n = read(s, buf, sizeof buf);
	printf("%zd bytes, ", n), show(buf + n - 4, 4);
	CHECK(n == 4096);
	stop();
}

static volatile sig_atomic_t quits;
static void on(int sig) { quits++; }

static void session(void)
{
	int st, v;
	char c = 'q';
	CHECK(setsid() == getpid() && ioctl(s, TIOCSCTTY, 0) == 0);
	CHECK(ioctl(s, TIOCSTI, &c) == 0 && ioctl(s, TIOCSTI, "\n") == 0 && got(m, "q\r\n") && got(s, "q\n"));
	// Who is no leader loses the terminal alone, and for its children.
	pid_t pid = fork();
	if (pid == 0) {
		int ok = ioctl(s, TIOCNOTTY) == 0 && open("/dev/tty", O_RDWR) < 0 && errno == ENXIO && tcgetpgrp(s) < 0 && errno == ENOTTY;
		pid_t child = fork();
		if (child == 0)
			_exit(open("/dev/tty", O_RDWR) >= 0);
		_exit(!(ok && waitpid(child, &st, 0) == child && st == 0 && ioctl(s, TIOCNOTTY) < 0 && errno == ENOTTY));
	}
	CHECK(waitpid(pid, &st, 0) == pid && st == 0);
	int tty = open("/dev/tty", O_RDWR);
	CHECK(tty >= 0 && tcgetpgrp(s) == getpid());
	// Signals by request of the master.
	signal(SIGQUIT, on);
	v = SIGQUIT;
	CHECK(ioctl(m, TIOCSIG, v) == 0 && quits == 1);
	ERR(ioctl(m, TIOCSIG, SIGHUP), EINVAL);
	ERR(ioctl(s, TIOCSIG, v), ENOTTY);
	// The leader takes it from all.
	signal(SIGHUP, SIG_IGN);
	CHECK(ioctl(s, TIOCNOTTY) == 0);
	ERR(open("/dev/tty", O_RDWR), ENXIO);
	CHECK(put(s, "still open") && got(m, "still open"));
	CHECK(ioctl(s, TIOCSCTTY, 0) == 0 && tcgetsid(s) == getpid());
}

static void exclusive(void)
{
	int v = 0, n = 0;
	char name[32];
	start();
	CHECK(ioctl(m, TIOCGPTN, &n) == 0);
	snprintf(name, sizeof name, "/dev/pts/%d", n);
	CHECK(ioctl(s, TIOCGEXCL, &v) == 0 && v == 0 && ioctl(s, TIOCEXCL) == 0 && ioctl(s, TIOCGEXCL, &v) == 0 && v == 1);
	pid_t pid = fork();
	int st;
	if (pid == 0) {
		int as_root = open(name, O_RDWR | O_NOCTTY);
		if (chmod(name, 0666) || setuid(65534))
			_exit(9);
		int fd = open(name, O_RDWR | O_NOCTTY);
		_exit(!(as_root >= 0 && fd < 0 && errno == EBUSY));
	}
	CHECK(waitpid(pid, &st, 0) == pid && st == 0);
	CHECK(ioctl(s, TIOCNXCL) == 0 && ioctl(s, TIOCGEXCL, &v) == 0 && v == 0);
	CHECK(ioctl(s, TIOCGETD, &v) == 0 && v == 0);
	unsigned dev = 0;
	CHECK(ioctl(s, 0x80045432 /* TIOCGDEV */, &dev) == 0 && dev == (136u << 8 | (unsigned)n >> 8 << 20 | (n & 0xff)));
	struct { unsigned flags[4]; unsigned char line, cc[19]; unsigned ispeed, ospeed; } t2;
	CHECK(ioctl(s, 0x802c542a /* TCGETS2 */, &t2) == 0 && t2.ispeed == 38400 && t2.ospeed == 38400 && t2.flags[0] == usual.c_iflag);
	t2.flags[3] &= ~ECHO;
	CHECK(ioctl(s, 0x402c542b /* TCSETS2 */, &t2) == 0 && tcgetattr(s, &usual) == 0 && !(usual.c_lflag & ECHO));
	struct { unsigned short flags[4]; unsigned char line, cc[8]; } tio;
	CHECK(ioctl(s, 0x5405 /* TCGETA */, &tio) == 0 && tio.flags[0] == usual.c_iflag && tio.flags[3] == (usual.c_lflag & 0xffff) && tio.cc[0] == 3);
	tio.flags[3] |= ECHO;
	CHECK(ioctl(s, 0x5406 /* TCSETA */, &tio) == 0 && tcgetattr(s, &usual) == 0 && usual.c_lflag & ECHO && usual.c_cc[VLNEXT] == 22);
	ERR(ioctl(s, TIOCMGET, &v), ENOTTY);
	stop();
}

static void devpts(void)
{
	start();
	ERR(open("/dev/pts/new", O_CREAT | O_RDWR, 0600), EACCES);
	ERR(mkdir("/dev/pts/new", 0700), EPERM);
	ERR(mknod("/dev/pts/new", S_IFIFO | 0600, 0), EPERM);
	ERR(symlink("x", "/dev/pts/new"), EPERM);
	ERR(link("/dev/pts/ptmx", "/dev/pts/new"), EPERM);
	ERR(unlink("/dev/pts/ptmx"), EPERM);
	ERR(rmdir("/dev/pts/ptmx"), ENOTDIR);
	ERR(rename("/dev/pts/ptmx", "/dev/pts/new"), EPERM);
	ERR(unlink("/dev/pts/none"), ENOENT);
	stop();
}

int main(void)
{
	alarm(40);
	flow();
	waiting();
	packets();
	bytes();
	erasing();
	overlong();
	start();
	fflush(stdout);
	pid_t pid = fork();
	int st;
	if (pid == 0) {
		session();
		fflush(stdout);
		_exit(3);
	}
	CHECK(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 3);
	stop();
	exclusive();
	devpts();
	return 0;
}
