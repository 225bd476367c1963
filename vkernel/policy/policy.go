package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Policy is a decoded policy. It does not change, and is safe for concurrent
// use.
type Policy struct {
	Digest string // sha256:<hex> over the policy and the seccomp profile that it names
	// ExecLevel is the exec controller's level; empty: the default.
	ExecLevel string
	Files     *Files   // nil: nothing is refused
	Egress    []Egress // what may leave
	Limits    Limits
	Env       Environment
	// Ignored are names in the seccomp profile that this system lacks.
	Ignored []string

	layers   []Layer // of every program
	binaries []Binary
	base     *Filter

	mu      sync.Mutex
	filters map[string]*Filter // by the binaries that match
}

// Binary is a layer for some programs.
type Binary struct {
	Path   Pattern // empty: any
	Digest string  // sha256:<hex>; empty: any
	Layer  Layer
}

// Options say what the reader of a policy has to know of its surroundings.
type Options struct {
	// Levels are the exec controller's.
	Levels []string
	Kernel string // release of the guest's kernel
	// ReadFile reads what a policy names, by a path relative to the policy's own
	// directory; nil: os.ReadFile.
	ReadFile func(path string) ([]byte, error)
	// Getenv finds credentials; nil: os.LookupEnv.
	Getenv func(name string) (string, bool)
}

// version is what a policy has under version.
const version = 1

// reader decodes one policy.
type reader struct {
	decoder
	o     Options
	guest Guest
	p     *Policy
	extra []byte // the seccomp profile's bytes
}

// Load reads a policy's file.
func Load(file string, o Options) (*Policy, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	return Decode(file, content, o)
}

// Decode reads a policy strictly and compiles it. It returns all mistakes at
// once, each with file, line and column.
func Decode(file string, content []byte, o Options) (*Policy, error) {
	root, err := parse(file, content)
	if err != nil {
		return nil, err
	}
	if o.ReadFile == nil {
		o.ReadFile = os.ReadFile
	}
	if o.Getenv == nil {
		o.Getenv = os.LookupEnv
	}
	r := &reader{decoder: decoder{file: file}, o: o, p: &Policy{}}
	r.guest.Capabilities = DockerCapabilities()
	if r.guest.Kernel, r.guest.Major, err = ParseKernel(o.Kernel); err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	if r.refuse(root, 0); len(r.errs) == 0 {
		r.policy(root)
	}
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%d\n", len(content))
	sum.Write(content)
	sum.Write(r.extra)
	r.p.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	r.p.compile()
	return r.p, nil
}

// Default is the policy of a container that has none of its own: docker's
// seccomp profile and nothing else.
func Default(kernel string) (*Policy, error) {
	return Decode("(default)", []byte("version: 1\n"), Options{Kernel: kernel})
}

func (r *reader) policy(n *yaml.Node) {
	var vers uint64
	var seccompNode *yaml.Node
	r.fields(n, "the policy", map[string]func(*yaml.Node){
		"version!": func(n *yaml.Node) {
			if r.number("version", &vers, 1<<20)(n); vers != version && len(r.errs) == 0 {
				r.errorf(n, "version %d is not %d", vers, version)
			}
		},
		"description": r.text("description", new(string), nil),
		"exec":        r.exec,
		"seccomp":     func(n *yaml.Node) { seccompNode = n },
		"syscalls":    func(n *yaml.Node) { r.p.layers = append(r.p.layers, r.syscalls(n, "syscalls")) },
		"binaries":    r.list("binaries", r.binary),
		"files":       r.files,
		"egress":      r.egress,
		"limits":      r.limits,
		"environment": r.environment,
	})
	l, ok := r.seccomp(seccompNode)
	if ok {
		r.p.layers = append([]Layer{l}, r.p.layers...)
	}
}

// beside returns where a file lies that the policy names.
func (r *reader) beside(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(r.file), name)
}

func (r *reader) exec(n *yaml.Node) {
	r.fields(n, "exec", map[string]func(*yaml.Node){
		"level!": r.text("exec.level", &r.p.ExecLevel, oneOf(r.o.Levels...)),
	})
}

// seccomp reads which profile is in force; without the key docker's is.
func (r *reader) seccomp(n *yaml.Node) (Layer, bool) {
	profile := "default"
	where := n
	if n != nil {
		r.fields(n, "seccomp", map[string]func(*yaml.Node){
			"profile": func(n *yaml.Node) { where = n; r.text("seccomp.profile", &profile, nil)(n) },
			"capabilities": func(n *yaml.Node) {
				r.guest.Capabilities = nil
				r.list("seccomp.capabilities", func(_ int, n *yaml.Node) {
					var s string
					r.text("a capability", &s, func(s string) error {
						if !strings.HasPrefix(s, "CAP_") || strings.ToUpper(s) != s {
							return fmt.Errorf("%q is not CAP_ and capitals", s)
						}
						return nil
					})(n)
					r.guest.Capabilities = append(r.guest.Capabilities, s)
				})(n)
			},
		})
	}
	var l Layer
	var err error
	switch profile {
	case "unconfined":
		return Layer{}, false
	case "default":
		l, err = dockerLayer(r.guest)
	default:
		path := r.beside(profile)
		if r.extra, err = r.o.ReadFile(path); err == nil {
			if l, r.p.Ignored, err = ParseSeccomp(r.extra, r.guest); err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	if err != nil && where != nil {
		r.errorf(where, "seccomp.profile: %w", err)
	} else if err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s: %w", r.file, err))
	}
	return l, true
}

func (r *reader) binary(i int, n *yaml.Node) {
	var b Binary
	var path string
	r.fields(n, "an entry of binaries", map[string]func(*yaml.Node){
		"path": r.text("path", &path, func(s string) (err error) { b.Path, err = ParsePattern(s); return err }),
		"digest": r.text("digest", &b.Digest, func(s string) error {
			h, ok := strings.CutPrefix(s, "sha256:")
			if b, err := hex.DecodeString(h); !ok || err != nil || len(b) != sha256.Size || strings.ToLower(h) != h {
				return fmt.Errorf("%q is not sha256: and 64 digits", s)
			}
			return nil
		}),
		"syscalls!": func(n *yaml.Node) { b.Layer = r.syscalls(n, fmt.Sprintf("binaries[%d].syscalls", i)) },
	})
	if path == "" && b.Digest == "" {
		r.errorf(n, "an entry of binaries needs a path or a digest")
	}
	r.p.binaries = append(r.p.binaries, b)
}

// compile makes the decision table that most programs have.
func (p *Policy) compile() {
	p.filters = map[string]*Filter{}
	if len(p.layers) > 0 {
		p.base = Compile(p.layers...)
	}
}

// Filter returns the filter for a program, nil if all is allowed. path is
// that of the ELF file: for a script, of its interpreter.
func (p *Policy) Filter(path, digest string) *Filter {
	if p == nil {
		return nil
	}
	var which []byte
	layers := p.layers
	for i := range p.binaries {
		b := &p.binaries[i]
		if (b.Digest == "" || b.Digest == digest) && (b.Path.Text == "" || b.Path.Match(path)) {
			which = append(which, byte(i>>8), byte(i))
			layers = append(layers[:len(layers):len(layers)], b.Layer)
		}
	}
	if which == nil {
		return p.base
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.filters[string(which)]
	if f == nil {
		f = Compile(layers...)
		p.filters[string(which)] = f
	}
	return f
}
