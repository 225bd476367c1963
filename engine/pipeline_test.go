package engine

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"megabinary.dev"
	"megabinary.dev/sdk/artifact"
)

func TestDefaultPipelineDecodes(t *testing.T) {
	p, err := Decode("pipeline.yaml", []byte(megabinary.Pipeline()))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Stages) != 5 || p.Stages[1].ForEach != artifact.MediaELF || p.Plugins[1].Permissions.Memory != 2<<30 || p.Plugins[1].Permissions.Timeout != 15*time.Minute {
		t.Errorf("decoded %+v", p)
	}
}

// valid is a pipeline on which the cases below make one change each.
const valid = `version: 1
plugins:
  a: {kind: process, source: ./a}
  s:
    kind: sandbox
    source: ./s.wasm
    permissions: {memory: 64MiB, timeout: 1m}
stages:
  first:
    uses: a
    needs: [source]
  second:
    uses: s
    needs: [first]
    forEach: elf
    with: {n: 1, list: [1, two]}
`

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"an unknown key at the top", "version: 1", "version: 1\nstagse: {}", `p.yaml:2:1: unknown key "stagse" in the pipeline; known are plugins, stages, version`},
		{"an unknown key of a plugin", "source: ./a", "sauce: ./a", `p.yaml:3:22: unknown key "sauce" in plugin a`},
		{"a missing key", "{kind: process, source: ./a}", "{kind: process}", `p.yaml:3:6: plugin a needs a key "source"`},
		{"an unknown key of a stage", "forEach: elf", "foreach: elf", `p.yaml:15:5: unknown key "foreach" in stage second`},
		{"an unknown permission", "timeout: 1m}", "timeout: 1m, cpu: 3}", `p.yaml:7:47: unknown key "cpu" in permissions of plugin s`},
		{"another version", "version: 1", "version: 7", "p.yaml:1:10: version must be 1"},
		{"no version", "version: 1\n", "", `needs a key "version"`},
		{"a list of plugins", "plugins:\n  a: {kind: process, source: ./a}", "plugins: [a]\nx:", "plugins must be a mapping of names, not a list"},
		{"a kind that is none", "kind: process", "kind: thread", `p.yaml:3:13: kind must be process or sandbox`},
		{"a number as source", "source: ./a", "source: 12", `p.yaml:3:30: source must be a string, not the value "12"`},
		{"a string as needs", "needs: [source]", "needs: source", "p.yaml:11:12: needs must be a list, not a string"},
		{"nothing as needs", "needs: [source]", "needs:", "needs must be a list, not nothing"},
		{"an empty list of needs", "needs: [source]", "needs: []", "p.yaml:9:3: stage first needs nothing"},
		{"a need that is no stage", "needs: [first]", "needs: [frist]", `p.yaml:14:13: stage second needs "frist", which is no stage`},
		{"a need twice", "needs: [first]", "needs: [first, first]", `p.yaml:14:20: stage second needs "first" twice`},
		{"a plugin that is not there", "uses: a", "uses: b", `p.yaml:10:11: stage first uses plugin "b", which is not under plugins`},
		{"a circle", "needs: [source]", "needs: [second]", "stages need each other in a circle: first -> second -> first"},
		{"a stage that needs itself", "needs: [source]", "needs: [first]", "circle: first -> first"},
		{"a stage twice", "  second:", "  first:", `p.yaml:12:3: "first" comes twice in stages`},
		{"a stage called source", "  second:", "  source:", `no stage may have it`},
		{"a name that is none", "  second:", "  Se cond:", `"Se cond" is no name`},
		{"forEach of nothing", "forEach: elf", "forEach: executables", `p.yaml:15:14: forEach: "executables" is no media type, nor one of the short names elf, program, unit`},
		{"onError of neither kind", "forEach: elf", "forEach: elf\n    onError: ignore", `p.yaml:16:14: onError must be stop or continue`},
		{"onError without forEach", "needs: [source]", "needs: [source]\n    onError: continue", `p.yaml:12:14: stage first: onError: continue is for stages with forEach`},
		{"memory that is no size", "memory: 64MiB", "memory: lots", `p.yaml:7:27: memory must be a size such as 512MiB`},
		{"negative memory", "memory: 64MiB", "memory: -1", "memory must be a size"},
		{"a timeout that is none", "timeout: 1m", "timeout: soon", "timeout must be a duration"},
		{"no memory for a sandbox", "memory: 64MiB, ", "", "p.yaml:7:18: plugin s is sandboxed and has no memory"},
		{"no time for a sandbox", ", timeout: 1m", "", "plugin s is sandboxed and has no time"},
		{"memory for a process", "source: ./a}", "source: ./a, permissions: {memory: 1GiB}}", "plugin a is a process, which is not sandboxed"},
		{"a relative path", "timeout: 1m}", "timeout: 1m, paths: [etc]}", `paths: "etc" is not absolute`},
		{"a checksum that is none", "source: ./a}", "source: ./a, sha256: abc}", "sha256 must be 64 hexadecimal digits"},
		{"with that is a list", "with: {n: 1, list: [1, two]}", "with: [1]", "p.yaml:16:11: with must be a mapping, not a list"},
		{"a key twice in with", "with: {n: 1,", "with: {n: 1, n: 2,", `key "n" comes twice`},
		{"a key that is no string", "with: {n: 1,", "with: {1: 1,", "keys must be strings"},
		{"an alias", "with: {n: 1,", "with: {n: &x 1, m: *x,", "aliases are not allowed"},
		{"two documents", "version: 1", "version: 1\n---\nversion: 1", "more than one YAML document"},
		{"no YAML", "version: 1", "{", "p.yaml: yaml:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			content := strings.Replace(valid, c.old, c.new, 1)
			if content == valid {
				t.Fatal("the case changes nothing")
			}
			_, err := Decode("p.yaml", []byte(content))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v\nwant  %s", err, c.want)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	content := strings.NewReplacer("kind: process", "kind: thread", "forEach: elf", "foreach: elf", "needs: [source]", "needs: source").Replace(valid)
	_, err := Decode("p.yaml", []byte(content))
	for _, want := range []string{"p.yaml:3:13", "p.yaml:11:12", "p.yaml:15:5"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in %v", want, err)
		}
	}
}

