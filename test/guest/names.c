// Paths, links, renames, permissions: what names mean.
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static char base[64];

static void put(const char *path, const char *s)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	CHECK(fd >= 0 && write(fd, s, strlen(s)) == (ssize_t)strlen(s));
	close(fd);
}

static struct stat st;

static void walking(void)
{
	CHECK(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0);
	put("d/f", "hello");
	CHECK(symlink("d/f", "l") == 0 && symlink("d", "dl") == 0 && symlink("loop2", "loop1") == 0 && symlink("loop1", "loop2") == 0);
	CHECK(symlink("nowhere", "dangling") == 0);
	ERR(open("", O_RDONLY), ENOENT);
	ERR(open("d/f/x", O_RDONLY), ENOTDIR);
	ERR(open("d/f/", O_RDONLY), ENOTDIR);
	ERR(open("none/x", O_RDONLY), ENOENT);
	ERR(open("loop1", O_RDONLY), ELOOP);
	ERR(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	ERR(open("dl", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
	ERR(open("d/f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	ERR(open("d", O_WRONLY), EISDIR);
	ERR(open("d", O_RDONLY | O_CREAT, 0644), EISDIR);
	ERR(open("new/", O_WRONLY | O_CREAT, 0644), EISDIR);
	ERR(open("d/f", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
	ERR(open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK(stat("d/e/../f", &st) == 0 && st.st_size == 5);
	CHECK(stat("dl/e/./../f", &st) == 0);
	CHECK(stat("d//e///", &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(stat("/../..", &st) == 0);
	CHECK(lstat("l", &st) == 0 && S_ISLNK(st.st_mode) && st.st_size == 3);
	CHECK(lstat("dl/", &st) == 0 && S_ISDIR(st.st_mode));
	char name[300], path[5000];
	memset(name, 'n', sizeof name);
	name[256] = 0;
	ERR(open(name, O_RDONLY), ENAMETOOLONG);
	name[255] = 0;
	ERR(open(name, O_RDONLY), ENOENT);
	memset(path, '/', sizeof path);
	path[4999] = 0;
	ERR(open(path, O_RDONLY), ENAMETOOLONG);
	path[4095] = 0;
	CHECK(stat(path, &st) == 0);
	ERR(stat((char *)1, &st), EFAULT);
	// A dangling link makes its target.
	int fd = open("dangling", O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0 && stat("nowhere", &st) == 0 && S_ISREG(st.st_mode));
	close(fd);
	char buf[10];
	CHECK(readlink("l", buf, sizeof buf) == 3 && memcmp(buf, "d/f", 3) == 0);
	CHECK(readlink("l", buf, 2) == 2);
	ERR(readlink("d", buf, sizeof buf), EINVAL);
	ERR(syscall(SYS_readlink, "l", buf, 0), EINVAL);
}

static void at_calls(void)
{
	int d = open("d", O_RDONLY | O_DIRECTORY), f = open("d/f", O_RDONLY), p = open("d", O_PATH);
	CHECK(d >= 0 && f >= 0 && p >= 0);
	int g = openat(d, "f", O_RDONLY);
	CHECK(g >= 0);
	close(g);
	ERR(openat(f, "x", O_RDONLY), ENOTDIR);
	ERR(openat(99, "x", O_RDONLY), EBADF);
	g = openat(99, base, O_RDONLY);
	CHECK(g >= 0); // absolute: the descriptor does not matter
	close(g);
	CHECK(fstatat(f, "", &st, AT_EMPTY_PATH) == 0 && st.st_size == 5);
	ERR(fstatat(f, "", &st, 0), ENOENT);
	ERR(fstatat(d, "f", &st, 0x40000), EINVAL);
	CHECK(fstatat(p, "f", &st, 0) == 0);
	char c;
	ERR(read(p, &c, 1), EBADF);
	ERR(syscall(SYS_fchmod, p, 0700), EBADF);
	CHECK(fstat(p, &st) == 0 && fchdir(p) == 0 && chdir("..") == 0);
	ERR(fchdir(f), ENOTDIR);
	ERR(mkdirat(d, "e", 0755), EEXIST);
	ERR(unlinkat(d, "e", 0), EISDIR);
	ERR(unlinkat(d, "f", AT_REMOVEDIR), ENOTDIR);
	ERR(unlinkat(d, "f", 1), EINVAL);
	CHECK(faccessat(d, "f", R_OK, 0) == 0);
	ERR(faccessat(d, "f", 8, 0), EINVAL);
	close(d), close(f), close(p);
}

static void making(void)
{
	ERR(mkdir("d", 0755), EEXIST);
	ERR(mkdir("d/f", 0755), EEXIST);
	ERR(mkdir("dl", 0755), EEXIST);
	ERR(mkdir("/", 0755), EEXIST);
	ERR(mkdir("d/.", 0755), EEXIST);
	ERR(mkdir("d/..", 0755), EEXIST);
	ERR(mkdir("none/x", 0755), ENOENT);
	ERR(mkdir("d/f/x", 0755), ENOTDIR);
	CHECK(mkdir("slash/", 0755) == 0);
	ERR(rmdir("d"), ENOTEMPTY);
	ERR(rmdir("d/f"), ENOTDIR);
	ERR(rmdir("slash/."), EINVAL);
	ERR(rmdir("slash/.."), ENOTEMPTY);
	ERR(rmdir("dl"), ENOTDIR);
	ERR(rmdir("/"), EBUSY);
	ERR(rmdir("none"), ENOENT);
	CHECK(rmdir("slash/") == 0);
	ERR(unlink("d"), EISDIR);
	ERR(unlink("none"), ENOENT);
	ERR(unlink("d/f/"), ENOTDIR);
	ERR(unlink("d/."), EISDIR);
	ERR(unlink(""), ENOENT);
	ERR(symlink("", "x"), ENOENT);
	ERR(symlink("x", "d"), EEXIST);
	ERR(symlink("x", "x/"), ENOENT);
	CHECK(mkfifo("fifo", 0600) == 0 && stat("fifo", &st) == 0 && S_ISFIFO(st.st_mode));
	ERR(mknod("d2", S_IFDIR | 0755, 0), EPERM);
	CHECK(mknod("sock", S_IFSOCK | 0600, 0) == 0);
	ERR(open("sock", O_RDONLY), ENXIO);
	umask(027);
	int fd = open("masked", O_CREAT | O_RDWR, 0777);
	CHECK(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0750);
	close(fd);
	CHECK(mkdir("maskdir", 01777) == 0 && stat("maskdir", &st) == 0 && (st.st_mode & 07777) == 01750);
	CHECK(umask(022) == 027);
}

static void linking(void)
{
	CHECK(link("d/f", "hard") == 0 && stat("hard", &st) == 0 && st.st_nlink == 2);
	ino_t ino = st.st_ino;
	CHECK(stat("d/f", &st) == 0 && st.st_ino == ino);
	ERR(link("d/f", "hard"), EEXIST);
	ERR(link("d", "x"), EPERM);
	ERR(link("none", "x"), ENOENT);
	CHECK(link("l", "l2") == 0 && lstat("l2", &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(linkat(AT_FDCWD, "l", AT_FDCWD, "l3", AT_SYMLINK_FOLLOW) == 0 && lstat("l3", &st) == 0 && st.st_ino == ino && st.st_nlink == 3);
	ERR(linkat(AT_FDCWD, "l", AT_FDCWD, "l4", 1), EINVAL);
	CHECK(unlink("hard") == 0 && unlink("l3") == 0 && stat("d/f", &st) == 0 && st.st_nlink == 1);
	CHECK(stat("d", &st) == 0 && st.st_nlink == 3);
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd >= 0) {
		char self[64];
		CHECK(write(fd, "tmp", 3) == 3 && fstat(fd, &st) == 0 && st.st_nlink == 0);
		snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
		CHECK(linkat(AT_FDCWD, self, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0);
		CHECK(stat("named", &st) == 0 && st.st_size == 3 && st.st_nlink == 1);
		close(fd);
	}
}

static void renaming(void)
{
	put("r1", "one");
	put("r2", "two");
	CHECK(rename("r1", "r2") == 0 && stat("r2", &st) == 0 && st.st_size == 3);
	ERR(stat("r1", &st), ENOENT);
	ERR(rename("none", "x"), ENOENT);
	ERR(rename("r2", "d"), EISDIR);
	ERR(rename("d", "r2"), ENOTDIR);
	ERR(rename("d", "d/e/x"), EINVAL);
	ERR(rename("d/e", "d"), ENOTEMPTY);
	ERR(rename("r2/", "x"), ENOTDIR);
	ERR(rename("r2", "x/"), ENOTDIR);
	ERR(rename("d/.", "x"), EBUSY);
	ERR(rename("/", "x"), EBUSY);
	CHECK(rename("r2", "r2") == 0);
	CHECK(mkdir("empty", 0755) == 0 && rename("d", "empty") == 0 && stat("empty/f", &st) == 0);
	CHECK(rename("empty", "d") == 0);
	put("r3", "three");
	CHECK(syscall(SYS_renameat2, AT_FDCWD, "r2", AT_FDCWD, "r3", 2) == 0); // RENAME_EXCHANGE
	CHECK(stat("r2", &st) == 0 && st.st_size == 5);
	ERR(syscall(SYS_renameat2, AT_FDCWD, "r2", AT_FDCWD, "r3", 1), EEXIST); // RENAME_NOREPLACE
	ERR(syscall(SYS_renameat2, AT_FDCWD, "r2", AT_FDCWD, "none", 2), ENOENT);
	ERR(syscall(SYS_renameat2, AT_FDCWD, "r2", AT_FDCWD, "r3", 3), EINVAL);
	CHECK(rename("dl", "dl2") == 0 && lstat("dl2", &st) == 0 && S_ISLNK(st.st_mode) && rename("dl2", "dl") == 0);
}

static void directories(void)
{
	char cwd[PATH_MAX], want[PATH_MAX];
	CHECK(chdir("d/e") == 0 && getcwd(cwd, sizeof cwd) != NULL);
	snprintf(want, sizeof want, "%s/d/e", base);
	CHECK(strcmp(cwd, want) == 0);
	ERR(syscall(SYS_getcwd, cwd, 2), ERANGE);
	CHECK(rename("../../d", "../../moved") == 0 && getcwd(cwd, sizeof cwd) != NULL);
	snprintf(want, sizeof want, "%s/moved/e", base);
	CHECK(strcmp(cwd, want) == 0);
	CHECK(rmdir("../e") == 0);
	ERR(syscall(SYS_getcwd, cwd, sizeof cwd), ENOENT);
	ERR(open("x", O_CREAT | O_WRONLY, 0644), ENOENT);
	ERR(mkdir("x", 0755), ENOENT);
	CHECK(stat(".", &st) == 0 && st.st_nlink == 0);
	CHECK(chdir(base) == 0 && rename("moved", "d") == 0 && mkdir("d/e", 0755) == 0);
	ERR(chdir("d/f"), ENOTDIR);
	ERR(chdir("none"), ENOENT);

	CHECK(mkdir("list", 0755) == 0 && chdir("list") == 0);
	for (int i = 0; i < 300; i++) {
		char n[20];
		snprintf(n, sizeof n, "f%d", i);
		close(open(n, O_CREAT | O_WRONLY, 0644));
	}
	DIR *dir = opendir(".");
	struct dirent *e;
	int n = 0, dots = 0, removed = 0;
	long where = 0;
	char marked[256] = "";
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.') {
			dots++;
			continue;
		}
		if (++n == 100)
			where = telldir(dir);
		else if (n == 101)
			snprintf(marked, sizeof marked, "%s", e->d_name);
		if (e->d_type != DT_REG)
			printf("FAIL type of %s\n", e->d_name);
	}
	CHECK(n == 300 && dots == 2);
	seekdir(dir, where);
	e = readdir(dir);
	CHECK(e && strcmp(e->d_name, marked) == 0);
	rewinddir(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && unlink(e->d_name) == 0)
			removed++;
	CHECK(removed == 300);
	char small[8];
	ERR(syscall(SYS_getdents64, 0x7fff, small, sizeof small), EBADF);
	rewinddir(dir);
	ERR(syscall(SYS_getdents64, dirfd(dir), small, sizeof small), EINVAL);
	ERR(read(dirfd(dir), small, 1), EISDIR);
	closedir(dir);
	CHECK(chdir("..") == 0 && rmdir("list") == 0);
}

static void attributes(void)
{
	CHECK(chmod("d/f", 04711) == 0 && stat("d/f", &st) == 0 && (st.st_mode & 07777) == 04711);
	CHECK(chmod("l", 0644) == 0 && stat("d/f", &st) == 0 && (st.st_mode & 07777) == 0644);
	struct timespec ts[2] = {{1000, 5}, {2000, 6}};
	CHECK(utimensat(AT_FDCWD, "d/f", ts, 0) == 0 && stat("d/f", &st) == 0 && st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 6);
	ts[0].tv_nsec = UTIME_OMIT, ts[1].tv_nsec = UTIME_NOW;
	CHECK(utimensat(AT_FDCWD, "d/f", ts, 0) == 0 && stat("d/f", &st) == 0 && st.st_atim.tv_sec == 1000 && st.st_mtim.tv_sec > 1000000);
	ts[0].tv_nsec = 1000000000;
	ERR(utimensat(AT_FDCWD, "d/f", ts, 0), EINVAL);
	CHECK(truncate("d/f", 3) == 0 && stat("d/f", &st) == 0 && st.st_size == 3);
	ERR(truncate("d", 3), EISDIR);
	ERR(truncate("d/f", -1), EINVAL);
	ERR(truncate("fifo", 0), EINVAL);
	ERR(access("none", F_OK), ENOENT);
	ERR(access("d/f", X_OK), EACCES);
	if (getuid() == 0) {
		CHECK(chmod("d/f", 06755) == 0 && chown("d/f", 5, 6) == 0 && stat("d/f", &st) == 0);
		CHECK(st.st_uid == 5 && st.st_gid == 6 && (st.st_mode & 07777) == 0755);
		CHECK(lchown("l", 7, -1) == 0 && lstat("l", &st) == 0 && st.st_uid == 7);
	}
	char v[10];
	ERR(getxattr("d/f", "user.none", v, sizeof v), ENODATA);
	ERR(getxattr("d/f", "strange.name", v, sizeof v), EOPNOTSUPP);
}

static int status;

// as runs f as another user and waits for it.
static void as(uid_t uid, void (*f)(void))
{
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		if (setgid(uid) || setuid(uid))
			_exit(1);
		f();
		_exit(0);
	}
	CHECK(waitpid(p, &status, 0) == p && status == 0);
}

static void stranger(void)
{
	ERR(open("secret", O_RDONLY), EACCES);
	ERR(open("private/x", O_RDONLY), EACCES);
	ERR(open("readonly/new", O_CREAT | O_WRONLY, 0644), EACCES);
	ERR(unlink("readonly/x"), EACCES);
	ERR(unlink("sticky/rootfile"), EPERM);
	ERR(rename("sticky/rootfile", "sticky/other"), EPERM);
	ERR(chmod("secret", 0777), EPERM);
	ERR(chown("secret", 1000, 1000), EPERM);
	ERR(truncate("secret", 0), EACCES);
	ERR(utimensat(AT_FDCWD, "secret", NULL, 0), EACCES);
	struct timespec ts[2] = {{1, 0}, {1, 0}};
	ERR(utimensat(AT_FDCWD, "secret", ts, 0), EPERM);
	ERR(mknod("sticky/null", S_IFCHR | 0666, 0x103), EPERM);
	ERR(chroot("/"), EPERM);
	ERR(chdir("private"), EACCES);
	ERR(access("private/x", F_OK), EACCES);
	CHECK(open("sticky/mine", O_CREAT | O_WRONLY, 0600) >= 0 && unlink("sticky/mine") == 0);
	CHECK(stat("secret", &st) == 0);
}

static void permissions(void)
{
	if (getuid() != 0)
		return;
	put("secret", "s");
	CHECK(chmod("secret", 0600) == 0 && chmod(base, 0755) == 0);
	CHECK(mkdir("private", 0700) == 0 && mkdir("readonly", 0755) == 0 && mkdir("sticky", 0) == 0 && chmod("sticky", 01777) == 0);
	put("private/x", "");
	put("readonly/x", "");
	put("sticky/rootfile", "");
	as(1000, stranger);
}

int main(void)
{
	char cwd[PATH_MAX];
	snprintf(base, sizeof base, "/tmp/names-%d", getpid());
	CHECK(mkdir(base, 0755) == 0 && chdir(base) == 0 && getcwd(cwd, sizeof cwd) && strcmp(cwd, base) == 0);
	walking();
	at_calls();
	making();
	linking();
	renaming();
	directories();
	attributes();
	permissions();
	chdir("/");
	return 0;
}
