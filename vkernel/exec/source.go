package exec

import (
	"path"
	"strings"

	"megabinary.dev/sdk/artifact"
)

// Snippet is code that is no file.
type Snippet struct {
	How  string // where it was found: an option, or a variable of the environment
	Code string
}

// Sources says where an interpreter that is started takes its code from.
type Sources struct {
	Language artifact.Language
	Also     artifact.Language // that the same program runs without being executed anew
	Inline   []Snippet
	Files    []string // as the command line names them
	Stdin    bool     // from standard input, or a terminal
}

// none reports whether there is nothing to watch: no interpreter is started.
func (s *Sources) none() bool { return s == nil || s.Language == "" }

// names reports whether an interpreter takes the file called name for code.
func (s *Sources) names(name string) bool {
	for _, f := range s.Files {
		if f == name {
			return true
		}
	}
	l := artifact.SourceLanguage(name)
	return l == s.Language || l != "" && l == s.Also
}

// grammar is how the command line of an interpreter reads, as far as it says what
// is code. Letters are options of one character, which may stand together.
type grammar struct {
	inline  string // options whose value is code
	files   string // whose value is a file of code
	skip    string // whose value is something else
	rest    string // that take the rest of their word, if any, and never the next
	stdin   string // that make standard input code, whatever else there is
	last    string // of those above, that end the options: what follows is data
	long    map[string]byte
	operand byte // what the first operand is: 'f' a file, 'i' code, 0 data
	alone   bool // without any code, standard input is code
}

// grammars are those of the languages. Sources: the manual pages of dash, bash,
// python3, perlrun, gawk, lua, node, ruby, php and tclsh.
var grammars = map[artifact.Language]grammar{
	artifact.Python: {inline: "c", skip: "WXmQ", stdin: "i", last: "cm", operand: 'f', alone: true,
		long: map[string]byte{"check-hash-based-pycs": 's', "help": 'n', "version": 'n', "help-all": 'n', "help-env": 'n', "help-xoptions": 'n'}},
	artifact.Perl: {inline: "eE", rest: "0CDFiIlmMxVdtT", operand: 'f', alone: true},
	artifact.Awk: {inline: "e", files: "fEi", skip: "Fvl", last: "E", operand: 'i',
		long: map[string]byte{"file": 'f', "exec": 'f', "include": 'f', "source": 'i', "field-separator": 's', "assign": 's', "load": 's', "version": 'n', "help": 'n'}},
	artifact.Lua: {inline: "e", skip: "lW", stdin: "i", operand: 'f', alone: true},
	artifact.JavaScript: {inline: "ep", files: "r", skip: "C", stdin: "i", operand: 'f', alone: true,
		long: map[string]byte{"eval": 'i', "print": 'i', "require": 'f', "import": 'f', "loader": 'f', "experimental-loader": 'f', "interactive": 't',
			"conditions": 's', "version": 'n', "help": 'n'}},
	artifact.Ruby: {inline: "e", files: "r", skip: "CEI", rest: "0FKTWxi", operand: 'f', alone: true,
		long: map[string]byte{"version": 'n', "help": 'n'}},
	artifact.PHP: {inline: "rBRE", files: "fF", skip: "cdzSt", stdin: "a", operand: 'f', alone: true,
		long: map[string]byte{"run": 'i', "process-code": 'i', "process-begin": 'i', "process-end": 'i', "file": 'f', "process-file": 'f',
			"interactive": 't', "version": 'n', "help": 'n'}},
	artifact.Tcl: {skip: "e", operand: 'f', alone: true},
}

// SourcesOf reads the command line and the environment of a program that runs
// code of a language.
func SourcesOf(l artifact.Language, argv, env []string) *Sources {
	s := &Sources{Language: l}
	if l == artifact.BusyBox {
		l, argv = applet(argv)
		s.Language = l
		if l == artifact.Shell {
			s.Also = artifact.Awk // its shell calls its awk
		}
	}
	switch {
	case l == "":
		return s
	case len(argv) == 0:
		argv = []string{""}
	}
	if l == artifact.Shell {
		s.shell(argv[1:])
	} else {
		s.parse(grammars[l], argv[1:])
	}
	s.environment(env)
	return s
}

// applet returns the language of the program that busybox is to be.
func applet(argv []string) (artifact.Language, []string) {
	for len(argv) > 0 {
		name := strings.TrimPrefix(path.Base(argv[0]), "-")
		if !strings.HasPrefix(name, "busybox") {
			return artifact.InterpreterLanguage(name), argv
		}
		argv = argv[1:]
	}
	return "", nil
}

func (s *Sources) inline(how, code string) { s.Inline = append(s.Inline, Snippet{how, code}) }

// file adds a file of code; some names mean standard input.
func (s *Sources) file(name string) {
	switch name {
	case "-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0":
		s.Stdin = true
	}
	if name != "-" {
		s.Files = append(s.Files, name)
	}
}

// shell reads the arguments of a shell (POSIX sh(1p), bash(1)).
func (s *Sources) shell(args []string) {
	command, stdin := false, false
	for len(args) > 0 {
		a := args[0]
		if len(a) < 2 || a[0] != '-' && a[0] != '+' {
			if a == "-" || a == "+" {
				args = args[1:]
			}
			break
		}
		args = args[1:]
		if a == "--" {
			break
		}
		if name, ok := strings.CutPrefix(a, "--"); ok {
			if (name == "rcfile" || name == "init-file") && len(args) > 0 {
				s.file(args[0])
				args = args[1:]
			}
			if name == "version" || name == "help" {
				return
			}
			continue
		}
		for _, c := range a[1:] {
			switch {
			case c == 'c' && a[0] == '-':
				command = true
			case (c == 's' || c == 'i') && a[0] == '-':
				stdin = true
			case (c == 'o' || c == 'O') && len(args) > 0:
				args = args[1:]
			}
		}
	}
	switch {
	case command && len(args) > 0:
		s.inline("-c", args[0])
	case command: // an error
	case stdin || len(args) == 0:
		s.Stdin = true
	default:
		s.file(args[0])
	}
}

