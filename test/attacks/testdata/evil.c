/* A library whose constructor is the attack. */
#include <unistd.h>

__attribute__((constructor)) static void attack(void) { write(1, "ran\n", 4); }
int evil(void) { return 7; }
