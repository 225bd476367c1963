/* Is linked with an executable stack (PT_GNU_STACK with PF_X): says what the
 * stack's mapping is. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int main(void) {
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512], perms[8];
	unsigned long from, to;
	while (fgets(line, sizeof line, f)) {
		sscanf(line, "%lx-%lx %7s", &from, &to, perms);
		if (from <= (uintptr_t)&f && (uintptr_t)&f < to)
			printf("stack %s\n", strchr(perms, 'x') ? "EXECUTABLE" : "EACCES");
	}
	return 0;
}
