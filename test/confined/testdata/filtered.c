/* Says what becomes of system calls that a policy has verdicts on. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static void on_sys(int sig, siginfo_t *info, void *ctx) {
	ucontext_t *u = ctx;
	printf("SIGSYS code %d syscall %d arch %x errno %d rax %lld\n", info->si_code, info->si_syscall, info->si_arch, info->si_errno,
		(long long)u->uc_mcontext.gregs[REG_RAX]);
	u->uc_mcontext.gregs[REG_RAX] = 4711;
}

static void *thread(void *arg) {
	syscall(SYS_getpriority, 7, 0); /* kill-thread */
	puts("the thread lives");
	return arg;
}

static void in_child(const char *what, long nr) {
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		syscall(nr, 7, 0);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	printf("%s: %s %d\n", what, WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

int main(void) {
	struct sigaction sa = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
	sigaction(SIGSYS, &sa, NULL);
	long r = syscall(SYS_sethostname, "x", 1);
	printf("errno: %ld %s\n", r, strerrorname_np(errno));
	errno = 0;
	printf("trap returns %ld\n", syscall(SYS_setdomainname, "x", 1));
	r = syscall(SYS_socket, 16, 3, 0);
	printf("by argument: %ld %s, ", r, strerrorname_np(errno));
	printf("%s\n", syscall(SYS_socket, 1, 1, 0) >= 0 ? "allowed" : "refused");
	printf("logged: %ld\n", syscall(SYS_getpgid, 0) >= 0 ? 0L : -1L);
	pthread_t t;
	pthread_create(&t, NULL, thread, NULL);
	usleep(200000);
	puts("the process lives");
	sa.sa_handler = SIG_DFL;
	sigaction(SIGSYS, &sa, NULL);
	in_child("kill-thread of the only one", SYS_getpriority);
	in_child("kill-process", SYS_setpriority);
	return 0;
}
