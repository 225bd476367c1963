// System V message queues, semaphores and shared memory.
#include "check.h"
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
};

static void messages(void) {
	key_t key = 0x51000000 + getpid();
	ERR(msgget(key, 0600), ENOENT);
	int q = msgget(key, IPC_CREAT | IPC_EXCL | 0600);
	CHECK(q >= 0 && msgget(key, 0) == q);
	ERR(msgget(key, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	struct { long type; char text[32]; } m = {3, "three"}, r;
	CHECK(msgsnd(q, &m, 6, 0) == 0);
	m.type = 1;
	strcpy(m.text, "one");
	CHECK(msgsnd(q, &m, 4, 0) == 0);
	struct msqid_ds ds;
	CHECK(msgctl(q, IPC_STAT, &ds) == 0 && ds.msg_qnum == 2 && ds.msg_lspid == getpid() && ds.msg_perm.mode == 0600);
	CHECK(msgrcv(q, &r, sizeof r.text, -2, 0) == 4 && r.type == 1);
	ERR(msgrcv(q, &r, sizeof r.text, 9, IPC_NOWAIT), ENOMSG);
	ERR(msgrcv(q, &r, 2, 0, 0), E2BIG);
	CHECK(msgrcv(q, &r, 2, 0, MSG_NOERROR) == 2 && r.type == 3);
	m.type = 0;
	ERR(msgsnd(q, &m, 4, 0), EINVAL);
	m.type = 1;
	static struct { long type; char text[8192]; } big = {1};
	CHECK(msgsnd(q, &big, 8192, IPC_NOWAIT) == 0 && msgsnd(q, &big, 8192, IPC_NOWAIT) == 0);
	ERR(msgsnd(q, &m, 1, IPC_NOWAIT), EAGAIN);
	pid_t child = fork();
	if (child == 0) _exit(msgsnd(q, &m, 4, 0) == 0 ? 7 : 1);
	usleep(50000);
	CHECK(msgrcv(q, &big, 8192, 0, 0) == 8192);
	int status;
	CHECK(wait(&status) == child && WEXITSTATUS(status) == 7);
	if (fork() == 0) _exit(msgrcv(q, &r, 32, 99, 0) == -1 && errno == EIDRM ? 8 : 1);
	usleep(50000);
	CHECK(msgctl(q, IPC_RMID, NULL) == 0);
	CHECK(wait(&status) > 0 && WEXITSTATUS(status) == 8);
	ERR(msgctl(q, IPC_STAT, &ds), EINVAL);
}

static void semaphores(void) {
	int s = semget(IPC_PRIVATE, 2, 0600);
	union semun u = {.val = 2};
	CHECK(s >= 0 && semctl(s, 0, SETVAL, u) == 0 && semctl(s, 0, GETVAL) == 2);
	struct sembuf down[2] = {{0, -1, 0}, {1, 1, 0}};
	CHECK(semop(s, down, 2) == 0 && semctl(s, 0, GETVAL) == 1 && semctl(s, 1, GETVAL) == 1);
	CHECK(semctl(s, 0, GETPID) == getpid());
	struct sembuf too = {0, -5, IPC_NOWAIT}, zero = {0, 0, IPC_NOWAIT}, range = {7, 1, 0};
	ERR(semop(s, &too, 1), EAGAIN);
	ERR(semop(s, &zero, 1), EAGAIN);
	ERR(semop(s, &range, 1), EFBIG);
	ERR(semop(s, &zero, 0), EINVAL);
	struct timespec t = {0, 20000000};
	too.sem_flg = 0;
	ERR(semtimedop(s, &too, 1, &t), EAGAIN);
	unsigned short all[2] = {5, 6};
	u.array = all;
	CHECK(semctl(s, 0, SETALL, u) == 0 && (all[0] = 0, semctl(s, 0, GETALL, u)) == 0 && all[0] == 5 && all[1] == 6);
	// What a child did with SEM_UNDO is undone at its end.
	if (fork() == 0) {
		struct sembuf undo = {0, -3, SEM_UNDO};
		_exit(semop(s, &undo, 1) == 0 && semctl(s, 0, GETVAL) == 2 ? 0 : 1);
	}
	int status;
	CHECK(wait(&status) > 0 && status == 0 && semctl(s, 0, GETVAL) == 5);
	// A waiting child is counted and woken.
	pid_t child = fork();
	if (child == 0) {
		struct sembuf want = {0, -6, 0};
		_exit(semop(s, &want, 1) == 0 ? 3 : 1);
	}
	for (int i = 0; i < 500 && semctl(s, 0, GETNCNT) != 1; i++) usleep(10000);
	CHECK(semctl(s, 0, GETNCNT) == 1);
	struct sembuf up = {0, 1, 0};
	CHECK(semop(s, &up, 1) == 0 && wait(&status) == child && WEXITSTATUS(status) == 3);
	CHECK(semctl(s, 0, GETVAL) == 0 && semctl(s, 0, GETNCNT) == 0);
	struct semid_ds ds;
	u.buf = &ds;
	CHECK(semctl(s, 0, IPC_STAT, u) == 0 && ds.sem_nsems == 2);
	CHECK(semctl(s, 0, IPC_RMID) == 0);
	ERR(semctl(s, 0, GETVAL), EINVAL);
}

static void memory(void) {
	key_t key = 0x52000000 + getpid();
	int id = shmget(key, 5000, IPC_CREAT | 0640);
	CHECK(id >= 0 && shmget(key, 4000, 0) == id);
	ERR(shmget(key, 9000, 0), EINVAL);
	ERR(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
	char *p = shmat(id, NULL, 0);
	CHECK(p != (void *)-1 && p[0] == 0 && p[4999] == 0);
	ERR(shmat(id, p + 1, 0), EINVAL);
	ERR(shmat(12345678, NULL, 0), EINVAL);
	struct shmid_ds ds;
	CHECK(shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_nattch == 1 && ds.shm_segsz == 5000 && ds.shm_cpid == getpid() && ds.shm_perm.mode == 0640);
	if (fork() == 0) {
		int two = shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_nattch == 2;
		strcpy(p, "from the child");
		_exit(two ? 0 : 1);
	}
	int status;
	CHECK(wait(&status) > 0 && status == 0 && strcmp(p, "from the child") == 0);
	char *q = shmat(id, NULL, SHM_RDONLY);
	CHECK(q != (void *)-1 && q != p && strcmp(q, "from the child") == 0);
	strcpy(p, "seen");
	CHECK(strcmp(q, "seen") == 0);
	CHECK(shmdt(q) == 0);
	ERR(shmdt(q), EINVAL);
	CHECK(shmdt(p) == 0);
	CHECK(shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_nattch == 0);
	p = shmat(id, NULL, 0);
	CHECK(p != (void *)-1 && strcmp(p, "seen") == 0);
	CHECK(shmctl(id, IPC_RMID, NULL) == 0);
	ERR(shmget(key, 0, 0), ENOENT);
	CHECK(strcmp(p, "seen") == 0 && shmctl(id, IPC_STAT, &ds) == 0 && (ds.shm_perm.mode & SHM_DEST));
	CHECK(shmdt(p) == 0);
	ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
}

int main(void) {
	alarm(50);
	messages();
	semaphores();
	memory();
	return 0;
}
