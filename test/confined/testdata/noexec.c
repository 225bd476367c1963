/* Tries every way to executable memory that is no file of the exec map. Prints
 * one line per way: its name and the errno, or EXECUTABLE. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#define N 4096
#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)
#define RWX (RW | PROT_EXEC)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static void say(const char *what, int bad) {
	printf("%s %s\n", what, bad ? strerrorname_np(errno) : "EXECUTABLE");
}

static void *mem(void) { return mmap(NULL, N, RW, ANON, -1, 0); }

/* executable says whether /proc/self/maps shows a mapping with x that holds addr,
 * or, with 0, any that is not of a file. */
static int executable(uintptr_t addr) {
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512], perms[8], path[256];
	unsigned long from, to;
	int found = 0;
	while (fgets(line, sizeof line, f)) {
		path[0] = 0;
		sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &from, &to, perms, path);
		if (strchr(perms, 'x') && (addr ? from <= addr && addr < to : path[0] != '/'))
			found = 1;
	}
	fclose(f);
	return found;
}

/* code_offset is where the code of an ELF file begins. */
static off_t code_offset(int fd) {
	Elf64_Ehdr h;
	Elf64_Phdr p;
	if (pread(fd, &h, sizeof h, 0) != sizeof h)
		return 0;
	for (int i = 0; i < h.e_phnum; i++)
		if (pread(fd, &p, sizeof p, h.e_phoff + i * sizeof p) == sizeof p && p.p_type == PT_LOAD && p.p_flags & PF_X)
			return p.p_offset & -N;
	return 0;
}

int main(int argc, char **argv) {
	say("mmap-rwx", mmap(NULL, N, RWX, ANON, -1, 0) == MAP_FAILED);
	say("mmap-rx", mmap(NULL, N, RX, ANON, -1, 0) == MAP_FAILED);
	say("mmap-x", mmap(NULL, N, PROT_EXEC, ANON, -1, 0) == MAP_FAILED);
	say("mmap-shared", mmap(NULL, N, RX, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	say("mmap-stack", mmap(NULL, N, RX, ANON | MAP_GROWSDOWN | MAP_STACK, -1, 0) == MAP_FAILED);
	say("mprotect-rx", mprotect(mem(), N, RX));
	say("mprotect-rwx", mprotect(mem(), N, RWX));
	say("mprotect-heap", mprotect((void *)((uintptr_t)sbrk(N) & -N), N, RX));
	int here;
	say("mprotect-stack", mprotect((void *)((uintptr_t)&here & -N), N, RWX));
	say("mprotect-growsdown", mprotect((void *)((uintptr_t)&here & -N), N, RWX | PROT_GROWSDOWN));
	say("pkey_mprotect", syscall(SYS_pkey_mprotect, mem(), (long)N, (long)RX, -1L));

	int id = shmget(IPC_PRIVATE, N, IPC_CREAT | 0700);
	say("shmat", shmat(id, NULL, SHM_EXEC) == (void *)-1);
	void *shm = shmat(id, NULL, 0);
	say("shmat-mprotect", mprotect(shm, N, RX));

	say("personality", personality(READ_IMPLIES_EXEC) == -1);
	void *p = mem();
	int x = executable((uintptr_t)p);
	errno = EACCES;
	say("personality-mmap", !x);
	say("remap_file_pages", syscall(SYS_remap_file_pages, mmap(NULL, N, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), (long)N, (long)PROT_EXEC, 0L, 0L));

	int fd = memfd_create("code", 0);
	if (write(fd, "\x7f" "ELF\xc3", 5) != 5 || ftruncate(fd, N))
		return 1;
	say("memfd", mmap(NULL, N, RX, MAP_PRIVATE, fd, 0) == MAP_FAILED);
	say("memfd-shared", mmap(NULL, N, RX, MAP_SHARED, fd, 0) == MAP_FAILED);
	say("memfd-mprotect", mprotect(mmap(NULL, N, RW, MAP_SHARED, fd, 0), N, RX));
	fd = open("/tmp/code", O_RDWR | O_CREAT, 0700);
	if (write(fd, "\xc3", 1) != 1 || ftruncate(fd, N))
		return 1;
	say("file", mmap(NULL, N, RX, MAP_PRIVATE, fd, 0) == MAP_FAILED);
	say("file-mprotect", mprotect(mmap(NULL, N, PROT_READ, MAP_PRIVATE, fd, 0), N, RX));
	say("zero", mmap(NULL, N, RX, MAP_PRIVATE, open("/dev/zero", O_RDWR), 0) == MAP_FAILED);
	say("self-shared", mmap(NULL, N, RX, MAP_SHARED, open("/proc/self/exe", O_RDONLY), 0) == MAP_FAILED);

	/* A copy of a known program whose bytes differ by one. */
	int in = open("/proc/self/exe", O_RDONLY);
	off_t size = lseek(in, 0, SEEK_END);
	char *text = mmap(NULL, size, PROT_READ, MAP_PRIVATE, in, 0);
	fd = open("/tmp/copy", O_RDWR | O_CREAT, 0700);
	if (write(fd, text, size) != size || pwrite(fd, "\x90", 1, size - 1) != 1)
		return 1;
	say("changed-program", mmap(NULL, N, RX, MAP_PRIVATE, fd, 0) == MAP_FAILED);

	/* What was a known file's mapping, and is no longer. */
	fd = open("/bin/execstack", O_RDONLY);
	char *own = mmap(NULL, N, RX, MAP_PRIVATE, fd, code_offset(fd));
	if (own == MAP_FAILED)
		perror("mapping a known file");
	if (own == MAP_FAILED || mmap(own, N, RW, ANON | MAP_FIXED, -1, 0) != own)
		return 1;
	say("mapped-over", mprotect(own, N, RX));

	x = executable(0);
	errno = EACCES;
	say("any-at-the-end", !x);
	return 0;
}
