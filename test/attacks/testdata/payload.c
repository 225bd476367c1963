/* What an attacker wants to run: it says so. With the argument "slow" it waits
   until standard input ends, first. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char marker[] = "MARKER:ran";
#ifdef SETUID
const char other[] = "the one that the image makes setuid";
#endif

int main(int argc, char **argv)
{
	char c;
	if (argc > 1 && !strcmp(argv[1], "slow"))
		while (read(0, &c, 1) > 0)
			;
	printf("%s uid %d euid %d\n", marker + 7, getuid(), geteuid());
	return 0;
}
