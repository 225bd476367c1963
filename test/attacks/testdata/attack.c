/* Attacks that a shell cannot make: attack NAME FILE. Each prints what the kernel
   answered, as "NAME: errno" or "NAME: signal". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name, *file;
static char *const no_args[] = {"x", 0}, *const no_env[] = {0};

static void result(long ok) { printf("%s: %s\n", name, ok >= 0 ? "no error" : strerrorname_np(errno)); }
static void mapped(void *p) { result(p == MAP_FAILED ? -1 : 0); }

static int must(int r)
{
	if (r < 0) {
		printf("%s: setting up: %s\n", name, strerrorname_np(errno));
		exit(3);
	}
	return r;
}

static void *load(const char *path, size_t *size)
{
	struct stat st;
	int fd = must(open(path, O_RDONLY));
	must(fstat(fd, &st));
	char *b = malloc(st.st_size);
	must(read(fd, b, st.st_size));
	close(fd);
	*size = st.st_size;
	return b;
}

/* execute replaces a child, so that several ways can be tried. */
static void child(void (*f)(void))
{
	int status;
	fflush(stdout);
	pid_t pid = must(fork());
	if (pid == 0) {
		f();
		fflush(stdout);
		_exit(0);
	}
	must(waitpid(pid, &status, 0));
	if (WIFSIGNALED(status))
		printf("%s: SIG%s\n", name, sigabbrev_np(WTERMSIG(status)));
}

static void do_fexecve(void) { result(fexecve(must(open(file, O_RDONLY)), no_args, no_env)); }
static void do_opath(void) { result(execveat(must(open(file, O_PATH)), "", no_args, no_env, AT_EMPTY_PATH)); }
static void do_execveat(void) { result(execveat(must(open("/tmp", O_PATH)), file + 5, no_args, no_env, 0)); }
static void do_check(void) { result(syscall(SYS_execveat, AT_FDCWD, file, 0, 0, 0x10000)); }

static void do_procfd(void)
{
	char path[64];
	sprintf(path, "/proc/self/fd/%d", must(open(file, O_RDONLY)));
	result(execve(path, no_args, no_env));
}

static void do_memfd(void)
{
	size_t n;
	void *b = load(file, &n);
	int fd = must(memfd_create("x", 0));
	must(write(fd, b, n));
	result(fexecve(fd, no_args, no_env));
}

static void do_memfd_map(void)
{
	int fd = must(memfd_create("x", 0));
	must(ftruncate(fd, 4096));
	mapped(mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0));
}

static void do_tmpfile(void)
{
	size_t n;
	void *b = load(file, &n);
	int fd = must(open("/tmp", O_TMPFILE | O_RDWR, 0700));
	must(write(fd, b, n));
	result(fexecve(fd, no_args, no_env));
}

static void do_anonymous(void) { mapped(mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); }
static void do_shared(void) { mapped(mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0)); }

static void do_mprotect(void)
{
	void *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static void do_pkey_mprotect(void)
{
	void *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	result(syscall(SYS_pkey_mprotect, p, 4096, PROT_READ | PROT_EXEC, -1));
}

static void do_stack(void)
{
	char here;
	result(mprotect((void *)((uintptr_t)&here & -4096), 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
}

static void do_heap(void) { result(mprotect((void *)(((uintptr_t)sbrk(8192) + 4095) & -4096), 4096, PROT_READ | PROT_EXEC)); }

static void do_file_map(void) { mapped(mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, must(open(file, O_RDONLY)), 0)); }

static void do_file_mprotect(void)
{
	void *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, must(open(file, O_RDONLY)), 0);
	result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static void do_shm(void)
{
	int id = must(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0700));
	void *p = shmat(id, 0, SHM_EXEC);
	if (p != (void *)-1 && mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0)
		p = (void *)-1;
	shmctl(id, IPC_RMID, 0);
	result(p == (void *)-1 ? -1 : 0);
}

/* READ_IMPLIES_EXEC must not make pages executable. */
static void do_personality(void)
{
	must(personality(READ_IMPLIES_EXEC));
	unsigned char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p[0] = 0xc3; /* ret */
	((void (*)(void))p)();
	printf("%s: entered\n", name);
}

/* mov $7,%eax; ret in a page that is written. */
static void do_jit(void)
{
	unsigned char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(p, "\xb8\x07\x00\x00\x00\xc3", 6);
	printf("%s: %d\n", name, ((int (*)(void))p)());
}

__attribute__((noinline)) static int victim(void)
{
	__asm__ volatile("");
	return 1;
}

/* Writing over a function changes nothing: what runs is not those bytes. */
static void do_overwrite(void)
{
	unsigned char *p = (unsigned char *)victim;
	if (mprotect((void *)((uintptr_t)p & -4096), 8192, PROT_READ | PROT_WRITE) == 0)
		memcpy(p, "\xb8\x07\x00\x00\x00\xc3", 6);
	printf("%s: %d\n", name, ((int (*volatile)(void))victim)());
}

static void do_procmem(void)
{
	int fd = open("/proc/self/mem", O_RDWR);
	if (fd >= 0)
		pwrite(fd, "\xb8\x07\x00\x00\x00\xc3", 6, (uintptr_t)victim);
	printf("%s: %d\n", name, ((int (*volatile)(void))victim)());
}

static void do_dlopen(void)
{
	void *h = dlopen(file, RTLD_NOW);
	printf("%s: %s\n", name, h ? "loaded" : "refused");
}

/* A file that is truncated while it is mapped leaves its verified bytes there. */
static void do_truncate(void)
{
	int fd = must(open(file, O_RDWR));
	unsigned char before[4096], *p = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 4096);
	if (p == MAP_FAILED) {
		result(-1);
		return;
	}
	memcpy(before, p, sizeof before);
	must(ftruncate(fd, 0));
	must(pwrite(fd, "changed", 7, 0));
	printf("%s: %s\n", name, memcmp(before, p, sizeof before) ? "changed" : "as it was");
	result(execve(file, no_args, no_env));
}

