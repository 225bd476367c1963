// inotify(7): which events come, in which order, under which name.
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int in, dir, file;
static uint32_t cookies[2];
static char buf[1 << 20] __attribute__((aligned(8)));

// show prints and takes all events that wait. Cookies are told apart, not shown.
static void show(const char *what)
{
	printf("%s:\n", what);
	int left = -1;
	if (ioctl(in, FIONREAD, &left) != 0)
		printf("FAIL FIONREAD\n");
	ssize_t n = read(in, buf, sizeof buf);
	if (n < 0) {
		printf("  none, %s\n", strerror(errno));
		n = 0;
	}
	if (left != n)
		printf("FAIL FIONREAD %d, read %zd\n", left, n);
	for (char *p = buf; p < buf + n;) {
		struct inotify_event *e = (void *)p;
		int c = 0;
		if (e->cookie) {
			c = e->cookie == cookies[0] ? 1 : 2;
			cookies[0] = e->cookie;
		}
		printf("  %s mask %x cookie %d len %u %s\n", e->wd == dir ? "dir" : e->wd == file ? "file" : e->wd == -1 ? "-1" : "other",
		       e->mask, c, e->len, e->len ? e->name : "");
		p += sizeof *e + e->len;
	}
	fflush(stdout);
}

static void arguments(void)
{
	ERR(inotify_init1(1), EINVAL);
	in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	CHECK(in >= 0 && fcntl(in, F_GETFD) == FD_CLOEXEC && fcntl(in, F_GETFL) == O_NONBLOCK);
	ERR(inotify_add_watch(in, "d", 0), EINVAL);
	ERR(inotify_add_watch(99, "d", IN_OPEN), EBADF);
	ERR(inotify_add_watch(0, "d", IN_OPEN), EINVAL);
	ERR(inotify_add_watch(in, "none", IN_OPEN), ENOENT);
	ERR(inotify_add_watch(in, NULL, IN_OPEN), EFAULT);
	ERR(inotify_add_watch(in, "d", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE), EINVAL);
	ERR(inotify_rm_watch(in, 1), EINVAL);
	ERR(inotify_rm_watch(99, 1), EBADF);
	ERR(inotify_rm_watch(0, 1), EINVAL);
	ERR(write(in, buf, 1), EBADF);
	struct stat st;
	CHECK(fstat(in, &st) == 0 && st.st_size == 0);
	show("nothing");
}

static void files(void)
{
	dir = inotify_add_watch(in, "d", IN_ALL_EVENTS);
	CHECK(dir == 1 && inotify_add_watch(in, "d", IN_ALL_EVENTS) == 1);
	ERR(inotify_add_watch(in, "d", IN_ALL_EVENTS | IN_MASK_CREATE), EEXIST);
	int f = open("d/a", O_CREAT | O_RDWR, 0600);
	CHECK(f >= 0);
	show("create");
	CHECK(write(f, "hello", 5) == 5 && write(f, "hello", 5) == 5 && pwrite(f, "x", 1, 3) == 1);
	show("write");
	CHECK(pread(f, buf, 4, 0) == 4 && read(f, buf, 4) == 0);
	show("read");
	CHECK(ftruncate(f, 3) == 0 && fchmod(f, 0640) == 0 && close(f) == 0);
	show("change");
	ERR(read(in, buf, 8), EAGAIN);
	f = open("d/a", O_RDONLY);
	struct pollfd p = {in, POLLIN, 0};
	CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
	ERR(read(in, buf, 20), EINVAL);
	close(f);
	show("open");
	CHECK(poll(&p, 1, 0) == 0);
	struct timespec now[2] = {{5, 0}, {6, 0}}, a[2] = {{5, 0}, {0, UTIME_OMIT}}, m[2] = {{0, UTIME_OMIT}, {7, 0}};
	CHECK(utimensat(AT_FDCWD, "d/a", now, 0) == 0 && utimensat(AT_FDCWD, "d/a", a, 0) == 0 && utimensat(AT_FDCWD, "d/a", m, 0) == 0);
	show("times");
	CHECK(chmod("d/a", 0600) == 0 && chown("d/a", -1, getgid()) == 0 && truncate("d/a", 1) == 0);
	show("by path");
	CHECK(close(open("d/a", O_PATH)) == 0);
	show("O_PATH");
	CHECK(close(open("d/a", O_WRONLY)) == 0);
	show("write only");
	CHECK(close(creat("d/a", 0600)) == 0);
	show("O_TRUNC");
	CHECK(mkdir("d/s", 0700) == 0 && inotify_add_watch(in, "d/s", IN_ALL_EVENTS) == 2 && chmod("d/s", 0755) == 0 && rmdir("d/s") == 0);
	show("directory watched twice");
}

