package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"megabinary.dev/vkernel/linux"
)

// arch is the guest's, as profiles name it in their conditions.
const arch = "amd64"

// Guest is what the conditions of a profile are held against.
type Guest struct {
	// Capabilities is the bounding set, CAP_... each.
	Capabilities []string
	// Kernel and Major are the version of the guest's kernel, as uname has it.
	Kernel, Major uint64
}

// DockerCapabilities are what docker leaves a container.
func DockerCapabilities() []string {
	return []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}
}

// maxProfile bounds a seccomp profile in bytes, maxConds the conditions of one
// rule, and maxRules the rules that one becomes.
const (
	maxProfile = 4 << 20
	maxRules   = 1 << 14
)

// ParseSeccomp reads a profile of docker or of the OCI's runtime specification.
// Names of system calls that linux/amd64 does not have are left out, as runc
// leaves them out, and returned.
func ParseSeccomp(profile []byte, g Guest) (Layer, []string, error) {
	if len(profile) > maxProfile {
		return Layer{}, nil, fmt.Errorf("its %d bytes are more than the %d allowed", len(profile), maxProfile)
	}
	var p seccomp.Seccomp
	d := json.NewDecoder(bytes.NewReader(profile))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Layer{}, nil, placed(profile, d.InputOffset(), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Layer{}, nil, placed(profile, d.InputOffset(), errors.New("there is something behind the profile"))
	}
	return seccompLayer(&p, g)
}

// placed says where in the profile an error is.
func placed(profile []byte, offset int64, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	before := profile[:min(int(offset), len(profile))]
	line := 1 + bytes.Count(before, []byte("\n"))
	return fmt.Errorf("line %d, column %d: %w", line, len(before)-bytes.LastIndexByte(before, '\n'), err)
}

func seccompLayer(p *seccomp.Seccomp, g Guest) (Layer, []string, error) {
	l := Layer{Name: "seccomp", Default: Allow}
	if p.DefaultAction == "" && len(p.Syscalls) == 0 {
		return l, nil, nil // no filter, as docker takes it
	}
	if len(p.Architectures) > 0 && len(p.ArchMap) > 0 {
		return l, nil, errors.New("both architectures and archMap are there: use either")
	}
	if len(p.Architectures) > 0 && !slices.Contains(p.Architectures, specs.ArchX86_64) {
		return l, nil, errors.New("its architectures do not have SCMP_ARCH_X86_64, so no program could do anything")
	}
	var err error
	if l.Default, err = seccompAction(p.DefaultAction, p.DefaultErrnoRet); err != nil {
		return l, nil, fmt.Errorf("defaultAction: %w", err)
	}
	numbers := sysByName()
	ignored := map[string]bool{}
	for i, call := range p.Syscalls {
		if call == nil {
			return l, nil, fmt.Errorf("syscalls[%d] is null", i)
		}
		rules, err := seccompRules(call, g, numbers, ignored)
		if err != nil {
			return l, nil, fmt.Errorf("syscalls[%d]: %w", i, err)
		}
		for _, r := range rules {
			r.Name = fmt.Sprintf("seccomp.syscalls[%d]", i)
			l.Rules = append(l.Rules, r)
		}
		if len(l.Rules) > maxRules {
			return l, nil, fmt.Errorf("there are more than %d rules", maxRules)
		}
	}
	names := make([]string, 0, len(ignored))
	for n := range ignored {
		names = append(names, n)
	}
	slices.Sort(names)
	return l, names, nil
}

// seccompRules makes rules of one entry under syscalls.
func seccompRules(call *seccomp.Syscall, g Guest, numbers map[string]int, ignored map[string]bool) ([]Rule, error) {
	names := call.Names
	if call.Name != "" {
		if len(names) > 0 {
			return nil, errors.New("both name and names are there: use either")
		}
		names = []string{call.Name}
	}
	if len(names) == 0 {
		return nil, errors.New("it names no system call")
	}
	verdict, err := seccompAction(call.Action, call.ErrnoRet)
	if err != nil {
		return nil, err
	}
	conds := make([]Cond, len(call.Args))
	for i, a := range call.Args {
		if conds[i], err = seccompCond(a); err != nil {
			return nil, fmt.Errorf("args[%d]: %w", i, err)
		}
	}
	if !applies(call, g) {
		return nil, nil
	}
	r := Rule{Verdict: verdict}
	for _, n := range names {
		if nr, ok := numbers[n]; ok {
			r.Numbers = append(r.Numbers, nr)
		} else {
			ignored[n] = true
		}
	}
	if len(r.Numbers) == 0 {
		return nil, nil
	}
	return splitConds(r, conds), nil
}

