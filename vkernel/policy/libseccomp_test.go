package policy

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

// oracle is libseccomp, by a small C program.
type oracle struct {
	in  *bytes.Buffer
	exe string
}

func newOracle(t *testing.T) *oracle {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "libseccomp")
	out, err := exec.Command("gcc", "-O2", "-Wall", "-o", exe, "testdata/libseccomp.c", "-lseccomp").CombinedOutput()
	if err != nil {
		t.Fatalf("building the oracle (make deps installs libseccomp-dev): %v\n%s", err, out)
	}
	return &oracle{in: new(bytes.Buffer), exe: exe}
}

// scmp is libseccomp's number of a comparison.
func scmp(o Op) int {
	return map[Op]int{OpNE: 1, OpLT: 2, OpLE: 3, OpEQ: 4, OpGE: 5, OpGT: 6, OpMaskedEQ: 7}[o]
}

// add asks about a layer, with its rules in the order in which runc adds them.
func (o *oracle) add(l *Layer) {
	fmt.Fprintf(o.in, "P %x\n", uint32(l.Default))
	for _, r := range l.Rules {
		if r.Verdict == l.Default {
			continue // as runc does
		}
		for _, nr := range r.Numbers {
			fmt.Fprintf(o.in, "R %x %x %x", uint32(r.Verdict), nr, len(r.Conds))
			for _, c := range r.Conds {
				fmt.Fprintf(o.in, " %x %x %x %x", c.Index, scmp(c.Op), c.Value, c.Datum)
			}
			fmt.Fprintln(o.in)
		}
	}
	fmt.Fprintln(o.in, "E")
}

// filters returns the programs in the order of add; nil for what libseccomp did
// not take.
func (o *oracle) filters(t *testing.T, n int) []*bpf.VM {
	t.Helper()
	cmd := exec.Command(o.exe)
	cmd.Stdin = o.in
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running the oracle: %v", err)
	}
	vms := make([]*bpf.VM, n)
	r := bytes.NewReader(out)
	for i := range vms {
		var length uint32
		if err := binary.Read(r, binary.LittleEndian, &length); err != nil {
			t.Fatalf("program %d: %v", i, err)
		}
		if length == 0xffffffff {
			continue
		}
		raw := make([]byte, length)
		if _, err := io.ReadFull(r, raw); err != nil {
			t.Fatal(err)
		}
		var insns []bpf.Instruction
		for ; len(raw) > 0; raw = raw[8:] {
			insns = append(insns, bpf.RawInstruction{Op: binary.LittleEndian.Uint16(raw), Jt: raw[2], Jf: raw[3],
				K: binary.LittleEndian.Uint32(raw[4:])}.Disassemble())
		}
		if vms[i], err = bpf.NewVM(insns); err != nil {
			t.Fatalf("program %d: %v", i, err)
		}
	}
	return vms
}

// run returns what the kernel would make of a call: struct seccomp_data, each
// word of which the VM loads in network order.
func run(t *testing.T, vm *bpf.VM, nr uint64, args *[6]uint64) Verdict {
	t.Helper()
	var data [64]byte
	be := binary.BigEndian
	be.PutUint32(data[0:], uint32(nr))
	be.PutUint32(data[4:], 0xc000003e) // AUDIT_ARCH_X86_64
	for i, a := range args {
		be.PutUint32(data[16+8*i:], uint32(a))
		be.PutUint32(data[20+8*i:], uint32(a>>32))
	}
	v, err := vm.Run(data[:])
	if err != nil {
		t.Fatal(err)
	}
	return Verdict(v)
}

// interesting are values around which comparisons change.
func interesting(r *rand.Rand) uint64 {
	base := []uint64{0, 1, 2, 7, 0x11, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x100000001, 0x7fffffffffffffff,
		0x8000000000000000, 0xffffffff00000000, 0xffffffffffffffff, 0x7e020000}
	return base[r.IntN(len(base))] + uint64(r.IntN(3)) - 1
}

// mixes is how the rules of a generated profile may differ in their action.
type mix int

const (
	oneAction   mix = iota // each system call has one action besides the default
	manyActions            // whatever
)

// generate makes a profile in docker's form, through the same reader as any.
func generate(t *testing.T, r *rand.Rand, m mix) Layer {
	t.Helper()
	actions := []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActLog, specs.ActTrace}
	ops := []specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpMaskedEqual}
	names := []string{"read", "clone", "socket", "personality", "ioctl", "prctl", "fcntl", "mmap"}
	errno := func() *uint {
		if r.IntN(2) == 0 {
			return nil
		}
		n := uint(r.IntN(4096))
		return &n
	}
	var p seccomp.Seccomp
	p.DefaultAction, p.DefaultErrnoRet = actions[r.IntN(len(actions))], errno()
	of := map[string]specs.LinuxSyscall{}
	for range 1 + r.IntN(8) {
		s := &seccomp.Syscall{}
		s.Action, s.ErrnoRet = actions[r.IntN(len(actions))], errno()
		name := names[r.IntN(len(names))]
		if first, ok := of[name]; ok && m == oneAction {
			s.Action, s.ErrnoRet = first.Action, first.ErrnoRet
		}
		s.Names = []string{name}
		for range r.IntN(4) {
			a := specs.LinuxSeccompArg{Index: uint(r.IntN(3)), Value: interesting(r), Op: ops[r.IntN(len(ops))]}
			if a.Op == specs.OpMaskedEqual {
				a.ValueTwo = a.Value & interesting(r)
			}
			s.Args = append(s.Args, a)
		}
		of[name] = s.LinuxSyscall
		p.Syscalls = append(p.Syscalls, s)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := ParseSeccomp(b, Guest{Kernel: 5, Major: 15})
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return l
}

