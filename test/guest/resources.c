// Locked and sealed memory, asynchronous I/O, and looking into another process.
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

// linux/aio_abi.h
typedef unsigned long aio_context_t;
enum { IOCB_CMD_PREAD, IOCB_CMD_PWRITE, IOCB_FLAG_RESFD = 1 };
struct iocb {
	uint64_t aio_data;
	uint32_t aio_key, aio_rw_flags;
	uint16_t aio_lio_opcode;
	int16_t aio_reqprio;
	uint32_t aio_fildes;
	uint64_t aio_buf, aio_nbytes;
	int64_t aio_offset;
	uint64_t aio_reserved2;
	uint32_t aio_flags, aio_resfd;
};
struct io_event { uint64_t data, obj; int64_t res, res2; };

static long locked(void) {
	char line[256];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f)) sscanf(line, "VmLck: %ld", &kb);
	if (f) fclose(f);
	return kb;
}

static void locking(void) {
	char *p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED && mlock(p + 1, 4096) == 0 && locked() == 8);
	ERR(madvise(p, 4096, MADV_DONTNEED), EINVAL);
	CHECK(munlock(p, 4096) == 0 && locked() == 4 && munlock(p, 8 * 4096) == 0 && locked() == 0);
	ERR(mlockall(0), EINVAL);
	ERR(munlock((void *)(uintptr_t)0x2000, 4096), ENOMEM);
	// A process without the capability has a limit.
	pid_t child = fork();
	if (child == 0) {
		struct rlimit l = {2 * 4096, 2 * 4096};
		CHECK(setrlimit(RLIMIT_MEMLOCK, &l) == 0 && setuid(1000) == 0);
		CHECK(mlock(p, 2 * 4096) == 0);
		ERR(mlock(p + 2 * 4096, 4096), ENOMEM);
		_exit(0);
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void advice(void) {
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ERR(madvise(p, 4096, MADV_WIPEONFORK), EINVAL);
	ERR(madvise(p, 4096, MADV_FREE), EINVAL);
	ERR(madvise(p, 4096, 1212), EINVAL);
	int zero = open("/dev/zero", O_RDONLY);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, zero, 0);
	ERR(mprotect(p, 4096, PROT_READ | PROT_WRITE), EACCES);
}

static void asynchronous(void) {
	aio_context_t ctx = 0;
	ERR(syscall(SYS_io_setup, 0, &ctx), EINVAL);
	CHECK(syscall(SYS_io_setup, 4, &ctx) == 0 && ctx != 0);
	int fd = memfd_create("aio", 0), done = eventfd(0, 0);
	char buf[16] = "written", back[16] = "";
	struct iocb w = {.aio_data = 1, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = fd, .aio_buf = (uintptr_t)buf, .aio_nbytes = 8,
		.aio_flags = IOCB_FLAG_RESFD, .aio_resfd = done};
	struct iocb r = {.aio_data = 2, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_buf = (uintptr_t)back, .aio_nbytes = 16};
	struct iocb *list[] = {&w};
	struct io_event e[4];
	CHECK(syscall(SYS_io_submit, ctx, 1, list) == 1 && syscall(SYS_io_getevents, ctx, 1, 4, e, NULL) == 1);
	CHECK(e[0].data == 1 && e[0].res == 8 && e[0].obj == (uintptr_t)&w);
	uint64_t n = 0;
	CHECK(read(done, &n, 8) == 8 && n == 1);
	list[0] = &r;
	CHECK(syscall(SYS_io_submit, ctx, 1, list) == 1 && syscall(SYS_io_getevents, ctx, 1, 4, e, NULL) == 1 && e[0].res == 8);
	CHECK(strcmp(back, "written") == 0);
	struct timespec none = {0, 0};
	CHECK(syscall(SYS_io_getevents, ctx, 1, 4, e, &none) == 0);
	r.aio_fildes = -1;
	ERR(syscall(SYS_io_submit, ctx, 1, list), EBADF);
	ERR(syscall(SYS_io_submit, ctx, -1L, list), EINVAL);
	ERR(syscall(SYS_io_getevents, ctx, 2, 1, e, NULL), EINVAL);
	CHECK(syscall(SYS_io_destroy, ctx) == 0);
	ERR(syscall(SYS_io_destroy, ctx), EINVAL);
}

