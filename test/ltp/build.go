package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"megabinary.dev/test/suite"
)

// built is the tests as programs.
type built struct {
	dir       string            // where each is found by name
	programs  map[string]string // by name; equal to multicall for most
	multicall string
}

// build makes the tests. All of them go into one static program, which looks at
// argv[0]: a program each would have glibc recompiled hundreds of times. Tests
// whose objects do not fit together are programs of their own.
func build(o options, names []string) (*built, error) {
	src := filepath.Join(o.out, "src")
	b := &built{dir: filepath.Join(o.out, "bin"), programs: map[string]string{}}
	b.multicall = filepath.Join(b.dir, "ltp-multicall")
	for _, dir := range []string{b.dir, filepath.Join(o.out, "log"), filepath.Join(o.out, "obj")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making a folder: %w", err)
		}
	}
	if err := prepare(o, src); err != nil {
		return nil, err
	}
	sources, err := findSources(src)
	if err != nil {
		return nil, err
	}
	names = slices.Clone(names)             // it grows, and is the caller's
	for _, n := range slices.Clone(names) { // the programs that tests execute
		for s := range sources {
			if strings.HasPrefix(s, n+"_") && (strings.HasSuffix(s, "child") || strings.HasSuffix(s, "helper")) {
				names = append(names, s)
			}
		}
	}
	sort.Strings(names)
	names = slices.Compact(names)
	libs, err := libraries(src)
	if err != nil {
		return nil, err
	}
	known, err := symbols(append(libs, "-g", "--defined-only", libc())...)
	if err != nil {
		return nil, err
	}
	var members []member
	for _, n := range names {
		dir := sources[n]
		if dir == "" {
			fmt.Printf("%-28s left out: no source file of this name\n", n)
			continue
		}
		m, err := addMember(o, dir, n, known)
		if err != nil {
			return nil, err
		}
		if m.name != "" {
			members = append(members, m)
			b.programs[n] = b.multicall
			continue
		}
		if err := suite.Command(dir, "", "make", n); err != nil {
			fmt.Printf("%-28s left out: it does not build\n", n)
			continue
		}
		b.programs[n] = filepath.Join(dir, n)
	}
	if err := b.link(o, libs, members); err != nil {
		return nil, err
	}
	return b, b.links()
}

// prepare copies, configures and builds what all tests need, once.
func prepare(o options, src string) error {
	done := filepath.Join(src, "megabin-prepared")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(o.src, "testcases", "kernel", "syscalls")); err != nil {
		return fmt.Errorf("%s is no checkout of LTP: %w", o.src, err)
	}
	if err := os.RemoveAll(src); err != nil {
		return fmt.Errorf("clearing %s: %w", src, err)
	}
	for _, argv := range [][]string{{"cp", "-a", o.src, src}, {"make", "-C", src, "autotools"},
		{"sh", "-c", "cd src && ./configure LDFLAGS=-static"}, {"make", "-C", filepath.Join(src, "lib")}, {"make", "-C", filepath.Join(src, "libs")}} {
		if err := suite.Command(o.out, "prepare.log", argv...); err != nil {
			return err
		}
	}
	return os.WriteFile(done, nil, 0o644)
}