/* One thread goes on changing a file between what is known and what is not, the
   other executes it. What runs prints "ran", what is not known would print "bad". */
static size_t race_size;
static char *race_good, *race_bad;
static volatile int race_done;

static void *racer(void *unused)
{
	int fd = must(open(file, O_WRONLY));
	for (int i = 0; !race_done; i++)
		pwrite(fd, i & 1 ? race_bad : race_good, race_size, 0);
	pwrite(fd, race_good, race_size, 0);
	close(fd);
	return 0;
}

static void do_race(void)
{
	pthread_t t;
	int ran = 0, refused = 0;
	race_good = load(file, &race_size);
	race_bad = malloc(race_size);
	memcpy(race_bad, race_good, race_size);
	char *m = memmem(race_bad, race_size, "MARKER:ran", 10);
	memcpy(m + 7, "bad", 3);
	must(-pthread_create(&t, 0, racer, 0));
	for (int i = 0; i < 150; i++) {
		int status;
		pid_t pid = vfork();
		if (pid == 0) {
			execve(file, no_args, no_env);
			_exit(errno == EACCES ? 77 : 78);
		}
		waitpid(pid, &status, 0);
		ran += status == 0;
		refused += status == 77 << 8;
	}
	race_done = 1;
	pthread_join(t, 0);
	printf("race: %s\n", ran + refused == 150 ? "all ran or were refused" : "something else");
}

/* enter copies the image's program FILE to its addresses, fills every other byte
   that this process can write to with the address of its start, and goes there. */
static void do_enter(void)
{
	size_t n;
	char *b = load(file, &n), line[512];
	Elf64_Ehdr *e = (void *)b;
	Elf64_Phdr *ph = (void *)(b + e->e_phoff);
	struct { uint64_t start, end; } ranges[64], stack = {0, 0};
	int count = 0;
	for (int i = 0; i < e->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD) {
			uint64_t at = ph[i].p_vaddr & -4096;
			char *p = mmap((void *)at, ph[i].p_memsz + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			must(p == MAP_FAILED ? -1 : 0);
			memcpy((void *)ph[i].p_vaddr, b + ph[i].p_offset, ph[i].p_filesz);
		}
	uint64_t entry = e->e_entry, here = (uint64_t)&n;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, maps) && count < 64) {
		uint64_t start, end;
		char perm[8];
		sscanf(line, "%lx-%lx %7s", &start, &end, perm);
		if (start >= (entry & -4096) - 0x100000 && start < entry + 0x100000)
			continue; /* the copy of the program */
		if (here >= start && here < end) {
			stack.start = start;
			stack.end = end;
		} else if (perm[1] == 'w' || mprotect((void *)start, end - start, PROT_READ | PROT_WRITE) == 0) {
			ranges[count].start = start;
			ranges[count++].end = end;
		}
	}
	for (int i = 0; i < count; i++)
		__asm__ volatile("rep stosq" : : "D"(ranges[i].start), "c"((ranges[i].end - ranges[i].start) / 8), "a"(entry) : "memory");
	__asm__ volatile("rep stosq; mov %%rax, %%rbx; mov %%rdi, %%rsp; sub $256, %%rsp; jmp *%%rbx"
			 : : "D"(stack.start), "c"((stack.end - stack.start) / 8), "a"(entry) : "memory");
}

static void do_mount(void) { result(mount("none", "/bin", "tmpfs", 0, 0)); }
static void do_binfmt(void)
{
	if (mount("none", "/proc/sys/fs/binfmt_misc", "binfmt_misc", 0, 0) < 0) {
		result(-1);
		return;
	}
	result(open("/proc/sys/fs/binfmt_misc/register", O_WRONLY));
}

static const struct { const char *name; void (*f)(void); } all[] = {
	{"fexecve", do_fexecve}, {"opath", do_opath}, {"execveat", do_execveat}, {"check", do_check}, {"procfd", do_procfd},
	{"memfd", do_memfd}, {"memfd-map", do_memfd_map}, {"tmpfile", do_tmpfile}, {"anonymous", do_anonymous}, {"shared", do_shared},
	{"mprotect", do_mprotect}, {"pkey_mprotect", do_pkey_mprotect}, {"stack", do_stack}, {"heap", do_heap}, {"file-map", do_file_map},
	{"file-mprotect", do_file_mprotect}, {"shm", do_shm}, {"personality", do_personality}, {"jit", do_jit}, {"overwrite", do_overwrite},
	{"procmem", do_procmem}, {"dlopen", do_dlopen}, {"truncate", do_truncate}, {"race", do_race}, {"enter", do_enter},
	{"mount", do_mount}, {"binfmt", do_binfmt},
};

int main(int argc, char **argv)
{
	name = argv[1];
	file = argc > 2 ? argv[2] : "/nothing";
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (!strcmp(all[i].name, name)) {
			child(all[i].f);
			return 0;
		}
	return 2;
}
