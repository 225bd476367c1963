// Handlers, masks, siginfo, alternate stacks, restart, sigwait and timers.
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile int count, last, code;
static volatile pid_t from;
static volatile long value;
static sigset_t during;

static void handler(int sig, siginfo_t *info, void *ctx)
{
	(void)ctx;
	count++;
	last = sig;
	code = info->si_code;
	from = info->si_pid;
	value = (long)info->si_value.sival_ptr;
	sigprocmask(SIG_BLOCK, NULL, &during);
}

static void install(int sig, int flags)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGUSR2);
	CHECK(sigaction(sig, &sa, NULL) == 0);
}

static void basics(void)
{
	install(SIGUSR1, 0);
	raise(SIGUSR1);
	CHECK(count == 1 && last == SIGUSR1 && code == SI_TKILL);
	CHECK(from == getpid());
	CHECK(sigismember(&during, SIGUSR1) && sigismember(&during, SIGUSR2) && !sigismember(&during, SIGINT));
	kill(getpid(), SIGUSR1);
	CHECK(count == 2 && code == SI_USER);
	install(SIGUSR1, SA_NODEFER);
	raise(SIGUSR1);
	CHECK(!sigismember(&during, SIGUSR1));
	install(SIGUSR1, SA_RESETHAND);
	raise(SIGUSR1);
	struct sigaction old;
	sigaction(SIGUSR1, NULL, &old);
	CHECK(old.sa_handler == SIG_DFL);
	ERR(sigaction(SIGKILL, &old, NULL), EINVAL);
	ERR(kill(getpid(), 65), EINVAL);
	ERR(kill(99999999, 0), ESRCH);
}