static void names(void)
{
	file = inotify_add_watch(in, "d/a", IN_ALL_EVENTS);
	CHECK(file == 3);
	CHECK(link("d/a", "d/b") == 0);
	show("link");
	CHECK(rename("d/a", "d/c") == 0);
	show("rename");
	CHECK(mkdir("e", 0700) == 0 && rename("d/c", "e/c") == 0);
	show("move out");
	CHECK(rename("e/c", "d/c") == 0);
	show("same inode"), fflush(stdout);
	CHECK(symlink("x", "d/l") == 0 && mkfifo("d/p", 0600) == 0 && mkdir("d/s", 0700) == 0);
	show("make");
	CHECK(close(open("d/s", O_RDONLY | O_DIRECTORY)) == 0 && rename("d/s", "d/t") == 0 && rmdir("d/t") == 0);
	show("directory");
	CHECK(unlink("d/l") == 0 && unlink("d/p") == 0 && unlink("d/b") == 0);
	show("unlink");
	CHECK(unlink("d/c") == 0);
	show("last name");
	ERR(inotify_rm_watch(in, file), EINVAL);
	int f = open("d/a", O_CREAT | O_RDWR, 0600);
	file = inotify_add_watch(in, "d/a", IN_ALL_EVENTS);
	show("open file");
	CHECK(file == 4 && unlink("d/a") == 0);
	show("unlink open");
	CHECK(write(f, "x", 1) == 1 && close(f) == 0);
	show("gone");
	CHECK(close(creat("d/a", 0600)) == 0 && close(creat("d/b", 0600)) == 0);
	file = inotify_add_watch(in, "d/b", IN_ALL_EVENTS);
	read(in, buf, sizeof buf);
	CHECK(rename("d/a", "d/b") == 0);
	show("replace");
}

static void masks(void)
{
	CHECK(inotify_rm_watch(in, dir) == 0);
	show("remove");
	ERR(inotify_add_watch(in, "d/b", IN_OPEN | IN_ONLYDIR), ENOTDIR);
	CHECK(symlink("b", "d/l") == 0);
	file = inotify_add_watch(in, "d/l", IN_OPEN | IN_DONT_FOLLOW);
	CHECK(close(open("d/l", O_RDONLY)) == 0);
	show("link itself");
	inotify_rm_watch(in, file);
	file = inotify_add_watch(in, "d/l", IN_OPEN);
	CHECK(inotify_add_watch(in, "d/b", IN_CLOSE | IN_MASK_ADD) == file);
	CHECK(close(open("d/b", O_RDONLY)) == 0);
	show("added");
	CHECK(inotify_add_watch(in, "d/b", IN_CLOSE) == file);
	CHECK(close(open("d/b", O_RDONLY)) == 0);
	show("replaced");
	CHECK(inotify_add_watch(in, "d/b", IN_OPEN | IN_ONESHOT) == file);
	CHECK(close(open("d/b", O_RDONLY)) == 0 && close(open("d/b", O_RDONLY)) == 0);
	show("one shot");
	dir = inotify_add_watch(in, "d", IN_MODIFY | IN_EXCL_UNLINK);
	int f = open("d/b", O_WRONLY);
	CHECK(unlink("d/b") == 0 && write(f, "x", 1) == 1 && close(f) == 0);
	show("not the unlinked");
	CHECK(inotify_add_watch(in, "d", IN_ALL_EVENTS) == dir && rename("d", "f") == 0 && rename("f", "d") == 0);
	show("move self");
	CHECK(unlink("d/l") == 0);
	int ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN}, out;
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, in, &ev) == 0 && epoll_wait(ep, &out, 1, 0) == 1 && out.events == EPOLLIN);
	show("drained");
	CHECK(epoll_wait(ep, &out, 1, 0) == 0 && rmdir("d") == 0 && epoll_wait(ep, &out, 1, 1000) == 1);
	show("delete self");
	close(ep);
}

static void overflow(void)
{
	CHECK(mkdir("d", 0700) == 0 && close(creat("d/a", 0600)) == 0 && close(creat("d/b", 0600)) == 0);
	dir = inotify_add_watch(in, "d", IN_ATTRIB);
	for (int i = 0; i < 10000; i++)
		if (chmod("d/a", 0600) || chmod("d/b", 0600))
			printf("FAIL chmod\n");
	long n = 0, got;
	struct inotify_event *e = (void *)buf;
	while ((got = read(in, buf, 32)) == 32)
		n++;
	CHECK(got == 16 && e->wd == -1 && e->mask == IN_Q_OVERFLOW && e->len == 0);
	CHECK(n == 16384);
	show("behind");
	unlink("d/a"), unlink("d/b"), rmdir("d"), rmdir("e");
}

int main(void)
{
	char where[] = "/tmp/inotifyXXXXXX";
	mkdir("/tmp", 01777);
	CHECK(mkdtemp(where) && chdir(where) == 0 && mkdir("d", 0700) == 0);
	close(0);
	open("/dev/null", O_RDONLY);
	arguments();
	files();
	names();
	masks();
	overflow();
	close(in);
	CHECK(rmdir(where) == 0);
	return 0;
}
