// fork, vfork, exec, wait, groups, sessions, stops, orphans.
#include "check.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int status;

static pid_t child(void (*f)(void))
{
	pid_t p = fork();
	if (p == 0) {
		f();
		_exit(0);
	}
	return p;
}

static void seven(void) { _exit(7); }
static void killed(void) { raise(SIGKILL); }
static void aborts(void) { abort(); }
static void waits(void) { for (;;) pause(); }

static void waiting(void)
{
	ERR(wait(NULL), ECHILD);
	pid_t p = child(seven);
	CHECK(waitpid(p, &status, 0) == p && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	p = child(killed);
	CHECK(waitpid(-1, &status, 0) == p && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	p = child(aborts);
	CHECK(waitpid(0, &status, 0) == p && WTERMSIG(status) == SIGABRT);
	p = child(waits);
	CHECK(waitpid(p, &status, WNOHANG) == 0);
	kill(p, SIGSTOP);
	CHECK(waitpid(p, &status, WUNTRACED) == p && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	kill(p, SIGCONT);
	CHECK(waitpid(p, &status, WCONTINUED) == p && WIFCONTINUED(status));
	siginfo_t info;
	kill(p, SIGTERM);
	CHECK(waitid(P_PID, p, &info, WEXITED | WNOWAIT) == 0 && info.si_pid == p && info.si_code == CLD_KILLED && info.si_status == SIGTERM);
	struct rusage ru;
	CHECK(wait4(p, &status, 0, &ru) == p);
	ERR(waitpid(p, &status, 0), ECHILD);
	ERR(waitpid(-1, &status, 12345678), EINVAL);
	signal(SIGCHLD, SIG_IGN);
	child(seven);
	ERR(wait(NULL), ECHILD);
	signal(SIGCHLD, SIG_DFL);
}

static void report(void) { _exit(getpgrp() == getpid() ? 1 : 2); }

static void groups(void)
{
	CHECK(getpgid(0) == getpgrp());
	pid_t p = child(waits);
	CHECK(setpgid(p, p) == 0 && getpgid(p) == p);
	CHECK(waitpid(-p, &status, WNOHANG) == 0);
	CHECK(killpg(p, SIGKILL) == 0);
	CHECK(waitpid(-p, &status, 0) == p);
	p = child(report);
	waitpid(p, &status, 0);
	CHECK(WEXITSTATUS(status) == 2);
	int fds[2];
	CHECK(pipe(fds) == 0);
	p = fork();
	if (p == 0) {
		int ok = setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid();
		ok = ok && setsid() == -1 && errno == EPERM && setpgid(0, 0) == -1 && errno == EPERM;
		_exit(ok);
	}
	waitpid(p, &status, 0);
	CHECK(WEXITSTATUS(status) == 1);
	// A process that exits hangs up no group that it did not keep from being an
	// orphan, though there is a stopped process in it.
	p = fork();
	if (p == 0) {
		setsid();
		pid_t stopped = child(waits);
		kill(stopped, SIGSTOP);
		waitpid(stopped, &status, WUNTRACED);
		waitpid(child(seven), &status, 0);
		kill(stopped, SIGKILL);
		waitpid(stopped, &status, 0);
		_exit(WTERMSIG(status));
	}
	waitpid(p, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == SIGKILL);
	ERR(getsid(99999999), ESRCH);
	ERR(setpgid(0, -1), EINVAL);
}

static void subreaper(void)
{
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	pid_t me = getpid();
	pid_t p = fork();
	if (p == 0) {
		if (fork() == 0) {
			while (getppid() != me)
				usleep(1000);
			_exit(33);
		}
		_exit(0);
	}
	waitpid(p, &status, 0);
	CHECK(wait(&status) > 0 && WEXITSTATUS(status) == 33);
}

static volatile int shared;

static void sharing(void)
{
	shared = 1;
	pid_t p = fork();
	if (p == 0) {
		shared = 2;
		_exit(0);
	}
	waitpid(p, &status, 0);
	CHECK(shared == 1);
	p = vfork();
	if (p == 0) {
		shared = 3;
		_exit(0);
	}
	CHECK(shared == 3);
	waitpid(p, &status, 0);
}

static void on_signal(int sig) { (void)sig; }

static void executing(char *self)
{
	ERR(execl("/nonexistent", "x", NULL), ENOENT);
	ERR(execl("/", "x", NULL), EACCES);
	int fd = open("/tmp", O_RDONLY);
	int kept = open("/tmp", O_RDONLY);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	char a[16], b[16];
	sprintf(a, "%d", fd);
	sprintf(b, "%d", kept);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, on_signal);
	fflush(stdout);
	char *argv[] = {"renamed", "again", a, b, NULL}, *env[] = {"ONLY=this", NULL};
	pid_t p = vfork();
	if (p == 0) {
		execve(self, argv, env);
		_exit(99);
	}
	waitpid(p, &status, 0);
	CHECK(WEXITSTATUS(status) == 0);
}

extern char **environ;

static int again(char **argv)
{
	struct sigaction sa;
	printf("%s, environment %s\n", argv[0], environ[0]);
	CHECK(environ[1] == NULL);
	ERR(fcntl(atoi(argv[2]), F_GETFD), EBADF);
	CHECK(fcntl(atoi(argv[3]), F_GETFD) == 0);
	sigaction(SIGUSR1, NULL, &sa);
	CHECK(sa.sa_handler == SIG_IGN);
	sigaction(SIGUSR2, NULL, &sa);
	CHECK(sa.sa_handler == SIG_DFL);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return again(argv);
	waiting();
	groups();
	subreaper();
	sharing();
	executing(argv[0]);
	return 5;
}
