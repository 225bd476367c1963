/* Calls every system call with hostile pointers, lengths and descriptors, in
 * children that are killed if they block. Says "survived" at the end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS 472
#define SEEDS 4
#define ROUNDS 60

static uint64_t state;
static uint64_t rnd(void) {
	state ^= state << 13, state ^= state >> 7, state ^= state << 17;
	return state;
}

static char *page, *last, *readonly, *none;
static int fds[16];

static void prepare(void) {
	page = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(page + 8192, 8192);
	last = page + 8192; /* what lies behind is not mapped */
	readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(page, 'x', 4096);
	strcpy(page, "/tmp/hostile");
	int p[2], n = 0;
	fds[n++] = open("/tmp/hostile", O_RDWR | O_CREAT, 0600);
	fds[n++] = open("/", O_RDONLY);
	fds[n++] = open("/dev/null", O_RDWR);
	fds[n++] = open("/proc/self/maps", O_RDONLY);
	fds[n++] = open("/tmp", O_PATH);
	if (pipe(p) == 0)
		fds[n++] = p[0], fds[n++] = p[1];
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, p) == 0)
		fds[n++] = p[0], fds[n++] = p[1];
	fds[n++] = socket(AF_INET, SOCK_STREAM, 0);
	fds[n++] = socket(AF_INET, SOCK_DGRAM, 0);
	fds[n++] = socket(AF_NETLINK, SOCK_RAW, 0);
	fds[n++] = syscall(SYS_epoll_create1, 0);
	fds[n++] = syscall(SYS_eventfd2, 0, 0);
	fds[n++] = syscall(SYS_timerfd_create, 1, 0);
	fds[n++] = syscall(SYS_inotify_init1, 0);
}

/* value is an argument: an address, a length, a descriptor, flags. */
static uint64_t value(void) {
	const uint64_t odd[] = {0, 1, 2, 7, 8, 16, 255, 4095, 4096, 4097, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff,
		0x100000000, 0xffff0000, 0xfffffff0, 0x7fffffffffff, 0x800000000000, 0x7fffffffffffffff, 0x8000000000000000,
		-1UL, -2UL, -100UL, -4095UL, -4096UL, 0xffff800000000000};
	switch (rnd() % 10) {
	case 0: case 1: return odd[rnd() % (sizeof odd / sizeof *odd)];
	case 2: return (uint64_t)page + rnd() % 64;
	case 3: return (uint64_t)last - rnd() % 16;
	case 4: return (uint64_t)readonly + rnd() % 8;
	case 5: return (uint64_t)none;
	case 6: return fds[rnd() % 16];
	case 7: return 1UL << rnd() % 64;
	case 8: return rnd() % 128;
	}
	return rnd();
}

static int skipped(long nr) {
	switch (nr) {
	case SYS_exit: case SYS_exit_group: /* would end the child */
	case SYS_kill: case SYS_tkill: case SYS_tgkill: case SYS_rt_sigqueueinfo: case SYS_rt_tgsigqueueinfo: case 424: /* would end the parent */
	case SYS_setitimer: case SYS_alarm: case SYS_rt_sigprocmask: case SYS_rt_sigaction: /* keep the child from being killed */
		return 1;
	}
	return 0;
}

static void child(long nr, int seed) {
	struct itimerval t = {.it_value = {0, 100000}};
	signal(SIGALRM, SIG_DFL);
	setitimer(ITIMER_REAL, &t, NULL);
	int null = open("/dev/null", O_RDWR);
	dup2(null, 0), dup2(null, 1), dup2(null, 2);
	prepare();
	state = nr * 1000003 + seed * 7919 + 1;
	pid_t me = getpid();
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t a = value(), b = value(), c = value(), d = value(), e = value(), f = value();
		syscall(nr, a, b, c, d, e, f);
		if (getpid() != me)
			_exit(0); /* a process that the call has made */
	}
	_exit(0);
}

int main(void) {
	int calls = 0, died = 0;
	for (long nr = 0; nr < CALLS; nr++) {
		if (skipped(nr))
			continue;
		calls++;
		for (int seed = 0; seed < SEEDS; seed++) {
			pid_t pid = fork();
			if (pid == 0)
				child(nr, seed);
			if (pid < 0) {
				printf("fork: %s\n", strerror(errno));
				return 1;
			}
			int status;
			while (waitpid(pid, &status, 0) != pid)
				;
			died += WIFSIGNALED(status);
		}
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	printf("%d calls, survived\n", calls);
	fprintf(stderr, "%d children died by a signal\n", died);
	return 0;
}
