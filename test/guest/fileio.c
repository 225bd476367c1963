// Reading, writing, seeking, descriptors, locks.
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stat st;
static char buf[100000];
static int status;

static void offsets(void)
{
	int fd = open("f", O_CREAT | O_RDWR | O_TRUNC, 0644);
	CHECK(write(fd, "0123456789", 10) == 10);
	CHECK(lseek(fd, 0, SEEK_CUR) == 10 && lseek(fd, -3, SEEK_END) == 7 && read(fd, buf, 10) == 3);
	CHECK(read(fd, buf, 10) == 0);
	ERR(lseek(fd, -1, SEEK_SET), EINVAL);
	ERR(lseek(fd, 0, 99), EINVAL);
	CHECK(lseek(fd, 100, SEEK_SET) == 100 && write(fd, "x", 1) == 1 && fstat(fd, &st) == 0 && st.st_size == 101);
	CHECK(pread(fd, buf, 10, 50) == 10 && buf[0] == 0);
	CHECK(pwrite(fd, "YZ", 2, 1) == 2 && lseek(fd, 0, SEEK_CUR) == 101);
	ERR(pread(fd, buf, 1, -1), EINVAL);
	CHECK(pread(fd, buf, 4, 0) == 4 && memcmp(buf, "0YZ3", 4) == 0);
	CHECK(ftruncate(fd, 2) == 0 && ftruncate(fd, 4) == 0 && pread(fd, buf, 10, 0) == 4 && memcmp(buf, "0Y\0\0", 4) == 0);
	ERR(ftruncate(fd, -1), EINVAL);
	int ro = open("f", O_RDONLY), wo = open("f", O_WRONLY), ap = open("f", O_WRONLY | O_APPEND);
	ERR(write(ro, "x", 1), EBADF);
	ERR(read(wo, buf, 1), EBADF);
	ERR(ftruncate(ro, 0), EINVAL);
	CHECK(lseek(ap, 0, SEEK_SET) == 0 && write(ap, "END", 3) == 3 && lseek(ap, 0, SEEK_CUR) == 7);
	CHECK(read(ro, buf, 10) == 7 && memcmp(buf, "0Y\0\0END", 7) == 0);
	CHECK(pwrite(ap, "!", 1, 0) == 1 && fstat(fd, &st) == 0 && st.st_size == 8);
	int d = dup(ro);
	CHECK(lseek(d, 3, SEEK_SET) == 3 && lseek(ro, 0, SEEK_CUR) == 3);
	pid_t p = fork();
	if (p == 0) {
		lseek(ro, 5, SEEK_SET);
		_exit(0);
	}
	CHECK(waitpid(p, &status, 0) == p && lseek(ro, 0, SEEK_CUR) == 5);
	struct iovec v[3] = {{buf, 2}, {NULL, 0}, {buf + 10, 3}};
	CHECK(lseek(ro, 0, SEEK_SET) == 0 && readv(ro, v, 3) == 5 && buf[1] == 'Y' && buf[12] == 'E');
	CHECK(writev(wo, v, 3) == 5 && pwritev(wo, v, 1, 6) == 2 && preadv(ro, v, 1, 6) == 2);
	ERR(readv(ro, v, -1), EINVAL);
	ERR(read(ro, (void *)1, 5), EFAULT);
	ERR(write(wo, (void *)1, 5), EFAULT);
	ERR(read(-1, buf, 1), EBADF);
	CHECK(read(ro, buf, 0) == 0 && write(wo, buf, 0) == 0);
	close(fd), close(ro), close(wo), close(ap), close(d);
	ERR(close(d), EBADF);
}