// parse reads arguments by a grammar.
func (s *Sources) parse(g grammar, args []string) {
	value := func(attached string) string {
		if attached != "" || len(args) == 0 {
			return attached
		}
		next := args[0]
		args = args[1:]
		return next
	}
	found := false // code
	take := func(kind byte, how, attached string) {
		switch kind {
		case 'i':
			s.inline(how, value(attached))
			found = true
		case 'f':
			s.file(value(attached))
			found = true
		case 's':
			value(attached)
		case 't':
			s.Stdin = true
		}
	}
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		a := args[0]
		args = args[1:]
		if a == "--" {
			break
		}
		if name, ok := strings.CutPrefix(a, "--"); ok {
			name, attached, _ := strings.Cut(name, "=")
			if g.long[name] == 'n' {
				return
			}
			take(g.long[name], "--"+name, attached)
			continue
		}
		for i := 1; i < len(a); i++ {
			c, attached := a[i], a[i+1:]
			kind := g.kind(c)
			if kind == 'r' {
				s.perlModule(c, attached)
				i += skipValue(s.Language, c, attached)
				continue
			}
			take(kind, "-"+string(c), attached)
			if strings.IndexByte(g.last, c) >= 0 {
				return // python -m, too: a module is a file, and checked as one
			}
			if kind != 0 && kind != 't' {
				break
			}
		}
	}
	switch {
	case found:
	case len(args) > 0 && g.operand == 'i':
		s.inline("program", args[0])
	case len(args) > 0:
		s.file(args[0])
	case g.alone:
		s.Stdin = true
	}
}

func (g *grammar) kind(c byte) byte {
	for _, k := range []struct {
		letters string
		kind    byte
	}{{g.inline, 'i'}, {g.files, 'f'}, {g.skip, 's'}, {g.rest, 'r'}, {g.stdin, 't'}} {
		if strings.IndexByte(k.letters, c) >= 0 {
			return k.kind
		}
	}
	return 0
}

// skipValue returns how much of the rest of a word belongs to an option that
// takes no value from the next: digits, or all of it.
func skipValue(l artifact.Language, c byte, rest string) int {
	of := ""
	switch {
	case l == artifact.Perl && (c == '0' || c == 'l'), l == artifact.Ruby && (c == '0' || c == 'W' || c == 'T'):
		of = "0123456789abcdefABCDEFxX"
		if c == 'l' {
			of = "01234567"
		}
	case l == artifact.Perl && c == 'C':
		of = "0123456789IOEioADSaL"
	case l == artifact.Perl && (c == 't' || c == 'T' || c == 'd' && !strings.HasPrefix(rest, ":")):
		return 0
	default:
		return len(rest)
	}
	return len(rest) - len(strings.TrimLeft(rest, of))
}

// perlModule takes the argument of perl's -M and -m for code if it is more than
// the name of a module and of what to import: it becomes a line of code.
func (s *Sources) perlModule(c byte, arg string) {
	if s.Language != artifact.Perl || c != 'M' && c != 'm' {
		return
	}
	odd := strings.ContainsFunc(arg, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_:=,-.", r))
	})
	if odd {
		s.inline("-"+string(c), arg)
	}
}

// environment finds code in variables that an interpreter obeys.
func (s *Sources) environment(env []string) {
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if value == "" {
			continue
		}
		switch s.Language {
		case artifact.Shell:
			switch {
			case name == "BASH_ENV" || name == "ENV":
				s.Files = append(s.Files, value)
			case strings.HasPrefix(name, "BASH_FUNC_") && strings.HasPrefix(value, "()"):
				s.inline(name, value)
			case name == "PS4" || name == "PS1" || name == "PROMPT_COMMAND":
				if strings.Contains(value, "$(") || strings.Contains(value, "`") || name == "PROMPT_COMMAND" {
					s.inline(name, value)
				}
			}
		case artifact.Python:
			switch name {
			case "PYTHONSTARTUP":
				s.Files = append(s.Files, value)
			case "PYTHONINSPECT":
				s.Stdin = true
			}
		case artifact.Perl:
			switch name {
			case "PERL5DB":
				s.inline(name, value)
			case "PERL5OPT":
				for _, o := range strings.Fields(value) {
					if o = strings.TrimPrefix(o, "-"); o != "" {
						s.perlModule(o[0], o[1:])
					}
				}
				if strings.ContainsAny(value, ";({'\"") {
					s.inline(name, value)
				}
			}
		case artifact.Lua:
			if strings.HasPrefix(name, "LUA_INIT") {
				if file, ok := strings.CutPrefix(value, "@"); ok {
					s.Files = append(s.Files, file)
				} else {
					s.inline(name, value)
				}
			}
		case artifact.JavaScript:
			if name == "NODE_OPTIONS" {
				s.parseOptions(value)
			}
		case artifact.Ruby:
			if name == "RUBYOPT" {
				s.parseOptions(value)
			}
		}
	}
}

// parseOptions reads options that stand in a variable.
func (s *Sources) parseOptions(value string) {
	g := grammars[s.Language]
	g.alone = false
	s.parse(g, strings.Fields(value))
}