static void masks(void)
{
	sigset_t set, old, pending;
	install(SIGUSR1, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	count = 0;
	raise(SIGUSR1);
	raise(SIGUSR1);
	CHECK(count == 0);
	sigpending(&pending);
	CHECK(sigismember(&pending, SIGUSR1));
	sigprocmask(SIG_SETMASK, &old, NULL);
	CHECK(count == 1); // standard signals do not queue

	union sigval v = {.sival_ptr = (void *)77};
	install(SIGRTMIN, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	count = 0;
	sigqueue(getpid(), SIGRTMIN, v);
	sigqueue(getpid(), SIGRTMIN, v);
	siginfo_t info;
	struct timespec zero = {0, 0};
	CHECK(sigtimedwait(&set, &info, &zero) == SIGRTMIN && info.si_value.sival_ptr == (void *)77 && info.si_code == SI_QUEUE);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	CHECK(count == 1 && value == 77);
	ERR(sigtimedwait(&set, &info, &zero), EAGAIN);
	install(SIGUSR1, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1);
	count = 0;
	ERR(sigsuspend(&old), EINTR);
	CHECK(count == 1);
	sigprocmask(SIG_BLOCK, NULL, &pending);
	CHECK(sigismember(&pending, SIGUSR1));
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static char stack[65536];
static volatile int on_stack;

static void alt_handler(int sig)
{
	(void)sig;
	char here;
	on_stack = &here >= stack && &here < stack + sizeof stack;
	stack_t s;
	sigaltstack(NULL, &s);
	on_stack += 2 * (s.ss_flags == SS_ONSTACK);
}

static void altstack(void)
{
	stack_t s = {.ss_sp = stack, .ss_size = sizeof stack}, old;
	CHECK(sigaltstack(&s, &old) == 0 && old.ss_flags == SS_DISABLE);
	struct sigaction sa = {.sa_handler = alt_handler, .sa_flags = SA_ONSTACK};
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	CHECK(on_stack == 3);
	s.ss_size = 100;
	ERR(sigaltstack(&s, NULL), ENOMEM);
}

static sigjmp_buf env;
static void jump(int sig) { siglongjmp(env, sig); }

static void faults(void)
{
	struct sigaction sa = {.sa_handler = jump, .sa_flags = SA_NODEFER};
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	volatile int zero = 0;
	switch (sigsetjmp(env, 1)) {
	case 0:
		*(volatile int *)(long)zero = 1;
		printf("FAIL wrote to NULL\n");
		break;
	case SIGSEGV:
		printf("ok SIGSEGV\n");
	}
	switch (sigsetjmp(env, 1)) {
	case 0:
		__asm__ volatile("idivl %0" : : "r"(zero), "a"(1), "d"(0));
		printf("FAIL divided by 0\n");
		break;
	case SIGFPE:
		printf("ok SIGFPE\n");
	}
	switch (sigsetjmp(env, 1)) {
	case 0:
		__asm__ volatile("ud2");
		break;
	case SIGILL:
		printf("ok SIGILL\n");
	}
	fflush(stdout);
}

static void change(int sig, siginfo_t *info, void *ctx)
{
	(void)sig, (void)info;
	ucontext_t *uc = ctx;
	uc->uc_mcontext.gregs[REG_RBX] = 4242;
}

static void context(void)
{
	struct sigaction sa = {.sa_sigaction = change, .sa_flags = SA_SIGINFO};
	sigaction(SIGUSR1, &sa, NULL);
	long rbx = 1, r;
	long pid = getpid();
	__asm__ volatile("syscall" : "=a"(r), "+b"(rbx) : "a"(62L), "D"(pid), "S"((long)SIGUSR1) : "rcx", "r11", "memory");
	CHECK(r == 0 && rbx == 4242);
	double d = 1.5;
	long double ld = 2.25L;
	for (int i = 0; i < 3; i++) {
		raise(SIGUSR1);
		d *= 2, ld *= 2;
	}
	CHECK(d == 12 && ld == 18);
}

static void restart(void)
{
	int fds[2];
	char b;
	CHECK(pipe(fds) == 0);
	for (int flags = 0; flags <= 1; flags++) {
		install(SIGALRM, flags ? SA_RESTART : 0);
		pid_t child = fork();
		if (child == 0) {
			usleep(100000);
			kill(getppid(), SIGALRM);
			usleep(100000);
			if (write(fds[1], "x", 1) != 1)
				_exit(1);
			_exit(0);
		}
		count = 0;
		errno = 0;
		ssize_t n = read(fds[0], &b, 1);
		printf("read with flags %d: %zd %s, handler ran %d times\n", flags, n, n < 0 ? strerror(errno) : "-", count);
		if (n < 0)
			CHECK(read(fds[0], &b, 1) == 1);
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			;
	}
}

static void timers(void)
{
	install(SIGALRM, 0);
	count = 0;
	struct itimerval it = {{0, 10000}, {0, 10000}}, old;
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	while (count < 3)
		pause();
	memset(&it, 0, sizeof it);
	CHECK(setitimer(ITIMER_REAL, &it, &old) == 0 && old.it_interval.tv_usec == 10000);
	CHECK(alarm(100) == 0);
	CHECK(alarm(0) == 100);
	struct timespec ts = {0, 20000000}, a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	CHECK(nanosleep(&ts, NULL) == 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	CHECK((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec >= 20000000);
	ts.tv_nsec = 1000000000;
	ERR(nanosleep(&ts, NULL), EINVAL);
	timer_t t;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 9};
	install(SIGRTMIN + 1, 0);
	count = 0;
	CHECK(timer_create(CLOCK_MONOTONIC, &ev, &t) == 0);
	struct itimerspec its = {{0, 0}, {0, 5000000}};
	CHECK(timer_settime(t, 0, &its, NULL) == 0);
	while (count < 1)
		pause();
	CHECK(code == SI_TIMER && (int)value == 9);
	CHECK(timer_delete(t) == 0);
	count = 0;
	install(SIGVTALRM, 0);
	struct itimerval vt = {{0, 0}, {0, 20000}};
	setitimer(ITIMER_VIRTUAL, &vt, NULL);
	for (volatile long i = 0; !count; i++)
		;
	CHECK(last == SIGVTALRM);
}

int main(void)
{
	basics();
	masks();
	altstack();
	faults();
	context();
	restart();
	timers();
	return 0;
}
