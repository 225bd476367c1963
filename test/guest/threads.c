// Threads: create, join, mutexes, condition variables, signals, exec.
#include "check.h"
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int total, turn;
static _Thread_local int local;

static void *adds(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&mu);
		total++;
		pthread_mutex_unlock(&mu);
		local++;
	}
	return (void *)(long)(local + (long)arg);
}

static void *ping(void *arg)
{
	long me = (long)arg;
	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&mu);
		while (turn != me)
			pthread_cond_wait(&cond, &mu);
		turn = !me;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mu);
	}
	return NULL;
}

static volatile pthread_t ran_on;
static void handler(int sig)
{
	(void)sig;
	ran_on = pthread_self();
}

static sem_t ready;
static void *sleeps(void *arg)
{
	(void)arg;
	sem_post(&ready);
	while (!ran_on)
		usleep(1000);
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		printf("after exec: pid is tid %d\n", getpid() == syscall(SYS_gettid));
		return 0;
	}
	pthread_t t[8];
	for (long i = 0; i < 8; i++)
		CHECK(pthread_create(&t[i], NULL, adds, (void *)i) == 0);
	for (long i = 0; i < 8; i++) {
		void *r;
		pthread_join(t[i], &r);
		CHECK((long)r == 2000 + i);
	}
	CHECK(total == 16000 && local == 0);
	pthread_create(&t[0], NULL, ping, (void *)0);
	pthread_create(&t[1], NULL, ping, (void *)1);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	CHECK(turn == 0);

	sem_init(&ready, 0, 0);
	signal(SIGUSR1, handler);
	pthread_create(&t[0], NULL, sleeps, NULL);
	sem_wait(&ready);
	CHECK(pthread_kill(t[0], SIGUSR1) == 0);
	pthread_join(t[0], NULL);
	CHECK(ran_on == t[0]);

	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_t rec;
	pthread_mutex_init(&rec, &attr);
	CHECK(pthread_mutex_lock(&rec) == 0 && pthread_mutex_lock(&rec) == 0);
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 20000000;
	if (ts.tv_nsec >= 1000000000)
		ts.tv_sec++, ts.tv_nsec -= 1000000000;
	CHECK(sem_timedwait(&ready, &ts) == -1 && errno == ETIMEDOUT);

	pid_t p = fork();
	if (p == 0) {
		pthread_create(&t[0], NULL, (void *(*)(void *))pause, NULL);
		char *av[] = {argv[0], "exec", NULL};
		execv(argv[0], av);
		_exit(1);
	}
	int status;
	waitpid(p, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	p = fork();
	if (p == 0) {
		pthread_create(&t[0], NULL, (void *(*)(void *))pause, NULL);
		syscall(SYS_exit_group, 6);
	}
	waitpid(p, &status, 0);
	CHECK(WEXITSTATUS(status) == 6);
	return 0;
}
