// Pseudo-terminals: devpts, the line discipline, window size, controlling
// terminals, job control, hangup.
// build: musl-gcc -static -O1 -Wall -Werror
// build: gcc -static -O2 -Wall -Werror
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif

static char buf[8192];

// got reads until want has come, for five seconds at most.
static int got(int fd, const char *want)
{
	size_t n = 0, len = strlen(want);
	struct pollfd p = {fd, POLLIN, 0};
	while (n < len && poll(&p, 1, 5000) == 1) {
		ssize_t r = read(fd, buf + n, len - n);
		if (r <= 0)
			break;
		n += r;
	}
	buf[n] = 0;
	if (strcmp(buf, want)) {
		printf("got \"");
		for (size_t i = 0; i < n; i++)
			printf(buf[i] < ' ' ? "\\%o" : "%c", buf[i]);
		printf("\"\n");
		return 0;
	}
	return 1;
}

static int put(int fd, const char *s) { return write(fd, s, strlen(s)) == (ssize_t)strlen(s); }

static int events(int fd, int mask)
{
	struct pollfd p = {fd, mask, 0};
	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

// soon waits: what one side writes reaches the other a little later.
static int soon(int fd, int mask)
{
	struct pollfd p = {fd, mask, 0};
	return poll(&p, 1, 5000) == 1 && p.revents & mask;
}

static void names(void)
{
	int m = posix_openpt(O_RDWR | O_NOCTTY), n = -1, lock = -1;
	CHECK(m >= 0 && grantpt(m) == 0);
	char *name = ptsname(m), want[32];
	CHECK(ioctl(m, TIOCGPTN, &n) == 0);
	snprintf(want, sizeof want, "/dev/pts/%d", n);
	CHECK(name && strcmp(name, want) == 0);
	CHECK(ioctl(m, 0x80045439 /* TIOCGPTLCK */, &lock) == 0 && lock == 1);
	ERR(open(want, O_RDWR | O_NOCTTY), EIO);
	ERR(ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY), EIO);
	CHECK(unlockpt(m) == 0);
	struct stat st;
	CHECK(stat(want, &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == 136 && (int)minor(st.st_rdev) == n);
	struct statfs fs;
	CHECK(statfs("/dev/pts", &fs) == 0 && fs.f_type == 0x1cd1);
	int s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	char *tty = ttyname(s);
	CHECK(s >= 0 && tty && strcmp(tty, want) == 0);
	CHECK(isatty(m) && isatty(s));
	close(m);
	ERR(open(want, O_RDWR | O_NOCTTY), ENOENT);
	CHECK(read(s, buf, 1) == 0);
	ERR(write(s, "x", 1), EIO);
	struct termios t;
	ERR(tcgetattr(s, &t), EIO);
	CHECK(events(s, POLLIN | POLLOUT) == (POLLIN | POLLOUT | POLLERR | POLLHUP));
	close(s);
}

static void discipline(void)
{
	int m, s, n;
	CHECK(openpty(&m, &s, NULL, NULL, NULL) == 0);
	CHECK(events(m, POLLIN | POLLOUT) == POLLOUT && events(s, POLLIN | POLLOUT) == POLLOUT);
	CHECK(put(m, "helxo\177\177lo\nnext") && got(m, "helxo\b \b\b \blo\r\nnext"));
	CHECK(ioctl(s, FIONREAD, &n) == 0 && n == 6);
	CHECK(got(s, "hello\n") && events(s, POLLIN) == 0);
	CHECK(put(m, "\025ab\004") && got(m, "\b \b\b \b\b \b\b \bab") && got(s, "ab"));
	CHECK(put(m, "\004") && soon(s, POLLIN) && read(s, buf, 9) == 0);
	CHECK(put(s, "out\n") && soon(m, POLLIN) && ioctl(m, FIONREAD, &n) == 0 && n == 5 && got(m, "out\r\n"));

	struct termios t;
	CHECK(tcgetattr(m, &t) == 0 && t.c_lflag & ICANON && t.c_cc[VINTR] == 3);
	cfmakeraw(&t);
	CHECK(tcsetattr(s, TCSANOW, &t) == 0);
	CHECK(put(m, "r\003\r") && got(s, "r\003\r") && events(m, POLLIN) == 0);
	CHECK(put(s, "a\nb") && got(m, "a\nb"));
	t.c_cc[VMIN] = 0, t.c_cc[VTIME] = 2;
	CHECK(tcsetattr(s, TCSANOW, &t) == 0);
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	CHECK(read(s, buf, 4) == 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	CHECK((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 >= 150);
	t.c_cc[VMIN] = 3, t.c_cc[VTIME] = 0;
	CHECK(tcsetattr(s, TCSANOW, &t) == 0);
	CHECK(put(m, "12") && events(s, POLLIN) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		usleep(50000);
		_exit(!put(m, "345"));
	}
	CHECK(read(s, buf, 4) >= 3 && memcmp(buf, "123", 3) == 0);
	waitpid(pid, NULL, 0);
	CHECK(tcflush(s, TCIFLUSH) == 0 && fcntl(s, F_SETFL, O_NONBLOCK) == 0);
	ERR(read(s, buf, 4), EAGAIN);
	long total = 0;
	for (ssize_t r; (r = write(s, buf, sizeof buf)) > 0;)
		total += r;
	CHECK(errno == EAGAIN && total >= 4096);
	fcntl(m, F_SETFL, O_NONBLOCK);
	for (ssize_t r; (r = read(m, buf, sizeof buf)) > 0;)
		total -= r;
	CHECK(errno == EAGAIN && total == 0);
	CHECK(soon(s, POLLOUT));

	CHECK(put(s, "end") && close(s) == 0);
	CHECK(events(m, POLLIN) == (POLLIN | POLLHUP) && got(m, "end"));
	ERR(read(m, buf, 1), EIO);
	CHECK(events(m, POLLIN) == POLLHUP);
	close(m);
}

// stream writes 300000 bytes to one side and reads them from the other.
static int stream(int to, int from)
{
	long total = 0;
	int bad = 0, st;
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 100; i++) {
			memset(buf, 'a' + i % 26, 3000);
			for (int n = 0, r; n < 3000; n += r)
				if ((r = write(to, buf, 3000 - n)) <= 0)
					_exit(1);
		}
		_exit(0);
	}
	for (ssize_t r; total < 300000 && soon(from, POLLIN) && (r = read(from, buf, sizeof buf)) > 0;)
		for (ssize_t i = 0; i < r; i++, total++)
			bad |= buf[i] != 'a' + total / 3000 % 26;
	return total == 300000 && !bad && waitpid(pid, &st, 0) == pid && st == 0;
}

static void bulk(void)
{
	int m, s;
	struct termios t;
	CHECK(openpty(&m, &s, NULL, NULL, NULL) == 0 && tcgetattr(s, &t) == 0);
	cfmakeraw(&t);
	CHECK(tcsetattr(s, TCSANOW, &t) == 0);
	CHECK(stream(m, s));
	CHECK(stream(s, m));
	close(m);
	close(s);
}

static volatile sig_atomic_t winches, hups, conts;
static void on(int sig)
{
	if (sig == SIGWINCH)
		winches++;
	if (sig == SIGHUP)
		hups++;
	if (sig == SIGCONT)
		conts++;
}

// session is the leader of a session with a shell's job control; its children
// are jobs. It says on report, a byte each time, that it is where it is to be.
static void session(int s, int report)
{
	struct winsize w;
	int st, n;
	CHECK(setsid() == getpid());
	ERR(open("/dev/tty", O_RDWR), ENXIO);
	ERR(tcgetpgrp(s), ENOTTY);
	CHECK(ioctl(s, TIOCSCTTY, 0) == 0 && tcgetpgrp(s) == getpid() && tcgetsid(s) == getpid());
	int tty = open("/dev/tty", O_RDWR);
	CHECK(tty >= 0 && isatty(tty));
	struct sigaction act = {.sa_handler = on};
	sigaction(SIGWINCH, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	sigaction(SIGCONT, &act, NULL);
	CHECK(write(report, "w", 1) == 1); // the window changes now
	while (!winches)
		usleep(1000);
	CHECK(ioctl(s, TIOCGWINSZ, &w) == 0 && w.ws_row == 40 && w.ws_col == 100);

	// ^C ends the foreground job and nobody else.
	signal(SIGTTOU, SIG_IGN);
	pid_t job = fork();
	if (job == 0) {
		setpgid(0, 0);
		tcsetpgrp(s, getpid());
		if (write(report, "c", 1) != 1)
			_exit(9);
		for (;;)
			pause();
	}
	CHECK(waitpid(job, &st, 0) == job && WIFSIGNALED(st) && WTERMSIG(st) == SIGINT);
	CHECK(tcsetpgrp(s, getpgrp()) == 0);

	// ^Z stops it; it goes on in the background and is stopped at its read.
	job = fork();
	if (job == 0) {
		char line[16];
		setpgid(0, 0);
		tcsetpgrp(s, getpid());
		signal(SIGTTOU, SIG_DFL);
		signal(SIGCONT, SIG_DFL);
		if (write(report, "z", 1) != 1)
			_exit(9);
		n = read(tty, line, sizeof line);
		_exit(n == 5 ? 7 : 8);
	}
	CHECK(waitpid(job, &st, WUNTRACED) == job && WIFSTOPPED(st) && WSTOPSIG(st) == SIGTSTP);
	CHECK(tcsetpgrp(s, getpgrp()) == 0 && tcgetpgrp(s) == getpid());
	CHECK(kill(-job, SIGCONT) == 0);
	// The read may stop it before the report of its going on is fetched.
	CHECK(waitpid(job, &st, WUNTRACED) == job && WIFSTOPPED(st) && WSTOPSIG(st) == SIGTTIN);
	CHECK(tcsetpgrp(s, job) == 0 && kill(-job, SIGCONT) == 0);
	CHECK(waitpid(job, &st, WCONTINUED) == job && WIFCONTINUED(st));
	CHECK(write(report, "l", 1) == 1); // the line comes now
	CHECK(waitpid(job, &st, 0) == job && WIFEXITED(st) && WEXITSTATUS(st) == 7);
	CHECK(tcsetpgrp(s, getpgrp()) == 0);

	// A background group that changes the terminal, or writes under TOSTOP.
	for (int i = 0; i < 2; i++) {
		job = fork();
		if (job == 0) {
			struct termios t;
			setpgid(0, 0);
			signal(SIGTTOU, SIG_DFL);
			tcgetattr(s, &t);
			if (i == 0)
				_exit(tcsetattr(s, TCSANOW, &t) != 0);
			_exit(write(s, "x", 1) != 1);
		}
		CHECK(waitpid(job, &st, WUNTRACED) == job && WIFSTOPPED(st) && WSTOPSIG(st) == SIGTTOU);
		CHECK(kill(job, SIGKILL) == 0 && waitpid(job, &st, 0) == job && WTERMSIG(st) == SIGKILL);
		struct termios t;
		tcgetattr(s, &t);
		t.c_lflag |= TOSTOP;
		CHECK(tcsetattr(s, TCSANOW, &t) == 0);
	}

	// Hangup.
	conts = 0;
	CHECK(hups == 0 && write(report, "h", 1) == 1);
	while (!hups || !conts)
		usleep(1000);
	CHECK(read(s, buf, 1) == 0);
	ERR(open("/dev/tty", O_RDWR), ENXIO);
}

static int reported(int fd, char c)
{
	char r = 0;
	return read(fd, &r, 1) == 1 && r == c;
}

static void jobs(void)
{
	int m, s, p[2], st;
	struct winsize w = {24, 80, 0, 0};
	CHECK(openpty(&m, &s, NULL, NULL, &w) == 0 && pipe(p) == 0);
	pid_t leader = fork();
	if (leader == 0) {
		close(m);
		session(s, p[1]);
		_exit(3);
	}
	close(s);
	// The leader prints meanwhile; what is found here is printed behind that.
	int resized = reported(p[0], 'w');
	w.ws_row = 40, w.ws_col = 100;
	resized = resized && ioctl(m, TIOCSWINSZ, &w) == 0;
	int interrupted = reported(p[0], 'c') && put(m, "\003") && got(m, "^C");
	int suspended = reported(p[0], 'z') && put(m, "\032") && got(m, "^Z");
	int typed = reported(p[0], 'l') && put(m, "line\n") && got(m, "line\r\n");
	int over = reported(p[0], 'h');
	close(m);
	CHECK(waitpid(leader, &st, 0) == leader && WIFEXITED(st) && WEXITSTATUS(st) == 3);
	CHECK(resized && interrupted && suspended && typed && over);
}

static void forks(void)
{
	int m, st;
	pid_t pid = forkpty(&m, NULL, NULL, NULL);
	if (pid == 0) {
		char line[32];
		if (fgets(line, sizeof line, stdin))
			printf("<%s>", line);
		fflush(stdout);
		_exit(isatty(0) && isatty(1) && isatty(2) && tcgetsid(0) == getpid() ? 5 : 6);
	}
	CHECK(pid > 0 && put(m, "abc\n") && got(m, "abc\r\n<abc\r\n>"));
	CHECK(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 5);
	ERR(read(m, buf, 1), EIO);
	close(m);
}

int main(void)
{
	alarm(40);
	names();
	discipline();
	bulk();
	jobs();
	forks();
	return 0;
}