static void big(void)
{
	int fd = open("big", O_CREAT | O_RDWR | O_TRUNC, 0644);
	for (int i = 0; i < 100000; i++)
		buf[i] = i * 7;
	for (int i = 0; i < 10; i++)
		if (write(fd, buf, sizeof buf) != sizeof buf)
			printf("FAIL write %d\n", i);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 1000000);
	int out = open("copy", O_CREAT | O_RDWR | O_TRUNC, 0644);
	off_t off = 5;
	CHECK(sendfile(out, fd, &off, 300000) == 300000 && off == 300005);
	char two[2];
	CHECK(pread(out, two, 2, 0) == 2 && two[0] == buf[5] && two[1] == buf[6]);
	loff_t a = 0, b = 10;
	CHECK(syscall(SYS_copy_file_range, fd, &a, out, &b, 1000, 0) == 1000 && a == 1000 && b == 1010);
	CHECK(pread(out, two, 2, 10) == 2 && two[1] == buf[1]);
	CHECK(fallocate(out, 0, 0, 400000) == 0 && fstat(out, &st) == 0 && st.st_size == 400000);
	CHECK(fallocate(out, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 100) == 0 && pread(out, two, 2, 0) == 2 && two[0] == 0);
	ERR(fallocate(out, 0, -1, 5), EINVAL);
	ERR(fallocate(out, 0, 0, 0), EINVAL);
	int left;
	CHECK(lseek(fd, 999990, SEEK_SET) == 999990 && ioctl(fd, FIONREAD, &left) == 0 && left == 10);
	CHECK(ftruncate(out, 0) == 0 && ftruncate(out, 1L << 40) == 0 && fstat(out, &st) == 0 && st.st_size == 1L << 40);
	CHECK(pread(out, two, 2, (1L << 40) - 1) == 1 && fsync(out) == 0 && fdatasync(out) == 0);
	ERR(lseek(out, 1L << 40, SEEK_DATA), ENXIO);
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit rl = {100, RLIM_INFINITY}, old;
	getrlimit(RLIMIT_FSIZE, &old);
	CHECK(setrlimit(RLIMIT_FSIZE, &rl) == 0 && ftruncate(out, 0) == 0);
	CHECK(pwrite(out, buf, 200, 0) == 100);
	ERR(pwrite(out, buf, 1, 100), EFBIG);
	ERR(ftruncate(out, 200), EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	close(fd), close(out);
}

static void descriptors(void)
{
	int fd = open("f", O_RDONLY | O_CLOEXEC);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_SETFD, 0) == 0 && fcntl(fd, F_GETFD) == 0);
	int d = fcntl(fd, F_DUPFD, 50);
	CHECK(d == 50 && fcntl(d, F_GETFD) == 0);
	int c = fcntl(fd, F_DUPFD_CLOEXEC, 50);
	CHECK(c == 51 && fcntl(c, F_GETFD) == FD_CLOEXEC);
	CHECK(dup2(fd, 60) == 60 && dup2(60, 60) == 60 && dup3(fd, 61, O_CLOEXEC) == 61 && fcntl(61, F_GETFD) == FD_CLOEXEC);
	ERR(dup3(fd, fd, 0), EINVAL);
	ERR(syscall(SYS_dup3, fd, 62, 1), EINVAL);
	ERR(dup2(99, 60), EBADF);
	ERR(dup2(fd, -1), EBADF);
	ERR(fcntl(fd, F_DUPFD, -1), EINVAL);
	ERR(fcntl(99, F_GETFD), EBADF);
	CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND) == 0 && (fcntl(50, F_GETFL) & (O_NONBLOCK | O_APPEND)) == (O_NONBLOCK | O_APPEND));
	CHECK(syscall(SYS_close_range, 50, 61, 0) == 0);
	ERR(fcntl(60, F_GETFD), EBADF);
	ERR(syscall(SYS_close_range, 5, 4, 0), EINVAL);
	struct rlimit rl, small = {fd + 2, fd + 2};
	getrlimit(RLIMIT_NOFILE, &rl);
	small.rlim_max = rl.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &small) == 0);
	d = dup(fd);
	CHECK(d == fd + 1);
	ERR(dup(fd), EMFILE);
	ERR(open("f", O_RDONLY), EMFILE);
	ERR(pipe((int[2]){0, 0}), EMFILE);
	setrlimit(RLIMIT_NOFILE, &rl);
	close(d), close(fd);
	CHECK(open("f", O_RDONLY) == fd);
	close(fd);
}

