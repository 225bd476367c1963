package exec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/vkernel/audit"
)

// TestSourcesOf reads command lines; the last words of each case are what is
// expected: i: code, f: a file, stdin.
func TestSourcesOf(t *testing.T) {
	const sh, py, pl, js = artifact.Shell, artifact.Python, artifact.Perl, artifact.JavaScript
	for _, c := range []struct {
		language artifact.Language
		argv     string // words; _ is a space in a word
		env      string
		want     string
	}{
		{sh, "sh", "", "stdin"}, {sh, "-bash", "", "stdin"}, {sh, "sh -c code x y", "", "i:-c=code"}, {sh, "sh -ec code", "", "i:-c=code"},
		{sh, "sh -c -e code", "", "i:-c=code"}, {sh, "bash --norc -c code", "", "i:-c=code"}, {sh, "sh -o errexit -c code", "", "i:-c=code"},
		{sh, "sh -eo pipefail -c code", "", "i:-c=code"}, {sh, "sh +x -c -- code", "", "i:-c=code"}, {sh, "sh -c", "", ""},
		{sh, "sh file -c code", "", "f:file"}, {sh, "sh -e file", "", "f:file"}, {sh, "sh -s file", "", "stdin"}, {sh, "sh -- file", "", "f:file"},
		{sh, "sh /dev/stdin", "", "f:/dev/stdin stdin"}, {sh, "sh - file", "", "f:file"}, {sh, "bash --rcfile rc -i", "", "f:rc stdin"}, {sh, "sh -i file", "", "stdin"},
		{sh, "bash --version", "", ""}, {sh, "sh file", "ENV=rc BASH_ENV=rc2", "f:file f:rc f:rc2"},
		{sh, "sh file", "BASH_FUNC_ls%%=()_{_code;_}", "f:file i:BASH_FUNC_ls%%=()_{_code;_}"}, {sh, "sh file", "PS4=$(code) PS1=$", "f:file i:PS4=$(code)"},
		{py, "python3", "", "stdin"}, {py, "python3 -c code x", "", "i:-c=code"}, {py, "python3 -ccode", "", "i:-c=code"}, {py, "python3 -Sc code", "", "i:-c=code"},
		{py, "python3 -m mod x", "", ""}, {py, "python3 -W error -X dev file", "", "f:file"}, {py, "python3 -", "", "stdin"}, {py, "python3 -i file", "", "f:file stdin"},
		{py, "python3 -IEs file -c x", "", "f:file"}, {py, "python3 --version", "", ""}, {py, "python3 --check-hash-based-pycs always file", "", "f:file"},
		{py, "python3 file", "PYTHONSTARTUP=s PYTHONINSPECT=1", "f:file f:s stdin"},
		{pl, "perl -e code x", "", "i:-e=code"}, {pl, "perl -ne code", "", "i:-e=code"}, {pl, "perl -lne code", "", "i:-e=code"}, {pl, "perl -0777ne code", "", "i:-e=code"},
		{pl, "perl -i.bak -pe code file", "", "i:-e=code"}, {pl, "perl -E code -e more", "", "i:-E=code i:-e=more"}, {pl, "perl -Ilib -MFoo=bar file", "", "f:file"},
		{pl, "perl -Mbase;code file", "", "i:-M=base;code f:file"}, {pl, "perl -CSDe code", "", "i:-e=code"}, {pl, "perl -w file", "", "f:file"}, {pl, "perl", "", "stdin"},
		{pl, "perl file", "PERL5DB=code", "f:file i:PERL5DB=code"}, {pl, "perl file", "PERL5OPT=-Mx;code", "f:file i:-M=x;code i:PERL5OPT=-Mx;code"}, {pl, "perl -te code", "", "i:-e=code"},
		{artifact.Awk, "awk code file", "", "i:program=code"}, {artifact.Awk, "awk -F : -v a=b code file", "", "i:program=code"}, {artifact.Awk, "awk -F: code", "", "i:program=code"},
		{artifact.Awk, "awk -f prog file", "", "f:prog"}, {artifact.Awk, "gawk --file=prog -e code", "", "f:prog i:-e=code"}, {artifact.Awk, "gawk -E prog -f data", "", "f:prog"},
		{js, "node -e code", "", "i:-e=code"}, {js, "node --eval code", "", "i:--eval=code"}, {js, "node --eval=code", "", "i:--eval=code"}, {js, "node -pe code", "", "i:-p=e"},
		{js, "node -p code", "", "i:-p=code"}, {js, "node -r pre file", "", "f:pre"}, {js, "node", "", "stdin"}, {js, "node file", "", "f:file"}, {js, "node -", "", "stdin"},
		{js, "node file", "NODE_OPTIONS=--require=pre", "f:file f:pre"}, {artifact.Lua, "lua -e code file", "", "i:-e=code"}, {artifact.Lua, "lua file", "LUA_INIT=code", "f:file i:LUA_INIT=code"},
		{artifact.Lua, "lua file", "LUA_INIT_5_4=@init", "f:file f:init"}, {artifact.Ruby, "ruby -ne code", "", "i:-e=code"}, {artifact.PHP, "php -r code", "", "i:-r=code"},
		{artifact.Tcl, "tclsh file", "", "f:file"}, {artifact.BusyBox, "busybox sh -c code", "", "i:-c=code"}, {artifact.BusyBox, "ash file", "", "f:file"},
		{artifact.BusyBox, "/x/busybox awk code", "", "i:program=code"}, {artifact.BusyBox, "ls -c code", "", ""}, {artifact.BusyBox, "busybox", "", ""},
		{sh, "", "", "stdin"},
	} {
		argv, env := strings.Fields(c.argv), strings.Fields(c.env)
		for i := range env {
			env[i] = strings.ReplaceAll(env[i], "_{", " {")
		}
		s := SourcesOf(c.language, argv, env)
		var got []string
		for _, f := range s.Files {
			got = append(got, "f:"+f)
		}
		for _, i := range s.Inline {
			got = append(got, "i:"+i.How+"="+strings.ReplaceAll(i.Code, " {", "_{"))
		}
		if s.Stdin {
			got = append(got, "stdin")
		}
		want := strings.Fields(c.want)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s %q %q: %q, want %q", c.language, c.argv, c.env, got, want)
		}
	}
}

