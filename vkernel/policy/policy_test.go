package policy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"megabinary.dev/vkernel/linux"
)

func options() Options {
	return Options{Levels: []string{"elf-only", "known-scripts"}, Kernel: "5.15.0-x",
		Getenv: func(n string) (string, bool) { return "s3cret", n == "TOKEN" },
		ReadFile: func(p string) ([]byte, error) {
			if p == "dir/own.json" {
				return []byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["ptrace","nosuch"],"action":"SCMP_ACT_KILL_PROCESS"}]}`), nil
			}
			return nil, os.ErrNotExist
		}}
}

func decode(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Decode("dir/p.yaml", []byte(text), options())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// full has every key.
const full = `version: 1
description: all there is
exec: {level: elf-only}
seccomp: {profile: own.json, capabilities: [CAP_SYS_ADMIN]}
syscalls:
  default: allow
  errno: ENOSYS
  rules:
    - {names: [socket], args: [{index: 0, op: eq, value: 16}], action: errno, errno: EAFNOSUPPORT}
    - {names: [clone], args: [{index: 0, op: masked-eq, mask: 0x10000000, value: 0x10000000}], action: trap}
binaries:
  - path: /usr/bin/curl
    digest: sha256:` + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" + `
    syscalls: {default: errno, rules: [{names: [read, write], action: allow}]}
files:
  default: write
  rules:
    - {path: /etc/shadow, access: none}
    - {path: /etc/**, access: read}
egress:
  - {to: 10.0.0.0/8:443/tcp}
  - {to: db.internal:5432, addresses: [10.1.2.3]}
  - {to: "*.example.com:443"}
  - {to: www.example.org, pin: true}
  - http:
      host: api.example.com
      port: 8080
      upstream: https://api.example.com
      rules: [{methods: [GET, HEAD], paths: [/v1/**]}]
      credential: {header: authorization, prefix: "Bearer ", env: TOKEN}
limits: {memory: 256m, open-files: 100, processes: 10, cpu-seconds: 60, file-size: 1g, stack: 8m}
environment: {allow: [PATH, LC_*], drop: [LC_ALL], set: {HOME: /tmp}}
`

func TestFull(t *testing.T) {
	p := decode(t, full)
	if p.ExecLevel != "elf-only" || p.Limits.Memory != 256<<20 || p.Limits.Rlimits[linux.RLIMIT_NOFILE].Cur != 100 || !strings.HasPrefix(p.Digest, "sha256:") {
		t.Errorf("%+v", p)
	}
	if got := p.Env.Apply([]string{"PATH=/bin", "LC_ALL=C", "LC_X=1", "SECRET=1", "HOME=/root"}); !slices.Equal(got, []string{"PATH=/bin", "LC_X=1", "HOME=/tmp"}) {
		t.Errorf("environment %q", got)
	}
	if !slices.Equal(p.Ignored, []string{"nosuch"}) {
		t.Errorf("ignored %q", p.Ignored)
	}
	if len(p.Egress) != 5 || p.Egress[1].Addresses[0].String() != "10.1.2.3" || !p.Egress[3].Pin {
		t.Errorf("egress %+v", p.Egress)
	}
	h := p.Egress[4].HTTP
	if h == nil || h.Header != "Authorization" || h.Value != "Bearer s3cret" || !h.Rules[0].Path("/v1/x") || h.Rules[0].Path("/v2/x") {
		t.Errorf("http %+v", h)
	}
}

func sys(name string) uint64 { return uint64(sysByName()[name]) }

func TestVerdicts(t *testing.T) {
	p := decode(t, full)
	digest := "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		path, digest, name string
		arg                uint64
		want               Verdict
		rule               string
	}{
		{"/bin/sh", "", "read", 0, Allow, "seccomp.default"},
		{"/bin/sh", "", "ptrace", 0, KillProcess, "seccomp.syscalls[0]"},
		{"/bin/sh", "", "socket", 16, Errno | Verdict(linux.EAFNOSUPPORT), "syscalls.rules[0]"},
		{"/bin/sh", "", "socket", 2, Allow, "seccomp.default"},
		{"/bin/sh", "", "clone", 0x10000011, Trap, "syscalls.rules[1]"},
		{"/bin/sh", "", "clone", 0x11, Allow, "seccomp.default"},
		{"/usr/bin/curl", digest, "read", 0, Allow, "seccomp.default"},
		{"/usr/bin/curl", digest, "open", 0, Errno | Verdict(linux.EPERM), "binaries[0].syscalls.default"},
		{"/usr/bin/curl", digest, "socket", 16, Errno | Verdict(linux.EAFNOSUPPORT), "syscalls.rules[0]"},
		{"/usr/bin/curl", "sha256:other", "open", 0, Allow, "seccomp.default"},
	} {
		f := p.Filter(c.path, c.digest)
		v, rule := f.Eval(sys(c.name), &[6]uint64{c.arg})
		if v != c.want || rule != c.rule {
			t.Errorf("%s %s(%#x): %s by %s, want %s by %s", c.path, c.name, c.arg, v, rule, c.want, c.rule)
		}
		if f.Passes(sys(c.name)) && v != Allow {
			t.Errorf("%s %s passes unseen", c.path, c.name)
		}
	}
	if f := p.Filter("/bin/sh", ""); f != p.Filter("/bin/cat", "") || !f.Passes(sys("read")) || f.Passes(sys("socket")) {
		t.Error("the decision table is not what it should be")
	}
}

func TestUnknownNumbers(t *testing.T) {
	p, err := Default("5.15.0")
	if err != nil {
		t.Fatal(err)
	}
	for _, nr := range []uint64{400, 511, 512, 1 << 30, 1<<64 - 1} {
		if v, _ := p.Filter("", "").Eval(nr, new([6]uint64)); v != Errno|Verdict(linux.ENOSYS) {
			t.Errorf("%d: %s", nr, v)
		}
	}
}

func TestDockersProfile(t *testing.T) {
	p, err := Default("5.15.0")
	if err != nil {
		t.Fatal(err)
	}
	f := p.Filter("", "")
	for name, want := range map[string]Verdict{"read": Allow, "execve": Allow, "ptrace": Allow, "mount": Errno | Verdict(linux.EPERM),
		"bpf": Errno | Verdict(linux.EPERM), "clone3": Errno | Verdict(linux.ENOSYS), "kexec_load": Errno | Verdict(linux.EPERM), "clone": Allow} {
		if v, rule := f.Eval(sys(name), new([6]uint64)); v != want {
			t.Errorf("%s: %s by %s, want %s", name, v, rule, want)
		}
	}
	if v, _ := f.Eval(sys("clone"), &[6]uint64{0x10000000}); v.Action() != Errno {
		t.Errorf("clone(CLONE_NEWUSER): %s", v)
	}
	if v, _ := f.Eval(sys("personality"), &[6]uint64{0x0400000}); v.Action() != Errno {
		t.Errorf("personality(READ_IMPLIES_EXEC): %s", v)
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "EOF"},
		{"version: 2\n", "dir/p.yaml:1:10: version 2 is not 1"},
		{"exec: {}\n", `dir/p.yaml:1:1: the policy needs a key "version"`},
		{"version: 1\nnetwork: x\n", `dir/p.yaml:2:1: unknown key "network" in the policy; known are binaries, `},
		{"version: 1\nversion: 1\n", `key "version" comes twice`},
		{"version: 1\nexec: {level: all}\n", `dir/p.yaml:2:15: exec.level: "all" is none of elf-only, known-scripts`},
		{"version: 1\nsyscalls: {rules: [{names: [nosuch], action: allow}]}\n", `dir/p.yaml:2:29: an entry of names: there is no system call "nosuch"`},
		{"version: 1\nsyscalls: {rules: [{names: [read], action: deny}]}\n", `dir/p.yaml:2:44: action: "deny" is none of`},
		{"version: 1\nsyscalls: {rules: [{names: [read], action: errno, errno: EFOO}]}\n", `there is no errno "EFOO"`},
		{"version: 1\nsyscalls: {rules: [{names: [], action: allow}]}\n", "names is empty"},
		{"version: 1\nsyscalls: {rules: [{names: [read], action: allow, args: [{index: 6, op: eq, value: 1}]}]}\n", "index must be a whole number from 0 to 5"},
		{"version: 1\nsyscalls: {rules: [{names: [read], action: allow, args: [{index: 0, op: eq, value: 1, mask: 2}]}]}\n", "mask goes with masked-eq"},
		{"version: 1\nsyscalls: {rules: [{names: [read], action: allow, args: [{index: 0, op: gt, value: 1}, {index: 0, op: lt, value: 9}]}]}\n", "two conditions on argument 0"},
		{"version: 1\nseccomp: {profile: none.json}\n", "dir/p.yaml:2:20: seccomp.profile: file does not exist"},
		{"version: 1\nseccomp: {capabilities: [sys_admin]}\n", `"sys_admin" is not CAP_ and capitals`},
		{"version: 1\nfiles: {rules: [{path: etc, access: read}]}\n", "a path starts with /"},
		{"version: 1\nfiles: {rules: [{path: /etc/, access: read}]}\n", `"/etc/" is not clean: write "/etc"`},
		{"version: 1\nfiles: {default: rw}\n", `"rw" is none of none, see, read, write`},
		{"version: 1\negress: [{to: 1.2.3.4:99999}]\n", "dir/p.yaml:2:15: to: "},
		{"version: 1\negress: [{}]\n", "needs either to or http"},
		{"version: 1\negress: [{to: 1.2.3.4, pin: true}]\n", "addresses and pin go with a name"},
		{"version: 1\negress: [{http: {host: x, rules: [], upstream: 'ftp://x'}}]\n", "is not http:// or https://"},
		{"version: 1\negress: [{http: {host: x, rules: [], credential: {header: A, env: NOPE}}}]\n", "variable NOPE is not set"},
		{"version: 1\negress: [{http: {host: x, rules: []}}, {http: {host: X, rules: []}}]\n", "two entries with http for x"},
		{"version: 1\nlimits: {memory: lots}\n", "limits.memory must be a size"},
		{"version: 1\nlimits: {memory: 1}\n", "limits.memory must be a size of 1048576 or more"},
		{"version: 1\nenvironment: {set: {A: 1}}\n", `the value of A must be a string, not the value "1"`},
		{"version: 1\nbinaries: [{syscalls: {}}]\n", "needs a path or a digest"},
		{"version: 1\nbinaries: [{digest: 'sha256:aa', syscalls: {}}]\n", "is not sha256: and 64 digits"},
		{"version: 1\nfiles: &a {default: read}\nlimits: *a\n", "aliases are not allowed"},
		{"version: 1\n---\nversion: 1\n", "more than one YAML document"},
		{"[]\n", "the policy must be a mapping, not a list"},
	} {
		if _, err := Decode("dir/p.yaml", []byte(c.text), options()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestSecrets(t *testing.T) {
	o := options()
	o.Getenv = func(string) (string, bool) { return "a\r\nX-Evil: 1", true }
	_, err := Decode("p", []byte("version: 1\negress: [{http: {host: x, rules: [], credential: {header: A, env: T}}}]\n"), o)
	if err == nil || !strings.Contains(err.Error(), "no header may") || strings.Contains(err.Error(), "Evil") {
		t.Errorf("a secret with a line feed: %v", err)
	}
}

func TestFiles(t *testing.T) {
	p := decode(t, `version: 1
files:
  default: none
  rules:
    - {path: /usr/lib/x/secret, access: none}
    - {path: /usr/**, access: read}
    - {path: /home/*/.ssh/**, access: none}
    - {path: /home/**, access: write}
    - {path: "/srv/**/log?.txt", access: read}
    - {path: /data/one, access: see}
`)
	for path, want := range map[string]Access{
		"/usr": Read, "/usr/bin/ls": Read, "/usrx": None, "/usr/lib/x/secret": None, "/usr/lib/x": Read,
		"/home": Write, "/home/a/.ssh": None, "/home/a/.ssh/id": None, "/home/a/x/.ssh/id": Write, "/home/a/f": Write,
		"/srv/log1.txt": Read, "/srv/a/b/logx.txt": Read, "/srv/log12.txt": See, "/": See, "/srv": See, "/srv/a": See,
		"/data": See, "/data/one": See, "/data/two": None, "/etc": None,
	} {
		if got, rule := p.Files.Access(path); got != want {
			t.Errorf("%s: %s by %s, want %s", path, got, rule, want)
		}
	}
	for path, want := range map[string]bool{"/usr": false, "/": false, "/home": false, "/home/a": false, "/opt": true, "/data": false} {
		if got := p.Files.Moves(path); got != want {
			t.Errorf("%s moves: %v, want %v", path, got, want)
		}
	}
}

func TestRecordedPolicyAllowsWhatWasRecorded(t *testing.T) {
	r := NewRecorder()
	if r.Filter().Passes(0) {
		t.Fatal("a call passes unseen")
	}
	digest := "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	r.Syscall("/bin/sh", digest, sys("read"))
	r.Syscall("/bin/sh", digest, sys("openat"))
	r.File("/etc/passwd", Read)
	r.File("/proc/17/stat", Read)
	r.File("/tmp/x.abc", Write)
	r.File("/odd/\nname/é*", Write)
	r.File("/odd/ok\x01", Write)
	r.Egress("10.1.2.3:80/tcp")
	text, err := r.Policy("test")
	if err != nil {
		t.Fatal(err)
	}
	p := decode(t, string(text))
	f := p.Filter("/bin/sh", digest)
	if !f.Passes(sys("read")) || !f.Passes(sys("openat")) || f.Passes(sys("write")) || len(p.Egress) != 1 {
		t.Errorf("the filter is not what was recorded:\n%s", text)
	}
	if p.Filter("/bin/other", "").Passes(sys("write")) {
		t.Error("a program that was not recorded may do more")
	}
	for path, want := range map[string]Access{"/etc/passwd": Read, "/etc/shadow": None, "/proc/4242/stat": Read, "/tmp/x.def": Write, "/odd/ok\x01": Write, "/etc": See} {
		if got, _ := p.Files.Access(path); got != want {
			t.Errorf("%s: %s, want %s\n%s", path, got, want, text)
		}
	}
}

// TestSchema holds the published schema against the decoder: what one takes, the
// other does, but for what a schema cannot say.
func TestSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text string) error {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			return err
		}
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		inst, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
		if err != nil {
			return err
		}
		return s.Validate(inst)
	}
	if err := valid(full); err != nil {
		t.Errorf("the full policy: %v", err)
	}
	for _, text := range []string{"version: 2", "exec: {}", "{version: 1, network: x}", "{version: 1, files: {default: rw}}", "{version: 1, egress: [{}]}",
		"{version: 1, binaries: [{syscalls: {}}]}", "{version: 1, syscalls: {rules: [{names: [read], action: deny}]}}", "{version: 1, environment: {set: {A: 1}}}"} {
		if valid(text) == nil {
			t.Errorf("the schema takes %s", text)
		}
		if _, err := Decode("p", []byte(text), options()); err == nil {
			t.Errorf("the decoder takes %s", text)
		}
	}
}

func TestExamplesOfTheDocumentation(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "POLICY.md"))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(b), "```yaml\n")
	if len(parts) < 3 {
		t.Fatalf("%d examples", len(parts)-1)
	}
	for i, part := range parts[1:] {
		text, _, _ := strings.Cut(part, "```")
		o := options()
		o.ReadFile = func(string) ([]byte, error) { return []byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}`), nil }
		o.Getenv = func(string) (string, bool) { return "x", true }
		if _, err := Decode(fmt.Sprintf("example-%d", i+1), []byte(text), o); err != nil {
			t.Error(err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("version: 1\nfiles: {default: none, rules: [{path: /a/*/b/**, access: read}]}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode("p", b, options())
		if err != nil {
			return
		}
		filter := p.Filter("/bin/sh", "")
		for nr := range uint64(NumSyscalls) {
			if filter != nil && filter.Passes(nr) {
				if v, _ := filter.Eval(nr, new([6]uint64)); v != Allow {
					t.Fatalf("%d passes unseen, but is %s", nr, v)
				}
			}
		}
		if p.Files != nil {
			p.Files.Access("/etc/passwd")
			p.Files.Moves("/etc")
		}
	})
}

func FuzzSeccomp(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"archMap":[],"syscalls":[{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}],"excludes":{"caps":["CAP_SYS_ADMIN"],"minKernel":"4.8"}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, _, err := ParseSeccomp(b, Guest{Kernel: 5, Major: 15})
		if err != nil {
			return
		}
		filter := Compile(l)
		for _, nr := range []uint64{0, 56, 400, 1 << 40} {
			v, _ := filter.Eval(nr, &[6]uint64{1, 2, 3})
			if filter.Passes(nr) != (v == Allow) && filter.Passes(nr) {
				t.Fatalf("%d passes unseen, but is %s", nr, v)
			}
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	p, err := Default("5.15.0")
	if err != nil {
		b.Fatal(err)
	}
	f := p.Filter("", "")
	b.Run("flat", func(b *testing.B) {
		for range b.N {
			if !f.Passes(39) {
				b.Fatal("getpid")
			}
		}
	})
	args := [6]uint64{0x11}
	b.Run("arguments", func(b *testing.B) {
		for range b.N {
			if v, _ := f.Eval(56, &args); v != Allow {
				b.Fatal(v)
			}
		}
	})
}
