// Package archtest holds the arrows of docs/ARCHITECTURE.md: which package may
// import which. It has tests only.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "megabinary.dev/"

type pkg struct {
	ImportPath string
	Imports    []string
	Dir        string
}

func load(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Dir", module+"...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

// rules: packages under from may import, of this module, only what is under one
// of may (and what is under from itself).
var rules = []struct {
	from string
	may  []string
	why  string
}{
	{"sdk", nil, "plugin authors import sdk, so it depends on nothing of ours"},
	{"engine", []string{"sdk"}, "the engine knows stages and artifacts, never ELF, x86 or Linux"},
	{"image", []string{"sdk", "engine/store"}, "transports know images and the store"},
	{"attest", []string{"sdk"}, "signatures know artifacts only"},
	{"vkernel", []string{"sdk/guestabi", "sdk/artifact", "sdk/wasm", "sdk/x86", "sdk/x87"}, "the run side never needs the build side"},
	{"plugins/extract-oci", []string{"sdk"}, "a plugin imports sdk only, as any author's does"},
	{"plugins/analyze-elf", []string{"sdk"}, "a plugin imports sdk only, as any author's does"},
	{"plugins/recompile", []string{"sdk"}, "a plugin imports sdk only, as any author's does"},
	{"plugins/link-megabinary", []string{"sdk"}, "a plugin imports sdk only, as any author's does"},
	{"plugins/assemble-oci", []string{"sdk"}, "a plugin imports sdk only, as any author's does"},
}

func under(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func TestArrows(t *testing.T) {
	for _, p := range load(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		for _, rule := range rules {
			if !under(path, rule.from) {
				continue
			}
			for _, imp := range p.Imports {
				of, ours := strings.CutPrefix(imp, module)
				if !ours || under(of, rule.from) {
					continue
				}
				ok := false
				for _, may := range rule.may {
					ok = ok || under(of, may)
				}
				if !ok {
					t.Errorf("%s imports %s: %s", path, of, rule.why)
				}
			}
		}
	}
}

// only lists who may import an outside package: what it is used for has one
// place.
var only = map[string][]string{
	"github.com/tetratelabs/wazero":          {"vkernel/machine", "engine/sandbox"},
	"gvisor.dev/gvisor":                      {"vkernel/net/inet"},
	"github.com/extism/go-sdk":               {"engine/sandbox"},
	"github.com/hashicorp/go-plugin":         {"engine/remote", "sdk/stage/serve"},
	"golang.org/x/arch":                      {"sdk/x86", "plugins/analyze-elf", "plugins/recompile"},
	"github.com/spf13":                       {"cmd"},
	"github.com/moby/profiles":               {"vkernel/policy"},
	"github.com/landlock-lsm":                {"vkernel/confine"},
	"github.com/google/go-containerregistry": {"image", "cmd", "plugins", "test"},
}

func TestOutsidePackagesHaveOnePlace(t *testing.T) {
	for _, p := range load(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			for outside, places := range only {
				if !under(imp, outside) {
					continue
				}
				ok := false
				for _, place := range places {
					ok = ok || under(path, place)
				}
				if !ok {
					t.Errorf("%s imports %s, which only %s may", path, imp, strings.Join(places, ", "))
				}
			}
		}
	}
}

// TestNothingBrokenIsShipped: recompiletest breaks a pass on purpose.
func TestNothingBrokenIsShipped(t *testing.T) {
	for _, p := range load(t) {
		for _, imp := range p.Imports {
			if imp == module+"plugins/recompile/recompiletest" {
				t.Errorf("%s imports %s, which only tests may", p.ImportPath, imp)
			}
		}
	}
}

func TestSDKNeedsStandardLibraryAndProtobufOnly(t *testing.T) {
	allowed := []string{"google.golang.org/protobuf", "golang.org/x/arch"}
	for _, p := range load(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		if !under(path, "sdk") || under(path, "sdk/stage/serve") {
			continue
		}
		for _, imp := range p.Imports {
			first, _, _ := strings.Cut(imp, "/")
			if !strings.Contains(first, ".") || under(imp+"/", module) || strings.HasPrefix(imp, module) {
				continue
			}
			ok := false
			for _, a := range allowed {
				ok = ok || under(imp, a)
			}
			if !ok {
				t.Errorf("%s imports %s", path, imp)
			}
		}
	}
}