// findSources returns the folder of each C file of LTP's kernel tests by its
// name without .c.
func findSources(src string) (map[string]string, error) {
	found := map[string]string{}
	err := filepath.WalkDir(filepath.Join(src, "testcases", "kernel"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".c") {
			found[strings.TrimSuffix(filepath.Base(path), ".c")] = filepath.Dir(path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for LTP's tests: %w", err)
	}
	return found, nil
}

func object(o options, name string) string { return filepath.Join(o.out, "obj", name+".o") }

// libraries returns LTP's libraries.
func libraries(src string) ([]string, error) {
	libs, err := filepath.Glob(filepath.Join(src, "libs", "*", "*.a"))
	libs = slices.DeleteFunc(libs, func(l string) bool { return strings.HasSuffix(l, "/libltpipc.a") }) // the old one's names clash
	return append(libs, filepath.Join(src, "lib", "libltp.a")), err
}

// libc returns the path of the C library.
func libc() string {
	out, err := exec.Command("gcc", "-print-file-name=libc.a").Output()
	if err != nil {
		return "libc.a" // nm says what is wrong
	}
	return strings.TrimSpace(string(out))
}

// symbols returns the names that nm lists.
func symbols(args ...string) (map[string]bool, error) {
	out, err := exec.Command("nm", append([]string{"-f", "posix"}, args...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("listing the symbols of %q: %w", args, err)
	}
	set := map[string]bool{}
	for _, line := range strings.Split(string(out), "\n") {
		name, _, _ := strings.Cut(line, " ")
		set[name] = true
	}
	return set, nil
}

// member is a test that is one of many in a program.
type member struct {
	name string
	old  bool // of LTP's old library, which refers to the test's TCID and TST_TOTAL
}

// addMember makes a test's object with main renamed and everything else local;
// its name is empty if the test cannot be one of many. known are the libraries'
// symbols.
func addMember(o options, dir, name string, known map[string]bool) (member, error) {
	out := object(o, name)
	if suite.Command(dir, "", "make", name+".o") != nil {
		return member{}, nil
	}
	raw := filepath.Join(dir, name+".o")
	own, err := symbols("-g", "--defined-only", raw)
	if err != nil {
		return member{}, err
	}
	needed, err := symbols("-u", raw)
	if err != nil {
		return member{}, err
	}
	m := member{name: name, old: own["TCID"]}
	if !own["main"] || own["TCID"] != own["TST_TOTAL"] {
		return member{}, nil
	}
	for sym := range needed {
		if !known[sym] && sym != "_GLOBAL_OFFSET_TABLE_" {
			return member{}, nil // it has another file of its own
		}
	}
	argv := []string{"objcopy"}
	for _, sym := range []string{"main", "TCID", "TST_TOTAL"} {
		if own[sym] {
			renamed := global(name, sym)
			argv = append(argv, "--redefine-sym", sym+"="+renamed, "--keep-global-symbol="+renamed)
		}
	}
	return m, suite.Command(dir, "", append(argv, raw, out)...)
}

// global is what a symbol of a member is called.
func global(name, sym string) string { return "ltp_" + name + "_" + sym }

// multicall is main of the program of all members, less the table.
const multicall = `
const char *TCID;
int TST_TOTAL;

int main(int argc, char **argv, char **envp)
{
	const char *name = strrchr(argv[0], '/');
	name = name ? name + 1 : argv[0];
	for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++)
		if (strcmp(name, tests[i].name) == 0) {
			if (tests[i].tcid) {
				TCID = *tests[i].tcid;
				TST_TOTAL = *tests[i].total;
			}
			return tests[i].main(argc, argv, envp);
		}
	return strcmp(name, "ltp-multicall") != 0;
}
`

// link makes the program of all members.
func (b *built) link(o options, libs []string, members []member) error {
	var head, table strings.Builder
	head.WriteString("#include <stdio.h>\n#include <string.h>\n")
	table.WriteString("static const struct { const char *name; int (*main)(int, char **, char **); char **tcid; int *total; } tests[] = {\n")
	for _, m := range members {
		fmt.Fprintf(&head, "int %s(int, char **, char **);\n", global(m.name, "main"))
		tcid, total := "0", "0"
		if m.old {
			tcid, total = "&"+global(m.name, "TCID"), "&"+global(m.name, "TST_TOTAL")
			fmt.Fprintf(&head, "extern char *%s;\nextern int %s;\n", tcid[1:], total[1:])
		}
		fmt.Fprintf(&table, "\t{\"%s\", %s, %s, %s},\n", m.name, global(m.name, "main"), tcid, total)
	}
	table.WriteString("};\n")
	file := filepath.Join(o.out, "obj", "multicall.c")
	if err := os.WriteFile(file, []byte(head.String()+table.String()+multicall), 0o644); err != nil {
		return fmt.Errorf("writing the table of tests: %w", err)
	}
	argv := []string{"gcc", "-static", "-O1", "-o", b.multicall, file}
	for _, m := range members {
		argv = append(argv, object(o, m.name))
	}
	argv = append(argv, "-Wl,--start-group")
	argv = append(argv, libs...)
	return suite.Command(o.out, "link.log", append(argv, "-lpthread", "-lrt", "-Wl,--end-group")...)
}

// links puts every test where PATH finds it.
func (b *built) links() error {
	for name, program := range b.programs {
		at := filepath.Join(b.dir, name)
		if err := os.RemoveAll(at); err != nil {
			return fmt.Errorf("clearing %s: %w", at, err)
		}
		if err := os.Symlink(program, at); err != nil {
			return fmt.Errorf("naming a test: %w", err)
		}
	}
	return nil
}
