package policy

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Recorder notes what a container does, so that a policy can be made of it. It
// is safe for concurrent use.
type Recorder struct {
	filter *Filter

	mu       sync.Mutex
	syscalls map[program]*[NumSyscalls]bool
	files    map[string]Access
	egress   map[string]bool
}

type program struct{ path, digest string }

// maxFiles bounds the paths that are kept; a directory takes their place.
const maxFiles = 1 << 16

// NewRecorder makes a recorder.
func NewRecorder() *Recorder {
	f := &Filter{}
	for nr := range f.flat {
		f.flat[nr] = conditional // every call is to be seen
	}
	return &Recorder{filter: f, syscalls: map[program]*[NumSyscalls]bool{}, files: map[string]Access{}, egress: map[string]bool{}}
}

// Filter returns a filter that lets no call pass unseen.
func (r *Recorder) Filter() *Filter { return r.filter }

// Syscall notes a system call of a program.
func (r *Recorder) Syscall(path, digest string, nr uint64) {
	if nr >= NumSyscalls {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := program{path, digest}
	set := r.syscalls[p]
	if set == nil {
		set = new([NumSyscalls]bool)
		r.syscalls[p] = set
	}
	set[nr] = true
}

// File notes a use of a path.
func (r *Recorder) File(path string, a Access) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.files[path]; (!ok || old < a) && (ok || len(r.files) < maxFiles) {
		r.files[path] = a
	}
}

// Egress notes what a container connected to, as a rule of egress.
func (r *Recorder) Egress(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.egress[to] = true
}

// general replaces what differs from run to run, the ids of processes and what
// lies in directories for temporary files, by a pattern.
func general(path string) string {
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		if strings.HasPrefix(path, dir+"/") {
			return dir + "/**"
		}
	}
	parts := strings.Split(path, "/")
	if len(parts) > 2 && parts[1] == "proc" {
		for i, p := range parts[2:] {
			if p != "" && strings.Trim(p, "0123456789") == "" {
				parts[i+2] = "*"
			}
		}
	}
	return strings.Join(parts, "/")
}

// literal says whether a path can stand in a policy as it is.
func literal(path string) bool {
	_, err := ParsePattern(path)
	return err == nil && !strings.ContainsAny(path, "*?") && bytes.Equal([]byte(path), bytes.ToValidUTF8([]byte(path), nil)) &&
		!strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// Policy returns a policy, as YAML, under which the same run passes: each
// program's system calls, the files that were used, what was connected to.
func (r *Recorder) Policy(about string) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	type fileRule struct {
		Path   string `yaml:"path"`
		Access string `yaml:"access"`
	}
	type rule struct {
		Names  []string `yaml:"names,flow"`
		Action string   `yaml:"action"`
	}
	type layer struct {
		Default string `yaml:"default,omitempty"`
		Rules   []rule `yaml:"rules,omitempty"`
	}
	type binary struct {
		Path     string `yaml:"path,omitempty"`
		Digest   string `yaml:"digest"`
		Syscalls layer  `yaml:"syscalls"`
	}
	type target struct {
		To string `yaml:"to"`
	}
	type files struct {
		Default string     `yaml:"default"`
		Rules   []fileRule `yaml:"rules"`
	}
	out := struct {
		Version     int      `yaml:"version"`
		Description string   `yaml:"description,omitempty"`
		Seccomp     any      `yaml:"seccomp"`
		Syscalls    layer    `yaml:"syscalls"` // of programs that were not recorded
		Binaries    []binary `yaml:"binaries,omitempty"`
		Files       files    `yaml:"files"`
		Egress      []target `yaml:"egress"`
	}{Version: version, Description: about, Seccomp: map[string]string{"profile": "unconfined"}, Files: files{Default: "none"}, Egress: []target{}}
	names := sysNumbers()
	union := map[string]bool{}
	programs := slices.SortedFunc(maps.Keys(r.syscalls), func(a, b program) int {
		return strings.Compare(a.path+"\x00"+a.digest, b.path+"\x00"+b.digest)
	})
	for _, p := range programs {
		b := binary{Digest: p.digest, Syscalls: layer{Default: "errno", Rules: []rule{{Action: "allow"}}}}
		if literal(p.path) {
			b.Path = p.path
		}
		allow := &b.Syscalls.Rules[0].Names
		for nr, used := range r.syscalls[p] {
			if used && names[nr] != "" {
				*allow = append(*allow, names[nr])
				union[names[nr]] = true
			}
		}
		slices.Sort(*allow)
		if len(*allow) > 0 {
			out.Binaries = append(out.Binaries, b)
		}
	}
	if len(union) > 0 {
		out.Syscalls = layer{Default: "errno", Rules: []rule{{slices.Sorted(maps.Keys(union)), "allow"}}}
	}
	merged := map[string]Access{}
	for path, a := range r.files {
		for !literal(path) { // what cannot be named is allowed by its directory
			path = path[:strings.LastIndexByte(path, '/')]
			if path == "" || literal(path) {
				path += "/**"
				break
			}
		}
		path = general(path)
		merged[path] = max(merged[path], a)
	}
	for _, path := range slices.Backward(slices.Sorted(maps.Keys(merged))) { // what lies deeper comes first
		a := merged[path]
		out.Files.Rules = append(out.Files.Rules, fileRule{path, a.String()})
	}
	for _, to := range slices.Sorted(maps.Keys(r.egress)) {
		out.Egress = append(out.Egress, target{to})
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(out); err != nil {
		return nil, fmt.Errorf("writing the policy: %w", err)
	}
	return b.Bytes(), e.Close()
}