func TestDecodeValid(t *testing.T) {
	p, err := Decode("p.yaml", []byte(valid))
	if err != nil {
		t.Fatal(err)
	}
	second := p.Stages[1]
	if string(second.With) != `{"list":[1,"two"],"n":1}` || second.ForEach != artifact.MediaELF || second.Needs[0].Name != "first" {
		t.Errorf("decoded %+v", second)
	}
}

func TestPlanRefuses(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct{ name, old, new, want string }{
		{"a stage that the plugin has not", "uses: p/split", "uses: p/spilt", `p.yaml:7:11: stage lines: plugin p: it has no stage "spilt"; it has upper, split, join, bad`},
		{"a missing input", "needs: [loud]", "needs: [lines]", "p.yaml:14:3: stage one: missing input text/plain"},
		{"a need that gives nothing of use", "needs: [loud]", "needs: [loud, lines]", "p.yaml:16:19: stage one needs lines, but takes nothing of what that gives"},
		{"forEach of what is not given", "forEach: text/x-line", "forEach: elf", "p.yaml:12:14: stage loud: forEach application/vnd.megabinary.elf.v1: none of its needs gives that"},
		{"a configuration of the wrong type", `suffix: "!"`, `suffix: 3`, "p.yaml:13:20: stage loud, with: /suffix: "},
		{"a configuration with an unknown key", `suffix: "!"`, `sufix: "!"`, "sufix"},
		{"a configuration that none takes", "needs: [source]", "needs: [source]\n    with: {a: 1}", "p.yaml:9:11: stage lines takes no configuration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			content := strings.Replace(aPipeline, "[text]", "[source]", 1)
			content = strings.Replace(content, c.old, c.new, 1)
			p, err := Decode("p.yaml", fmt.Appendf(nil, content, f.process, f.hex(f.process), f.module, f.hex(f.module)))
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.plugins.planFrom(context.Background(), p, nil, []string{typeText})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v\nwant  %s", err, c.want)
			}
			f.checkClean()
		})
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"1": 1, "4096": 4096, "64k": 64 << 10, "1GiB": 1 << 30, "1GB": 1e9, "2 MiB": 2 << 20} {
		if got, err := ParseSize(s); got != want || err != nil {
			t.Errorf("%q is %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "MiB", "1.5GiB", "0", "-1", "99999999999GiB", "1XB", "1 2"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("%q is %d", s, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(valid))
	if b, err := os.ReadFile("../pipeline.yaml"); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := Decode("p.yaml", b); err == nil && len(p.Stages) == 0 {
			t.Error("a pipeline without stages was decoded")
		}
	})
}