static void inspecting(void) {
	char secret[8] = "parent", got[8] = "";
	int pair[2];
	CHECK(pipe(pair) == 0);
	pid_t child = fork();
	if (child == 0) {
		strcpy(secret, "child");
		if (write(pair[1], "x", 1) != 1) _exit(1);
		pause();
	}
	CHECK(read(pair[0], got, 1) == 1);
	struct iovec local = {got, 8}, remote = {secret, 8};
	CHECK(process_vm_readv(child, &local, 1, &remote, 1, 0) == 8 && strcmp(got, "child") == 0);
	strcpy(got, "wrote");
	CHECK(process_vm_writev(child, &local, 1, &remote, 1, 0) == 8 && strcmp(secret, "parent") == 0);
	ERR(process_vm_readv(1 << 21, &local, 1, &remote, 1, 0), ESRCH);
	CHECK(syscall(SYS_kcmp, getpid(), child, 0, pair[0], pair[0]) == 0);
	CHECK(syscall(SYS_kcmp, getpid(), child, 0, pair[0], pair[1]) > 0);
	CHECK(syscall(SYS_kcmp, getpid(), child, 1, 0, 0) > 0 && syscall(SYS_kcmp, getpid(), getpid(), 1, 0, 0) == 0);
	int pidfd = syscall(434, child, 0), fd = syscall(438, pidfd, pair[1], 0);
	CHECK(fd >= 0 && write(fd, "y", 1) == 1 && read(pair[0], got, 1) == 1 && got[0] == 'y');
	ERR(syscall(438, pidfd, 999, 0), EBADF);
	kill(child, SIGKILL);
	int status;
	CHECK(waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGKILL);
}

// Sets of epoll may lie in one another up to a depth, and not in a circle.
static void nesting(void) {
	int pair[2], set[6];
	CHECK(pipe(pair) == 0);
	struct epoll_event ev = {.events = EPOLLIN};
	int inner = pair[0];
	for (int i = 0; i < 5; i++) {
		set[i] = epoll_create1(0);
		CHECK(epoll_ctl(set[i], EPOLL_CTL_ADD, inner, &ev) == 0);
		inner = set[i];
	}
	CHECK(write(pair[1], "x", 1) == 1 && epoll_wait(set[4], &ev, 1, 1000) == 1);
	ERR(epoll_ctl(set[0], EPOLL_CTL_ADD, set[4], &ev), ELOOP);
	ERR(epoll_ctl(set[0], EPOLL_CTL_ADD, set[0], &ev), EINVAL);
	int path = open("/tmp", O_PATH);
	ERR(epoll_ctl(set[0], EPOLL_CTL_ADD, path, &ev), EBADF);
}

static pthread_mutex_t pi;
static int held;

static void *locker(void *arg) {
	pthread_mutex_lock(&pi);
	held++;
	pthread_mutex_unlock(&pi);
	return arg;
}

static void inheriting(void) {
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	CHECK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT) == 0);
	CHECK(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK) == 0 && pthread_mutex_init(&pi, &attr) == 0);
	CHECK(pthread_mutex_lock(&pi) == 0 && pthread_mutex_trylock(&pi) == EBUSY && pthread_mutex_lock(&pi) == EDEADLK);
	pthread_t t[3];
	for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, locker, NULL);
	usleep(50000);
	CHECK(held == 0 && pthread_mutex_unlock(&pi) == 0);
	for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
	CHECK(held == 3 && pthread_mutex_lock(&pi) == 0 && pthread_mutex_unlock(&pi) == 0);
}

static void priorities(void) {
	ERR(getpriority(PRIO_PGRP, -1), ESRCH);
	ERR(setpriority(PRIO_USER, 12345, 1), ESRCH);
	CHECK(setpriority(PRIO_PROCESS, 0, 3) == 0 && getpriority(PRIO_PROCESS, 0) == 3);
	CHECK(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 3) == 0 && syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 3));
	ERR(syscall(SYS_ioprio_set, 1, 0, 5 << 13), EINVAL);
	CHECK(syscall(SYS_membarrier, 0, 0, 0) > 0 && syscall(SYS_membarrier, 16, 0, 0) == 0 && syscall(SYS_membarrier, 8, 0, 0) == 0);
	CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0) == 0);
	ERR(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0), EINVAL);
	ERR(prctl(PR_SET_TIMING, 1, 0, 0, 0), EINVAL);
}

int main(void) {
	locking();
	advice();
	asynchronous();
	inspecting();
	nesting();
	inheriting();
	priorities();
	return 0;
}