// splitConds gives a rule its conditions. Several on one argument make a rule
// each, because libseccomp takes but one condition per argument and runc takes
// this way out.
func splitConds(r Rule, conds []Cond) []Rule {
	seen := 0
	for _, c := range conds {
		if seen>>c.Index&1 != 0 {
			rules := make([]Rule, len(conds))
			for i := range conds {
				rules[i] = r
				rules[i].Conds = conds[i : i+1 : i+1]
			}
			return rules
		}
		seen |= 1 << c.Index
	}
	r.Conds = conds
	return []Rule{r}
}

// applies holds an entry's includes and excludes against the guest.
func applies(call *seccomp.Syscall, g Guest) bool {
	newer := func(v *seccomp.KernelVersion) bool {
		return g.Kernel > v.Kernel || g.Kernel == v.Kernel && g.Major >= v.Major
	}
	has := func(c string) bool { return slices.Contains(g.Capabilities, c) }
	if e := call.Excludes; e != nil {
		if slices.Contains(e.Arches, arch) || slices.ContainsFunc(e.Caps, has) || e.MinKernel != nil && newer(e.MinKernel) {
			return false
		}
	}
	if in := call.Includes; in != nil {
		for _, c := range in.Caps {
			if !has(c) {
				return false
			}
		}
		if len(in.Arches) > 0 && !slices.Contains(in.Arches, arch) || in.MinKernel != nil && !newer(in.MinKernel) {
			return false
		}
	}
	return true
}

// seccompAction reads an action. As with runc, an errno that is not given is
// EPERM.
func seccompAction(a specs.LinuxSeccompAction, ret *uint) (Verdict, error) {
	data := Verdict(linux.EPERM)
	if ret != nil {
		if *ret > 0xffff {
			return 0, fmt.Errorf("errnoRet %d is more than 65535", *ret)
		}
		data = Verdict(*ret)
	}
	switch a {
	case specs.ActAllow:
		return Allow, nil
	case specs.ActErrno:
		return Errno | data, nil
	case specs.ActTrace:
		return Trace | data, nil
	case specs.ActKill, specs.ActKillThread:
		return KillThread, nil
	case specs.ActKillProcess:
		return KillProcess, nil
	case specs.ActTrap:
		return Trap, nil
	case specs.ActLog:
		return Log, nil
	case specs.ActNotify:
		return 0, errors.New("SCMP_ACT_NOTIFY is not supported: there is nobody to ask")
	}
	return 0, fmt.Errorf("the action is %s", strconv.Quote(string(a)))
}

func seccompCond(a specs.LinuxSeccompArg) (Cond, error) {
	ops := map[specs.LinuxSeccompOperator]Op{specs.OpEqualTo: OpEQ, specs.OpNotEqual: OpNE, specs.OpLessThan: OpLT,
		specs.OpLessEqual: OpLE, specs.OpGreaterThan: OpGT, specs.OpGreaterEqual: OpGE, specs.OpMaskedEqual: OpMaskedEQ}
	op, ok := ops[a.Op]
	if !ok {
		return Cond{}, fmt.Errorf("the operator is %s", strconv.Quote(string(a.Op)))
	}
	if a.Index > 5 {
		return Cond{}, fmt.Errorf("there is no argument %d: they are 0 to 5", a.Index)
	}
	return Cond{Index: int(a.Index), Op: op, Value: a.Value, Datum: a.ValueTwo}, nil
}

// sysByName is the inverse of sysNumbers.
func sysByName() map[string]int {
	m := make(map[string]int, 400)
	for nr, name := range sysNumbers() {
		m[name] = nr
	}
	return m
}

// ParseKernel reads the version that conditions on a kernel are held against
// from what uname reports as release.
func ParseKernel(release string) (kernel, major uint64, err error) {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) > 1 {
		if kernel, err = strconv.ParseUint(parts[0], 10, 8); err == nil {
			major, err = strconv.ParseUint(parts[1], 10, 8)
		}
	}
	if len(parts) < 2 || err != nil {
		return 0, 0, fmt.Errorf("release %q has no version", release)
	}
	return kernel, major, nil
}
