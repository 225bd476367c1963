package artifact

import (
	"path"
	"slices"
	"strings"
)

// Language is a language whose code an interpreter reads.
type Language string

// The languages.
const (
	Shell      Language = "shell"
	Python     Language = "python"
	Perl       Language = "perl"
	Awk        Language = "awk"
	Lua        Language = "lua"
	JavaScript Language = "javascript"
	Ruby       Language = "ruby"
	PHP        Language = "php"
	Tcl        Language = "tcl"
	// BusyBox is many programs, shell and awk among them: argv[0] says which.
	BusyBox Language = "busybox"
)

// language is what is known of one by its name.
type language struct {
	name     Language
	programs []string // base names of interpreters, less a version
	suffixes []string // of files that hold its code
	files    []string // base names of files that its interpreters read without being asked
}

// languages is the table of languages. Nothing changes it.
var languages = []language{
	{Shell, []string{"sh", "ash", "bash", "rbash", "dash", "ksh", "ksh93", "mksh", "posh", "yash", "zsh"},
		[]string{".sh", ".bash", ".dash", ".ksh", ".zsh"},
		[]string{"profile", ".profile", "bash.bashrc", ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".shinit",
			".kshrc", ".mkshrc", "zshenv", "zshrc", ".zshenv", ".zprofile", ".zshrc", ".zlogin"}},
	{Python, []string{"python", "pypy"}, []string{".py", ".pyc", ".pyo", ".pyw", ".pth", ".egg", ".whl", ".pyz"}, nil},
	{Perl, []string{"perl"}, []string{".pl", ".pm", ".ph", ".al", ".pmc"}, nil},
	{Awk, []string{"awk", "gawk", "mawk", "nawk", "original-awk"}, []string{".awk"}, nil},
	{Lua, []string{"lua", "luajit", "texlua"}, []string{".lua", ".luac"}, nil},
	{JavaScript, []string{"node", "nodejs", "qjs", "bun", "deno"}, []string{".js", ".mjs", ".cjs"}, nil},
	{Ruby, []string{"ruby", "irb"}, []string{".rb"}, nil},
	{PHP, []string{"php", "php-cgi"}, []string{".php", ".phar"}, nil},
	{Tcl, []string{"tclsh", "wish", "expect"}, []string{".tcl", ".tm"}, []string{".tclshrc"}},
	{BusyBox, []string{"busybox"}, nil, nil},
}

func (l Language) known() bool {
	return l == "" || slices.ContainsFunc(languages, func(k language) bool { return k.name == l })
}

// InterpreterLanguage returns the language that the program at a path runs, going
// by its name without a version (python3.11); "" if it is no interpreter.
func InterpreterLanguage(file string) Language {
	base := path.Base(file)
	stem := strings.TrimSuffix(strings.TrimRight(base, "0123456789.-"), "-")
	for _, l := range languages {
		if slices.Contains(l.programs, base) || slices.Contains(l.programs, stem) {
			return l.name
		}
	}
	return ""
}

// SourceLanguage returns the language whose interpreters take a file for code,
// going by its name; "" for any other file.
func SourceLanguage(file string) Language {
	base := path.Base(file)
	suffix := path.Ext(base)
	for _, l := range languages {
		if suffix != "" && suffix != base && slices.Contains(l.suffixes, suffix) || slices.Contains(l.files, base) {
			return l.name
		}
	}
	return ""
}
