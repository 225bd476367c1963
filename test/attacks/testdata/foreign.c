/* A program of the image at addresses of its own. The attack is to enter it from a
   process that has not executed it. */
static long call(long n, long a, long b, long c)
{
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}

void _start(void)
{
	call(1, 1, (long)"ran\n", 4);
	call(231, 0, 0, 0);
}
