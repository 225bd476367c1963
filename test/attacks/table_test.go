package attacks

import (
	"regexp"
	"strings"
	"testing"
)

// attack is one way around a hash. What runs although it should not prints "ran".
type attack struct {
	name   string
	level  string // "": the default
	script string
	want   string // regular expression of what the guest sees
	rule   string // of the refusal in the trail; "": nobody asks the controller
}

// unknown makes /tmp/x, a program whose bytes no map has.
const unknown = "cp /bin/payload /tmp/x; printf x >> /tmp/x; "

const (
	refused   = `Permission denied`
	unknownIs = "exec.unknown-hash"
	scripts   = "known-scripts"
)

// attacks are the rows of "ways around a hash-gated exec", in their order.
var attacks = []attack{
	// Exec paths.
	{"write then execute", "", unknown + "/tmp/x", refused, unknownIs},
	{"from a volume", "", "/evil/payload", refused, unknownIs},
	{"fexecve", "", unknown + "attack fexecve /tmp/x", "fexecve: EACCES", unknownIs},
	{"execveat of an O_PATH descriptor", "", unknown + "attack opath /tmp/x", "opath: EACCES", unknownIs},
	{"execveat below a directory", "", unknown + "attack execveat /tmp/x", "execveat: EACCES", unknownIs},
	{"execveat's AT_EXECVE_CHECK", "", unknown + "attack check /tmp/x", "check: EACCES", unknownIs},
	{"/proc/self/fd", "", unknown + "attack procfd /tmp/x", "procfd: EACCES", unknownIs},
	{"memfd", "", unknown + "attack memfd /tmp/x", "memfd: EACCES", unknownIs},
	{"O_TMPFILE", "", unknown + "attack tmpfile /tmp/x", "tmpfile: EACCES", unknownIs},
	{"rename over a known program", "", unknown + "mv /tmp/x /bin/payload; /bin/payload", refused, unknownIs},
	{"hard link at a known path", "", unknown + "rm /bin/payload; ln /tmp/x /bin/payload; /bin/payload", refused, unknownIs},
	{"symbolic link at a known path", "", unknown + "rm /bin/payload; ln -s /tmp/x /bin/payload; /bin/payload", refused, unknownIs},
	{"copy-up of a known program", "", "printf x >> /bin/payload; /bin/payload", refused, unknownIs},
	{"truncate while mapped", "", "cp /lib/libgood.so /tmp/l; chmod 755 /tmp/l; attack truncate /tmp/l", "truncate: as it was\ntruncate: EACCES", unknownIs},

	// Loader and code pages.
	{"ld.so by hand", "", unknown + "/lib64/ld-linux-x86-64.so.2 /tmp/x", "failed to map segment", unknownIs},
	{"LD_PRELOAD", "", "LD_PRELOAD=/evil/evil.so attack none", "cannot be preloaded", unknownIs},
	{"LD_AUDIT", "", "LD_AUDIT=/evil/evil.so attack none", "cannot be loaded|failed to map", unknownIs},
	{"LD_LIBRARY_PATH", "", "mkdir /tmp/l; cp /evil/evil.so /tmp/l/libc.so.6; LD_LIBRARY_PATH=/tmp/l attack none", "failed to map segment", unknownIs},
	{"dlopen", "", "attack dlopen /evil/evil.so", "dlopen: refused", unknownIs},
	{"a library mapped as code", "", "attack file-map /evil/evil.so", "file-map: EACCES", unknownIs},
	{"data mapped as code", "", "attack file-map /evil/x.py", "file-map: EACCES", "exec.not-code"},
	{"a mapped file made code", "", "attack file-mprotect /lib/libgood.so", "file-mprotect: EACCES", ""},
	{"anonymous code", "", "attack anonymous", "anonymous: EACCES", ""},
	{"shared code", "", "attack shared", "shared: EACCES", ""},
	{"code in shared memory", "", "attack shm", "shm: E(ACCES|PERM)", ""},
	{"code in a memfd", "", "attack memfd-map", "memfd-map: EACCES", "exec.not-code"},
	{"mprotect", "", "attack mprotect", "mprotect: EACCES", ""},
	{"pkey_mprotect", "", "attack pkey_mprotect", "pkey_mprotect: E(ACCES|NOSYS|PERM)", ""},
	{"an executable stack", "", "attack stack", "stack: EACCES", ""},
	{"an executable heap", "", "attack heap", "heap: EACCES", ""},
	{"READ_IMPLIES_EXEC", "", "attack personality", "personality: (SIGSEGV|setting up: E(PERM|INVAL))", ""},
	{"JIT", "", "attack jit", "jit: SIGSEGV", ""},
	{"writing over one's own code", "", "attack overwrite", "overwrite: 1", ""},
	{"writing over it through /proc/self/mem", "", "attack procmem", "procmem: 1", ""},
	{"entering a unit that was not admitted", "", "/bin/foreign | grep -c ran; attack enter /bin/foreign", "1\nenter: SIG(SEGV|ILL)", ""},

	// Scripts.
	{"unknown script", "", "cp /evil/script /tmp/s; /tmp/s", refused, unknownIs},
	{"unknown text", "", "cp /evil/text /tmp/s; /tmp/s", refused, unknownIs},
	{"sh FILE", scripts, "sh /evil/lib.sh", refused, "source.unknown"},
	{"sh FILE of any name", scripts, "sh /evil/text", refused, "source.unknown"},
	{"sh < FILE", scripts, "sh < /evil/text", refused, "snippet.stdin"},
	{"sh from a pipe", scripts, "cat /evil/text | sh", refused, "snippet.stdin"},
	{"sh /dev/stdin", scripts, "cat /evil/text | sh /dev/stdin", refused, "snippet.stdin"},
	{"sh of a fifo", scripts, "mkfifo /tmp/f; cat /evil/text > /tmp/f & sh /tmp/f", refused, "source.no-file"},
	{"sh -c", scripts, "sh -c 'echo r''an'", refused, "snippet.inline"},
	{"sh -ec", scripts, "sh -ec 'echo r''an'", refused, "snippet.inline"},
	{"a known script that sources", scripts, "/app/sources.sh /evil/lib.sh", refused, "source.unknown"},
	{"ENV", scripts, "ENV=/evil/text sh -i /app/known.sh", refused, "snippet.stdin"},
	{"busybox by another name", scripts, "cp /bin/busybox /tmp/busybox; /tmp/busybox sh /evil/text", refused, "source.unknown"},
	{"awk PROGRAM", scripts, "mawk 'BEGIN { system(\"echo ran\") }'", refused, "snippet.inline"},
	{"awk -f", scripts, "mawk -f /evil/x.awk", "cannot open", "source.unknown"},
	{"awk -f of any name", scripts, "cp /evil/x.awk /tmp/x; mawk -f /tmp/x", "cannot open", "source.unknown"},
	{"awk inside of busybox's shell", scripts, "awk -f /evil/x.awk", refused, "source.unknown"},
	{"what awk starts inside of busybox's shell", scripts, "awk 'BEGIN { system(\"echo ran\") }'", "", "snippet.inline"},
	{"python -c", scripts, "python3 -c 'print(\"r\" \"an\")'", refused, "snippet.inline"},
	{"python from standard input", scripts, "echo 'print(\"r\" \"an\")' | python3", refused, "snippet.stdin"},
	{"python -", scripts, "echo 'print(\"r\" \"an\")' | python3 -", refused, "snippet.stdin"},
	{"python FILE", scripts, "python3 /evil/x.py", refused, "source.unknown"},
	{"python FILE of any name", scripts, "cp /evil/x.py /tmp/x; python3 /tmp/x", refused, "source.unknown"},
	{"python -i", scripts, "python3 -i /app/known.py", refused, "snippet.stdin"},
	{"PYTHONINSPECT", scripts, "PYTHONINSPECT=1 python3 /app/known.py", refused, "snippet.stdin"},
	{"PYTHONPATH", scripts, "PYTHONPATH=/evil python3 -S /app/imports.py", "PermissionError|Permission denied", "source.unknown"},
	{"python -m", scripts, "cd /evil; python3 -S -m attacker", "PermissionError|Permission denied", "source.unknown"},
	{"zipimport", scripts, "PYTHONPATH=/evil/archive python3 -S /app/imports.py", "ModuleNotFoundError", "source.unknown"},
	{"python ARCHIVE", scripts, "python3 /evil/archive", refused, "source.unknown"},
	{".pth", scripts, "mkdir -p /usr/lib/python3/dist-packages /usr/local/lib/python3.11/dist-packages; cp /evil/evil.pth /usr/local/lib/python3.11/dist-packages; " +
		"cp /evil/evil.pth /usr/lib/python3/dist-packages; python3 /app/known.py", "known", "source.unknown"},
	{"sitecustomize", scripts, "PYTHONPATH=/evil python3 /app/known.py", "known", "source.unknown"},
	{"a copy of python", scripts, "cp /usr/bin/python3 /tmp/cat; /tmp/cat -c 'print(\"r\" \"an\")'", refused, "snippet.inline"},
	{"binfmt_misc", "", "attack binfmt", "binfmt: E(PERM|NODEV|NOENT|INVAL|ACCES)", ""},

	// Metadata and time.
	{"setuid on a known program", "", "cp /bin/payload /tmp/x; chmod 4755 /tmp/x; /tmp/x", refused, "exec.binding"},
	{"setgid on a known program", "", "cp /bin/payload /tmp/x; chmod 2755 /tmp/x; /tmp/x", refused, "exec.binding"},
	{"another owner of a setuid program", "", "cp /bin/payload /tmp/x; chown 1000:1000 /tmp/x; chmod 4755 /tmp/x; /tmp/x", refused, "exec.binding"},
	{"changes between hash and load", "", "cp /bin/payload /tmp/x; attack race /tmp/x | grep -v '^ran'", "^race: all ran or were refused\n$", unknownIs},
	{"hashing without end", "", "truncate -s 100G /tmp/x; chmod 755 /tmp/x; /tmp/x", refused, "exec.too-large"},
	{"a mount that shadows", "", "attack mount; " + unknown + "/tmp/x", "mount: EPERM(.|\n)*" + refused, unknownIs},
}

func TestAttacks(t *testing.T) {
	w, err := build()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, a := range attacks {
		if names[a.name] {
			t.Errorf("two attacks are called %s", a.name)
		}
		names[a.name] = true
		t.Run(strings.ReplaceAll(a.name, "/", "-"), func(t *testing.T) {
			var flags []string
			if a.level != "" {
				flags = []string{"--exec-level", a.level}
			}
			out, trail := w.run(t, flags, a.script)
			if !regexp.MustCompile(a.want).MatchString(out) {
				t.Errorf("the guest saw %q, want %s", out, a.want)
			}
			if regexp.MustCompile(`(?m)^(ran|bad)`).MatchString(out) {
				t.Errorf("it ran: %q", out)
			}
			if a.rule != "" && !refusal(trail, "deny", a.rule) {
				t.Errorf("the trail has no refusal by %s:\n%s", a.rule, trail)
			}
		})
	}
}
