// Seals of memfd_create(2), and files whose mappings, reads and writes see one
// another.
#include "check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

static void seals(void) {
	int fd = memfd_create("a", 0);
	CHECK(fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL);
	ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	int pipes[2];
	CHECK(pipe(pipes) == 0);
	ERR(fcntl(pipes[0], F_GET_SEALS), EINVAL);

	fd = memfd_create("b", MFD_ALLOW_SEALING);
	CHECK(fd >= 0 && fcntl(fd, F_GET_SEALS) == 0 && ftruncate(fd, 8192) == 0);
	ERR(fcntl(fd, F_ADD_SEALS, 0x100), EINVAL);
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	ERR(ftruncate(fd, 4096), EPERM);
	ERR(ftruncate(fd, 8193), EPERM);
	CHECK(ftruncate(fd, 8192) == 0);
	static char page[4096];
	CHECK(pwrite(fd, page, 4096, 4096) == 4096);
	ERR(pwrite(fd, page, 1, 8192), EPERM);
	CHECK(pwrite(fd, page, 4096, 6144) == 2048 || errno == EPERM);
	ERR(fallocate(fd, 0, 8192, 1), EPERM);

	char *p = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	CHECK(mprotect(p, 4096, PROT_READ | PROT_WRITE) == 0 && munmap(p, 8192) == 0);
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
	ERR(write(fd, "x", 1), EPERM);
	ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EPERM);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED && (p[0] = 1));
	ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), EPERM);
	CHECK(fcntl(fd, F_GET_SEALS) == (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));

	fd = memfd_create("c", MFD_ALLOW_SEALING);
	CHECK(ftruncate(fd, 4096) == 0);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
	p[10] = 'm';
	char c = 0;
	CHECK(pread(fd, &c, 1, 10) == 1 && c == 'm');
	ERR(pwrite(fd, "x", 1, 0), EPERM);
	CHECK(munmap(p, 4096) == 0 && pread(fd, &c, 1, 10) == 1 && c == 'm');
}

static void coherence(void) {
	char name[] = "/tmp/coherenceXXXXXX", b[16];
	int fd = mkstemp(name);
	CHECK(fd >= 0 && unlink(name) == 0);
	CHECK(write(fd, "abcdefgh", 8) == 8);
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && memcmp(p, "abcdefgh", 9) == 0);
	CHECK(pwrite(fd, "XY", 2, 2) == 2 && memcmp(p, "abXYefgh", 8) == 0);
	p[0] = 'P';
	CHECK(pread(fd, b, 8, 0) == 8 && memcmp(b, "PbXYefgh", 8) == 0);
	// A file that grows has zeroes where a mapping wrote behind its end.
	p[9] = 'z';
	CHECK(pwrite(fd, "E", 1, 12) == 1 && pread(fd, b, 16, 0) == 13 && memcmp(b + 8, "\0\0\0\0E", 5) == 0 && p[12] == 'E');
	CHECK(ftruncate(fd, 4) == 0 && ftruncate(fd, 8) == 0 && memcmp(p, "PbXY\0\0\0\0", 8) == 0);
	int ro = fcntl(fd, F_DUPFD, 10);
	pid_t child = fork();
	if (child == 0) {
		p[1] = 'C';
		_exit(pwrite(ro, "D", 1, 3) == 1 ? 3 : 1);
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 3);
	CHECK(memcmp(p, "PCXD", 4) == 0 && pread(fd, b, 4, 0) == 4 && memcmp(b, "PCXD", 4) == 0);
	CHECK(munmap(p, 8192) == 0 && pread(fd, b, 4, 0) == 4 && memcmp(b, "PCXD", 4) == 0);
}

static void readonly(void) {
	char name[] = "/tmp/readonlyXXXXXX";
	int fd = mkstemp(name), ro = open(name, O_RDONLY);
	CHECK(fd >= 0 && ro >= 0 && unlink(name) == 0 && ftruncate(fd, 4096) == 0);
	char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, ro, 0);
	CHECK(p != MAP_FAILED);
	ERR(mprotect(p, 4096, PROT_READ | PROT_WRITE), EACCES);
	CHECK(mprotect(p, 4096, PROT_NONE) == 0);
}

int main(void) {
	seals();
	coherence();
	readonly();
	return 0;
}
