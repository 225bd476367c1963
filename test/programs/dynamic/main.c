// What a dynamic loader does: lazy binding, relative and irelative relocations,
// thread-local storage of all models, dlopen and dlclose, LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib.h"

static __thread int local = 3;
static int triple(int x) { return 3 * x; }
static jmp_buf back;
static int jump(int x) { longjmp(back, x); }
static int ascending(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static int module(struct dl_phdr_info *i, size_t n, void *count) { ++*(int *)count; return 0; }

static int use_plugin(int add) {
	void *h = dlopen("libplugin.so", RTLD_NOW);
	if (!h) { printf("dlopen: %s\n", dlerror()); return -1; }
	int (*f)(int) = (int (*)(int))dlsym(h, "own_counter");
	Dl_info info;
	if (!dladdr((void *)f, &info) || strcmp(info.dli_sname, "own_counter")) puts("dladdr does not know it");
	int r = f(add);
	if (dlsym(h, "nothing")) puts("there is nothing");
	else printf("%d after dlsym\n", dlerror() != NULL);
	dlclose(h);
	return r;
}

static void *thread(void *arg) {
	counter += (int)(long)arg;
	local += counter;
	return (void *)(long)(counter * 1000 + local);
}

int main(int argc, char **argv) {
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("twice %d, through the PLT %d, resolved %d\n", twice(21), through_plt(triple, 5), resolved());
	printf("pointers %d %d %d %d\n", *pointers[0], *pointers[1], *pointers[2], *pointers[3]);
	pthread_t t[4];
	for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, thread, (void *)i);
	for (int i = 0; i < 4; i++) { void *r; pthread_join(t[i], &r); printf("thread %d: %ld\n", i, (long)r); }
	printf("here: %d %d\n", counter, local);
	for (int i = 0; i < 3; i++) printf("plugin: %d\n", use_plugin(i)); // gone and back each time, but for musl
	int before = 0, after = 0;
	dl_iterate_phdr(module, &before);
	void *h = dlopen("libplugin.so", RTLD_LAZY | RTLD_GLOBAL);
	dl_iterate_phdr(module, &after);
	printf("one more module: %d\n", after - before);
	int (*f)(int) = (int (*)(int))dlsym(RTLD_DEFAULT, "own_counter");
	printf("global: %d\n", f && h ? f(5) : -1);
	printf("unknown: %d\n", dlopen("/tmp/nothing.so", RTLD_NOW) == NULL);
	int r = setjmp(back);
	if (!r) through_plt(jump, 9);
	printf("came back with %d\n", r);
	int v[5] = {5, 3, 4, 1, 2};
	qsort(v, 5, sizeof v[0], ascending); // libc calls the program
	printf("sorted %d%d%d%d%d\n", v[0], v[1], v[2], v[3], v[4]);
	return argc > 1 ? atoi(argv[1]) : 0;
}
