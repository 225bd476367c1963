package main

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"megabinary.dev/plugins/recompile"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/exec"
	"megabinary.dev/vkernel/syscalls"
)

// completer returns what a shell offers for a word that is being typed, given the
// arguments before it.
type completer func(args []string, word string) ([]string, cobra.ShellCompDirective)

// completeFlags has what can be said of the values of flags, by command and flag.
func completeFlags() map[string]map[string]completer {
	return map[string]map[string]completer{
		"megabin": {settingLogLevel: oneOf("trace", "debug", "info", "warn", "error")},
		"run": {
			"engine":     oneOf("compiler", "interpreter"),
			"exec-level": oneOf(texts(exec.Levels())...),
			"exec-mode":  oneOf(texts(exec.Modes())...),
			"network":    oneOf("none", "bridge"),
			"strace":     oneOf(syscallNames()...),
		},
		"dump": {
			"func":    functionNames,
			"disable": oneOf(recompile.PassNames()...),
			"dump-ir": oneOf(append([]string{"changed", "all", "none", "lift"}, recompile.PassNames()...)...),
		},
	}
}

// completeImages are the commands whose first argument is an image.
var completeImages = []string{"bisect", "build", "explain", "inspect", "profile", "run", "sign", "verify"}

// addCompletions tells the commands below root what shells may offer. cobra's
// command completion writes the scripts that ask for it.
func addCompletions(root *cobra.Command) {
	flags := completeFlags()
	for _, cmd := range append(root.Commands(), root) {
		if cmd.Flags().Lookup("cpu") != nil {
			if flags[cmd.Name()] == nil {
				flags[cmd.Name()] = map[string]completer{}
			}
			flags[cmd.Name()]["cpu"] = oneOf(guestabi.CPUNames()...)
		}
		if slices.Contains(completeImages, cmd.Name()) {
			cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
				return imageRefs(args, word)
			}
		}
		for flag, complete := range flags[cmd.Name()] {
			err := cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
				return complete(args, word)
			})
			if err != nil {
				panic("BUG: " + err.Error())
			}
		}
	}
}

func texts[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}

// oneOf offers words, or the last of several after commas.
func oneOf(words ...string) completer {
	return func(_ []string, word string) ([]string, cobra.ShellCompDirective) {
		before := word[:strings.LastIndex(word, ",")+1]
		var out []string
		for _, w := range words {
			if strings.HasPrefix(before+w, word) {
				out = append(out, before+w)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// imageRefs offers transports, and layouts and archives behind theirs.
func imageRefs(args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	transport, path, ok := strings.Cut(word, ":")
	if !ok {
		offer, _ := oneOf("oci:", "oci-archive:", "docker-archive:", "docker://")(nil, word)
		return offer, cobra.ShellCompDirectiveNoSpace
	}
	if !slices.Contains([]string{"oci", "oci-archive", "docker-archive"}, transport) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found, err := filepath.Glob(path + "*")
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, name := range found {
		info, err := os.Stat(name)
		if err != nil || transport == "oci" && !info.IsDir() {
			continue
		}
		_, err = os.Stat(filepath.Join(name, "index.json"))
		if info.IsDir() && err != nil {
			name += "/" // on the way to one
		}
		out = append(out, transport+":"+name)
	}
	return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

func syscallNames() []string {
	names := []string{"all"}
	for i := range syscalls.Table() {
		if name := syscalls.Table()[i].Name; name != "" {
			names = append(names, name)
		}
	}
	return names
}

// functionNames offers the symbols of the file that is dumped.
func functionNames(args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	f, err := elf.Open(args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer f.Close()
	static, _ := f.Symbols()         // a stripped file has none
	dynamic, _ := f.DynamicSymbols() // likewise
	var out []string
	for _, s := range append(static, dynamic...) {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF && strings.HasPrefix(s.Name, word) {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), cobra.ShellCompDirectiveNoFileComp
}
