// What the programs of this directory share. A program prints what it finds; a
// CHECK that does not hold prints FAIL, on whichever kernel.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(cond)                                                    \
	do {                                                               \
		if (cond)                                                      \
			printf("ok %s\n", #cond);                                  \
		else                                                           \
			printf("FAIL %s:%d %s (errno %s)\n", __FILE__, __LINE__,   \
			       #cond, strerror(errno));                            \
		fflush(stdout);                                                \
	} while (0)

// ERR checks that a call fails with an errno.
#define ERR(call, e)                                                   \
	do {                                                               \
		errno = 0;                                                     \
		long r_ = (long)(call);                                        \
		if (r_ == -1 && errno == (e))                                  \
			printf("ok %s: %s\n", #call, #e);                          \
		else                                                           \
			printf("FAIL %s:%d %s = %ld, errno %s, want %s\n",         \
			       __FILE__, __LINE__, #call, r_, strerror(errno), #e); \
		fflush(stdout);                                                \
	} while (0)
