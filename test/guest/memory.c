// brk, mmap, mremap, mprotect, madvise, shared memory across fork.
#include "check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

static void *anon(size_t n, int prot, int flags)
{
	return mmap(NULL, n, prot, MAP_ANONYMOUS | flags, -1, 0);
}

// musl's brk and sbrk always fail.
static char *brk_to(char *to) { return (char *)syscall(SYS_brk, to); }

int main(void)
{
	char *p = anon(3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	CHECK(p != MAP_FAILED && ((long)p & (PAGE - 1)) == 0 && p[0] == 0 && p[3 * PAGE - 1] == 0);
	memset(p, 'x', 3 * PAGE);
	CHECK(munmap(p + PAGE, PAGE) == 0);
	CHECK(p[0] == 'x' && p[2 * PAGE] == 'x');
	ERR(msync(p, 3 * PAGE, MS_SYNC), ENOMEM);
	CHECK(mmap(p + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + PAGE);
	CHECK(p[PAGE] == 0);
	ERR(mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	ERR(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0), EBADF);
	ERR(munmap(p + 1, PAGE), EINVAL);

	CHECK(madvise(p, PAGE, MADV_DONTNEED) == 0 && p[0] == 0);
	memset(p, 'y', 3 * PAGE);
	char *q = mremap(p, 3 * PAGE, 40 * PAGE, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && q[0] == 'y' && q[3 * PAGE - 1] == 'y' && q[3 * PAGE] == 0 && q[40 * PAGE - 1] == 0);
	CHECK(mremap(q, 40 * PAGE, PAGE, 0) == q && q[0] == 'y');
	ERR(mremap(q + PAGE, PAGE, 2 * PAGE, 0), EFAULT);

	// The kernel's own accesses follow protections.
	int fds[2];
	CHECK(pipe(fds) == 0);
	CHECK(mprotect(q, PAGE, PROT_READ) == 0);
	CHECK(write(fds[1], q, 5) == 5);
	ERR(read(fds[0], q, 5), EFAULT);
	CHECK(mprotect(q, PAGE, PROT_NONE) == 0);
	ERR(write(fds[1], q, 5), EFAULT);
	CHECK(mprotect(q, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(read(fds[0], q + 10, 5) == 5 && q[12] == 'y');
	ERR(syscall(SYS_mprotect, q + 1, PAGE, PROT_READ), EINVAL);

	char *old = brk_to(0), *up = (char *)(((long)old + PAGE - 1) & -PAGE);
	CHECK(brk_to(up + 2 * PAGE) == up + 2 * PAGE && up[0] == 0 && up[2 * PAGE - 1] == 0);
	up[PAGE] = 1;
	CHECK(brk_to(up) == up);
	CHECK(brk_to(up + 2 * PAGE) == up + 2 * PAGE && up[PAGE] == 0);
	CHECK(brk_to((char *)4096) == up + 2 * PAGE);

	int *s = anon(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	int *priv = anon(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	s[0] = priv[0] = 1;
	pid_t c = fork();
	if (c == 0) {
		s[1] = s[0] + 41;
		priv[0] = 2;
		_exit(0);
	}
	waitpid(c, NULL, 0);
	CHECK(s[1] == 42 && priv[0] == 1);

	// A file, private and shared.
	int fd = open("map-test", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, 2 * PAGE) == 0 && pwrite(fd, "hello", 5, PAGE) == 5);
	char *f = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, PAGE);
	CHECK(f != MAP_FAILED && memcmp(f, "hello", 6) == 0);
	f[0] = 'j';
	char b[6] = "";
	CHECK(pread(fd, b, 5, PAGE) == 5 && strcmp(b, "hello") == 0);
	char *g = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(g != MAP_FAILED && memcmp(g + PAGE, "hello", 5) == 0);
	c = fork();
	if (c == 0) {
		g[PAGE] = 'J';
		_exit(0);
	}
	waitpid(c, NULL, 0);
	CHECK(g[PAGE] == 'J');
	CHECK(msync(g, 2 * PAGE, MS_SYNC) == 0);
	CHECK(pread(fd, b, 5, PAGE) == 5 && strcmp(b, "Jello") == 0);
	CHECK(munmap(g, 2 * PAGE) == 0);
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1), EINVAL);
	close(fd);
	fd = open("map-test", O_WRONLY);
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), EACCES);
	unlink("map-test");

	unsigned char vec[4];
	char *r = anon(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	r[2 * PAGE] = 1;
	CHECK(mincore(r, 4 * PAGE, vec) == 0 && (vec[2] & 1));
	munmap(r, 4 * PAGE);
	ERR(mincore(r, 4 * PAGE, vec), ENOMEM);

	struct rlimit rl;
	CHECK(getrlimit(RLIMIT_STACK, &rl) == 0 && rl.rlim_cur >= 1 << 20);
	getrlimit(RLIMIT_DATA, &rl);
	rl.rlim_cur = 1 << 20;
	CHECK(setrlimit(RLIMIT_DATA, &rl) == 0);
	CHECK(brk_to(up + (64 << 20)) == up + 2 * PAGE);
	return 0;
}
