// openat2's RESOLVE_ flags, deadlocks of POSIX locks, and what a write takes
// from a set-user-ID file.
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct how { uint64_t flags, mode, resolve; };
enum { NO_XDEV = 1, NO_MAGICLINKS = 2, NO_SYMLINKS = 4, BENEATH = 8, IN_ROOT = 16 };

static int at2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
	struct how how = {flags, mode, resolve};
	int fd = syscall(437, dir, path, &how, sizeof how);
	if (fd >= 0) close(fd);
	return fd < 0 ? -1 : 0;
}

static void resolving(void) {
	char dir[] = "/tmp/resolveXXXXXX";
	CHECK(mkdtemp(dir) && chdir(dir) == 0 && mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0);
	CHECK(close(creat("d/f", 0644)) == 0 && close(creat("g", 0644)) == 0);
	CHECK(symlink("f", "d/link") == 0 && symlink("/etc", "d/abs") == 0 && symlink("../g", "d/up") == 0 && symlink("/f", "d/root") == 0);
	int d = open("d", O_PATH | O_DIRECTORY);
	CHECK(at2(d, "f", O_RDONLY, 0, BENEATH) == 0 && at2(d, "e/../f", O_RDONLY, 0, BENEATH) == 0);
	CHECK(at2(d, "link", O_RDONLY, 0, BENEATH) == 0);
	ERR(at2(d, "../g", O_RDONLY, 0, BENEATH), EXDEV);
	ERR(at2(d, "up", O_RDONLY, 0, BENEATH), EXDEV);
	ERR(at2(d, "abs", O_RDONLY, 0, BENEATH), EXDEV);
	ERR(at2(d, "/etc", O_RDONLY, 0, BENEATH), EXDEV);
	CHECK(at2(d, "root", O_RDONLY, 0, IN_ROOT) == 0 && at2(d, "../../f", O_RDONLY, 0, IN_ROOT) == 0);
	ERR(at2(d, "abs", O_RDONLY, 0, IN_ROOT), ENOENT);
	ERR(at2(d, "link", O_RDONLY, 0, NO_SYMLINKS), ELOOP);
	CHECK(at2(d, "link", O_PATH | O_NOFOLLOW, 0, NO_SYMLINKS) == 0);
	ERR(at2(AT_FDCWD, "/proc/self/fd/0", O_RDONLY, 0, NO_MAGICLINKS), ELOOP);
	ERR(at2(AT_FDCWD, "/proc/version", O_RDONLY, 0, NO_XDEV), EXDEV);
	CHECK(at2(d, "e", O_RDONLY, 0, NO_XDEV) == 0);
	ERR(at2(d, "f", O_RDONLY, 0, BENEATH | IN_ROOT), EINVAL);
	ERR(at2(d, "f", O_RDONLY, 0600, 0), EINVAL);
	ERR(at2(d, "f", O_RDONLY | 1ull << 40, 0, 0), EINVAL);
	ERR(at2(d, "f", O_RDONLY, 0, 1 << 20), EINVAL);
	char big[32] = {0};
	CHECK(syscall(437, d, "f", big, sizeof big) >= 0);
	big[31] = 1;
	ERR(syscall(437, d, "f", big, sizeof big), E2BIG);
	ERR(syscall(437, d, "f", big, 8), EINVAL);
}

static int lock(int fd, short type, off_t start, int cmd) {
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
	return fcntl(fd, cmd, &l);
}

// Two processes want each other's lock: one of them is told.
static void deadlock(void) {
	int fd = open("locks", O_RDWR | O_CREAT, 0600), go[2];
	CHECK(fd >= 0 && pipe(go) == 0 && lock(fd, F_WRLCK, 0, F_SETLK) == 0);
	pid_t child = fork();
	if (child == 0) {
		if (lock(fd, F_WRLCK, 1, F_SETLK) != 0 || write(go[1], "x", 1) != 1) _exit(1);
		_exit(lock(fd, F_WRLCK, 0, F_SETLKW) == 0 ? 2 : 3);
	}
	char c;
	CHECK(read(go[0], &c, 1) == 1);
	usleep(100000);
	ERR(lock(fd, F_WRLCK, 1, F_SETLKW), EDEADLK);
	CHECK(lock(fd, F_UNLCK, 0, F_SETLK) == 0);
	int status;
	CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 2);
}

static int bits(int fd) {
	struct stat st;
	return fstat(fd, &st) == 0 ? st.st_mode & 07777 : -1;
}

static void privileges(void) {
	int fd = open("suid", O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && fchown(fd, 1000, 1000) == 0 && fchmod(fd, 06755) == 0 && bits(fd) == 06755);
	CHECK(write(fd, "x", 1) == 1 && bits(fd) == 06755); // by CAP_FSETID
	pid_t child = fork();
	if (child == 0) {
		if (setgid(1000) || setuid(1000)) _exit(9);
		CHECK(pwrite(fd, "y", 1, 0) == 1 && bits(fd) == 0755);
		CHECK(fchmod(fd, 06745) == 0 && ftruncate(fd, 0) == 0 && bits(fd) == 02745);
		CHECK(fchmod(fd, 02765) == 0 && write(fd, "z", 1) == 1 && bits(fd) == 02765);
		_exit(0);
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(fchmod(fd, 04755) == 0 && fchown(fd, 1, 1) == 0 && bits(fd) == 0755);
}

int main(void) {
	resolving();
	deadlock();
	privileges();
	return 0;
}