func FuzzSourcesOf(f *testing.F) {
	f.Add("python", "python3\x00-Sc\x00code", "PYTHONINSPECT=1")
	f.Add("perl", "perl\x00-0777lne\x00code", "PERL5OPT=-Mx;y\x00=")
	f.Add("busybox", "busybox\x00busybox\x00sh\x00-o", "ENV=x")
	f.Add("javascript", "node\x00--eval", "NODE_OPTIONS=--eval -")
	f.Fuzz(func(t *testing.T, language, argv, env string) {
		s := SourcesOf(artifact.Language(language), strings.Split(argv, "\x00"), strings.Split(env, "\x00"))
		s.names(argv)
	})
}

// TestStart decides on the code of a command line at every level.
func TestStart(t *testing.T) {
	entry := &artifact.ExecMapEntry{Kind: artifact.ExecInterpreter, Language: artifact.Python}
	const code = "print(1)"
	for _, c := range []struct {
		name     string
		options  Options
		argv     []string
		operator bool
		allow    bool
		trail    string // verdict and rule; "": no line
	}{
		{"elf-only", Options{Level: LevelELFOnly}, []string{"python3", "-c", code}, false, true, ""},
		{"interactive", Options{}, []string{"python3", "-c", code}, false, true, `"allow","rule":"snippet.inline"`},
		{"known-scripts", Options{Level: LevelKnownScripts}, []string{"python3", "-c", code}, false, false, `"deny","rule":"snippet.inline"`},
		{"the operator's", Options{Level: LevelKnownScripts}, []string{"python3", "-c", code}, true, true, `"allow","rule":"snippet.operator"`},
		{"allowed", Options{Level: LevelKnownScripts, Snippets: map[string]bool{digestOf([]byte(code)): true}}, []string{"python3", "-c", code}, false, true, `"allow","rule":"snippet.known"`},
		{"standard input", Options{Level: LevelKnownScripts}, []string{"python3"}, true, false, `"deny","rule":"snippet.stdin"`},
		{"audit only", Options{Level: LevelKnownScripts, Mode: ModeAudit}, []string{"python3"}, false, true, `"would-deny","rule":"snippet.stdin"`},
		{"cannot be kept", Options{Keep: func(string, []byte) error { return fmt.Errorf("full") }}, []string{"python3", "-c", code}, false, false, ""},
	} {
		var trail bytes.Buffer
		k, err := New(&artifact.ExecMap{}, c.options, audit.New(&trail, "c", ""), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, d, err := k.Start(entry, Request{Path: "/usr/bin/python3"}, c.argv, nil, c.operator)
		if d.Allow != c.allow || (err != nil) != (c.name == "cannot be kept") {
			t.Errorf("%s: %+v, %v", c.name, d, err)
		}
		if got := trail.String(); (c.trail == "") != (got == "") || !strings.Contains(got, c.trail) {
			t.Errorf("%s: the trail has %s", c.name, got)
		}
	}
}

// TestCheckSource: what an interpreter reads as code are the bytes that were
// hashed.
func TestCheckSource(t *testing.T) {
	known := []byte("import os\n")
	m := &artifact.ExecMap{Entries: []artifact.ExecMapEntry{{Digest: digestOf(known), Size: int64(len(known)), Kind: artifact.ExecScript, Verdict: artifact.VerdictScript, Unit: -1}}}
	zip := append([]byte("#!junk\nPK\x03\x04"), "....PK\x05\x06................."...)
	for _, c := range []struct {
		name, path string
		level      Level
		data       []byte
		allow      bool
		rule       string
	}{
		{"a known module", "/x/m.py", LevelKnownScripts, known, true, RuleSource},
		{"an unknown module", "/x/m.py", LevelKnownScripts, []byte("x"), false, RuleSourceUnknown},
		{"the same, logged", "/x/m.py", LevelInteractive, []byte("x"), true, RuleSourceUnknown},
		{"the script that was named", "/x/script", LevelKnownScripts, []byte("x"), false, RuleSourceUnknown},
		{"data", "/x/data.csv", LevelKnownScripts, []byte("x"), true, ""},
		{"a ZIP archive of any name", "/x/data", LevelKnownScripts, zip, false, RuleSourceUnknown},
		{"another language's", "/x/m.rb", LevelKnownScripts, []byte("x"), true, ""},
	} {
		var trail bytes.Buffer
		k, err := New(m, Options{Level: c.level}, audit.New(&trail, "c", ""), NewCache(1<<20))
		if err != nil {
			t.Fatal(err)
		}
		s := SourcesOf(artifact.Python, []string{"python3", "/x/script"}, nil)
		d, err := k.CheckSource(t.Context(), s, Request{Path: c.path, File: &memFile{data: c.data}})
		if err != nil || d.Allow != c.allow || d.Rule != c.rule {
			t.Errorf("%s: %+v, %v", c.name, d, err)
		}
		if d.Allow && d.Rule != "" && !bytes.Equal(d.Content, c.data) {
			t.Errorf("%s: no verified bytes", c.name)
		}
		if quiet := c.rule == "" || c.rule == RuleSource; quiet != (trail.Len() == 0) {
			t.Errorf("%s: the trail has %q", c.name, trail.String())
		}
	}
}

// TestUnknownFilesDoNotPushOutKnownOnes fills the cache with contents that are not
// in the map.
func TestUnknownFilesDoNotPushOutKnownOnes(t *testing.T) {
	c := controller(t, LevelKnownScripts, &bytes.Buffer{})
	known := &memFile{data: program, id: Identity{Inode: 1}, fixed: true}
	check := func(f *memFile) {
		if _, err := c.Check(t.Context(), Request{File: f, Use: UseExec, Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	check(known)
	for i := range uint64(100) {
		check(&memFile{data: bytes.Repeat([]byte{byte(i)}, 1<<19), id: Identity{Inode: 100 + i}, fixed: true})
	}
	check(known)
	if known.reads != 1 {
		t.Errorf("the known file was read %d times", known.reads)
	}
}