// calls are system calls to ask about: what rules name, with arguments on, below
// and above what they compare with.
func calls(r *rand.Rand, l *Layer, n int) (nrs []uint64, args [][6]uint64) {
	for range n {
		nr, a := uint64(r.IntN(60)), [6]uint64{interesting(r), interesting(r), interesting(r)}
		if len(l.Rules) > 0 && r.IntN(8) != 0 {
			rule := l.Rules[r.IntN(len(l.Rules))]
			nr = uint64(rule.Numbers[0])
			for _, c := range rule.Conds {
				switch r.IntN(3) {
				case 0:
					a[c.Index] = c.Value + uint64(r.IntN(3)) - 1
				case 1:
					a[c.Index] = c.Datum
				}
			}
		}
		nrs, args = append(nrs, nr), append(args, a)
	}
	return nrs, args
}

// TestAgreesWithLibseccomp holds verdicts against those of libseccomp's BPF. Two
// kinds of profile are apart. Where rules of one system call contradict each
// other, libseccomp's answer depends on how it merges them: ours is the strictest.
// And libseccomp 2.5.4 goes wrong now and then where a system call has several
// rules and one orders (<, >) an argument: of "arg <= 0x80000001 or arg < 1<<63" it
// forgets the second for some values. What such rules say is not in doubt.
func TestAgreesWithLibseccomp(t *testing.T) {
	const profiles, asked = 6000, 60
	r := rand.New(rand.NewPCG(1, 2))
	o := newOracle(t)
	layers := make([]Layer, profiles)
	for i := range layers {
		layers[i] = generate(t, r, mix(i%2))
		o.add(&layers[i])
	}
	docker, err := dockerLayer(Guest{Capabilities: DockerCapabilities(), Kernel: 5, Major: 15})
	if err != nil {
		t.Fatal(err)
	}
	layers = append(layers, docker)
	o.add(&docker)
	vms := o.filters(t, len(layers))
	var same, contradicting, theirs, refused int
	for i := range layers {
		if vms[i] == nil {
			refused++
			continue
		}
		f := Compile(layers[i])
		n := asked
		if i == profiles {
			n = 20_000
		}
		nrs, args := calls(r, &layers[i], n)
		for j := range nrs {
			want := run(t, vms[i], nrs[j], &args[j])
			got, rule := f.Eval(nrs[j], &args[j])
			switch {
			case got == want:
				same++
			case contradicts(&layers[i], nrs[j]):
				contradicting++
			case ordered(&layers[i], nrs[j]):
				theirs++
			default:
				t.Errorf("profile %d: %d(%#x): %s by %s, libseccomp says %s\n%+v", i, nrs[j], args[j], got, rule, want, layers[i])
				return
			}
		}
	}
	t.Logf("%d profiles and docker's: %d verdicts agree; %d differ where rules contradict each other, %d where libseccomp merges rules that order an argument; libseccomp refuses %d profiles",
		profiles, same, contradicting, theirs, refused)
	if same < 300_000 || contradicting+theirs > same/20 || refused > profiles/5 {
		t.Error("fewer verdicts agree than used to")
	}
}

// ordered says whether a system call has several rules, one of which orders an
// argument.
func ordered(l *Layer, nr uint64) bool {
	rules, orders := 0, false
	for _, r := range l.Rules {
		if !slices.Contains(r.Numbers, int(nr)) {
			continue
		}
		rules++
		orders = orders || slices.ContainsFunc(r.Conds, func(c Cond) bool { return c.Op >= OpLT && c.Op <= OpGE })
	}
	return rules > 1 && orders
}

// contradicts says whether rules of a system call differ in their verdict.
func contradicts(l *Layer, nr uint64) bool {
	var seen []Verdict
	for _, r := range l.Rules {
		if slices.Contains(r.Numbers, int(nr)) && !slices.Contains(seen, r.Verdict) {
			seen = append(seen, r.Verdict)
		}
	}
	return len(seen) > 1
}

// TestMobysFixtures reads what moby tests its own reader with.
func TestMobysFixtures(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/profiles/seccomp").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSpace(string(dir))
	files, err := filepath.Glob(filepath.Join(root, "fixtures", "*.json"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	for _, file := range append(files, filepath.Join(root, "default.json")) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = ParseSeccomp(b, Guest{Kernel: 5, Major: 15})
		if wrong := strings.Contains(filepath.Base(file), "invalid"); (err != nil) != wrong {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}