static void locks(void)
{
	int a = open("f", O_RDWR), b = open("f", O_RDWR);
	CHECK(flock(a, LOCK_EX) == 0);
	ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	ERR(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	CHECK(flock(a, LOCK_SH) == 0 && flock(b, LOCK_SH | LOCK_NB) == 0 && flock(a, LOCK_UN) == 0 && flock(b, LOCK_EX | LOCK_NB) == 0);
	close(b);
	CHECK(flock(a, LOCK_EX | LOCK_NB) == 0 && flock(a, LOCK_UN) == 0);
	ERR(flock(a, 16), EINVAL);
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
	CHECK(fcntl(a, F_SETLK, &l) == 0);
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		struct flock m = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 15, .l_len = 1};
		ERR(fcntl(a, F_SETLK, &m), EAGAIN);
		CHECK(fcntl(a, F_GETLK, &m) == 0 && m.l_type == F_WRLCK && m.l_start == 10 && m.l_len == 10 && m.l_pid == getppid());
		m = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 20, .l_len = 0};
		CHECK(fcntl(a, F_SETLK, &m) == 0);
		m = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
		CHECK(fcntl(a, F_SETLKW, &m) == 0);
		m = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 12, .l_len = 1};
		CHECK(fcntl(a, F_SETLKW, &m) == 0); // waits for the parent
		_exit(0);
	}
	usleep(50000);
	l.l_type = F_UNLCK;
	CHECK(waitpid(p, &status, WNOHANG) == 0);
	fcntl(a, F_SETLK, &l);
	CHECK(waitpid(p, &status, 0) == p && status == 0);
	l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
	CHECK(fcntl(a, F_GETLK, &l) == 0 && l.l_type == F_UNLCK);
	l.l_type = 9;
	ERR(fcntl(a, F_SETLK, &l), EINVAL);
	close(a);
}

static void unlinked(void)
{
	int fd = open("gone", O_CREAT | O_RDWR, 0644);
	CHECK(write(fd, "still", 5) == 5 && unlink("gone") == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0);
	char link[64], target[200];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, target, sizeof target - 1);
	CHECK(n > 10 && memcmp(target + n - 15, "gone (deleted)", 14) != 0 && memcmp(target + n - 14, "gone (deleted)", 14) == 0);
	int again = open(link, O_RDONLY);
	CHECK(again >= 0 && read(again, buf, 10) == 5 && memcmp(buf, "still", 5) == 0);
	close(fd), close(again);
	int m = syscall(SYS_memfd_create, "note", 0);
	CHECK(m >= 0 && write(m, "x", 1) == 1 && fstat(m, &st) == 0 && st.st_size == 1);
	close(m);
}

static void devices(void)
{
	int fd = open("/dev/null", O_RDWR);
	CHECK(write(fd, "x", 1) == 1 && read(fd, buf, 10) == 0);
	close(fd);
	fd = open("/dev/zero", O_RDONLY);
	buf[0] = 1;
	CHECK(read(fd, buf, 10) == 10 && buf[0] == 0);
	close(fd);
	fd = open("/dev/full", O_WRONLY);
	ERR(write(fd, "x", 1), ENOSPC);
	close(fd);
	fd = open("/dev/urandom", O_RDONLY);
	CHECK(read(fd, buf, 100) == 100);
	CHECK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0x109);
	ERR(ioctl(fd, TIOCGWINSZ, buf), EINVAL);
	close(fd);
	fd = open("f", O_RDONLY);
	ERR(ioctl(fd, TIOCGWINSZ, buf), ENOTTY);
	ERR(ioctl(99, TIOCGWINSZ, buf), EBADF);
	close(fd);
}

int main(void)
{
	char base[64];
	snprintf(base, sizeof base, "/tmp/fileio-%d", getpid());
	CHECK(mkdir(base, 0755) == 0 && chdir(base) == 0);
	offsets();
	big();
	descriptors();
	locks();
	unlinked();
	devices();
	return 0;
}
