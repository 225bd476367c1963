// Ids, limits, names, clocks and other facts.
#include "check.h"
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void as_root(void)
{
	gid_t list[2] = {10, 20}, got[4];
	CHECK(setgroups(2, list) == 0 && getgroups(4, got) == 2 && got[1] == 20);
	ERR(getgroups(1, got), EINVAL);
	CHECK(setresgid(100, 101, 102) == 0);
	gid_t r, e, s;
	CHECK(getresgid(&r, &e, &s) == 0 && r == 100 && e == 101 && s == 102);
	CHECK(setresuid(1000, 1001, 1002) == 0);
	uid_t a, b, c;
	CHECK(getresuid(&a, &b, &c) == 0 && a == 1000 && b == 1001 && c == 1002);
	ERR(setuid(0), EPERM);
	CHECK(seteuid(1002) == 0 && geteuid() == 1002);
	ERR(setgroups(0, NULL), EPERM);
	ERR(sethostname("x", 1), EPERM);
}

int main(void)
{
	struct utsname u;
	CHECK(uname(&u) == 0 && strcmp(u.sysname, "Linux") == 0 && strcmp(u.machine, "x86_64") == 0);
	char b[32], zero[32] = "";
	CHECK(getrandom(b, sizeof b, 0) == sizeof b && memcmp(b, zero, sizeof b) != 0);
	ERR(getrandom(b, 1, 0x100), EINVAL);
	CHECK(prctl(PR_SET_NAME, "a-name-that-is-too-long") == 0 && prctl(PR_GET_NAME, b) == 0);
	printf("name %s\n", b);
	CHECK(prctl(PR_GET_DUMPABLE) == 1);
	ERR(prctl(9999, 0, 0, 0, 0), EINVAL);
	struct rlimit rl;
	CHECK(getrlimit(RLIMIT_NOFILE, &rl) == 0);
	rl.rlim_cur = 50;
	CHECK(setrlimit(RLIMIT_NOFILE, &rl) == 0 && getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur == 50);
	rl.rlim_cur = rl.rlim_max + 1;
	if (rl.rlim_max != RLIM_INFINITY)
		ERR(setrlimit(RLIMIT_NOFILE, &rl), EINVAL);
	ERR(getrlimit(99, &rl), EINVAL);
	struct timespec ts, t2;
	CHECK(clock_gettime(CLOCK_REALTIME, &ts) == 0 && ts.tv_sec > 1500000000);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &ts) == 0 && clock_gettime(CLOCK_MONOTONIC, &t2) == 0 &&
	      (t2.tv_sec > ts.tv_sec || t2.tv_nsec >= ts.tv_nsec));
	CHECK(clock_getres(CLOCK_MONOTONIC, &ts) == 0 && ts.tv_sec == 0 && ts.tv_nsec == 1);
	ERR(clock_gettime(99, &ts), EINVAL);
	struct timeval tv;
	CHECK(gettimeofday(&tv, NULL) == 0 && tv.tv_sec > 1500000000);
	CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0);
	struct tms tms;
	CHECK(times(&tms) != -1);
	struct rusage ru;
	CHECK(getrusage(RUSAGE_SELF, &ru) == 0 && ru.ru_maxrss > 0);
	ERR(getrusage(5, &ru), EINVAL);
	struct sysinfo si;
	CHECK(sysinfo(&si) == 0 && si.totalram > 0 && si.mem_unit > 0);
	cpu_set_t set;
	CHECK(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0);
	CHECK(sched_yield() == 0);
	int niceness = getpriority(PRIO_PROCESS, 0);
	CHECK(nice(3) == niceness + 3 && getpriority(PRIO_PROCESS, 0) == niceness + 3);
	if (getuid() == 0) {
		pid_t p = fork();
		if (p == 0) {
			as_root();
			_exit(0);
		}
		waitpid(p, NULL, 0);
	}
	return 0;
}
