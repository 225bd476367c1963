/* Reads seccomp rules and writes the BPF programs that libseccomp makes of them.
 *
 *   P DEFAULT                            a new profile
 *   R ACTION NR N {ARG OP A B}*N         a rule
 *   E                                    its end: u32 length, then that many bytes
 *
 * All numbers are hexadecimal. A rule that libseccomp does not take ends the
 * profile with the length 0xffffffff.
 */
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void) {
	char kind;
	scmp_filter_ctx ctx = NULL;
	int bad = 0;
	while (scanf(" %c", &kind) == 1) {
		if (kind == 'P') {
			uint32_t def;
			if (scanf("%x", &def) != 1)
				return 1;
			bad = 0;
			ctx = seccomp_init(def);
			if (!ctx)
				bad = 1;
		} else if (kind == 'R') {
			uint32_t action, nr, n;
			struct scmp_arg_cmp args[6];
			if (scanf("%x %x %x", &action, &nr, &n) != 3 || n > 6)
				return 1;
			for (uint32_t i = 0; i < n; i++) {
				unsigned long long arg, op, a, b;
				if (scanf("%llx %llx %llx %llx", &arg, &op, &a, &b) != 4)
					return 1;
				args[i] = (struct scmp_arg_cmp){arg, op, a, b};
			}
			if (!bad && seccomp_rule_add_array(ctx, action, nr, n, args) != 0)
				bad = 1;
		} else {
			uint32_t length = 0xffffffff;
			char *bytes = NULL;
			int fd = memfd_create("bpf", 0);
			if (!bad && seccomp_export_bpf(ctx, fd) == 0) {
				length = lseek(fd, 0, SEEK_END);
				bytes = malloc(length);
				if (pread(fd, bytes, length, 0) != (ssize_t)length)
					return 1;
			}
			close(fd);
			fwrite(&length, 4, 1, stdout);
			if (bytes)
				fwrite(bytes, length, 1, stdout);
			free(bytes);
			if (ctx)
				seccomp_release(ctx);
			ctx = NULL;
		}
	}
	return 0;
}
