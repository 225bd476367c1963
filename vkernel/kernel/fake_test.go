package kernel_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/exec"
	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
	"megabinary.dev/vkernel/syscalls"
	"megabinary.dev/vkernel/vfs"
)

// Where a scripted program lies, as guest addresses.
const (
	codeAt = 0x40_0000
	dataAt = 0x50_0000 // 64 KiB of bss
	opSize = 2         // bytes of code for each op
)

// op is one step of a scripted program, at a guest PC of its own.
type op struct {
	do func(g *guest) // may set g.pc; nil: a syscall, with its number and arguments in registers
}

// script is a program for the fake machine.
type script struct {
	ops    []op
	labels map[string]int
}

func newScript() *script { return &script{labels: map[string]int{}} }

// sys appends a syscall with constant arguments; its result is in rax.
func (s *script) sys(nr uint64, args ...uint64) *script {
	var a [6]uint64
	copy(a[:], args)
	return s.sysf(func(*guest) (uint64, [6]uint64) { return nr, a })
}

func (s *script) sysf(f func(g *guest) (uint64, [6]uint64)) *script {
	s.do(func(g *guest) {
		nr, a := f(g)
		r := &g.ctx.GPR
		r[guestabi.RAX], r[guestabi.RDI], r[guestabi.RSI], r[guestabi.RDX] = nr, a[0], a[1], a[2]
		r[guestabi.R10], r[guestabi.R8], r[guestabi.R9] = a[3], a[4], a[5]
	})
	s.ops = append(s.ops, op{})
	return s
}

// do appends a step in Go.
func (s *script) do(f func(g *guest)) *script {
	s.ops = append(s.ops, op{f})
	return s
}

// label names the next op.
func (s *script) label(name string) *script {
	s.labels[name] = len(s.ops)
	return s
}

// at returns the guest PC of a label.
func (s *script) at(name string) guestabi.PC {
	i, ok := s.labels[name]
	if !ok {
		panic("no label " + name)
	}
	return guestabi.PC(codeAt + opSize*i)
}

// jumpIf appends a branch.
func (s *script) jumpIf(name string, cond func(g *guest) bool) *script {
	return s.do(func(g *guest) {
		if cond(g) {
			g.pc = s.at(name)
		}
	})
}

// exit appends exit_group with a computed status.
func (s *script) exit(status func(g *guest) uint64) *script {
	return s.sysf(func(g *guest) (uint64, [6]uint64) { return 231, [6]uint64{status(g)} })
}

// ret appends a return from a signal handler: to the restorer.
func (s *script) ret() *script {
	return s.do(func(g *guest) {
		g.pc = guestabi.PC(g.u64(g.ctx.GPR[guestabi.RSP]))
		g.ctx.GPR[guestabi.RSP] += 8
	})
}

// elf returns a file that loads the script's code, distinct from all others by
// its name.
func (s *script) elf(name string) []byte {
	le := binary.LittleEndian
	code := make([]byte, 0, len(s.ops)*opSize)
	for _, o := range s.ops {
		if o.do == nil {
			code = append(code, 0x0f, 0x05)
		} else {
			code = append(code, 0x90, 0x90)
		}
	}
	b := make([]byte, 0x1000)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 2)
	le.PutUint16(b[18:], 62)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], codeAt)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 2)
	header := func(i int, flags uint32, off, vaddr, filesz, memsz uint64) {
		h := b[64+56*i:]
		le.PutUint32(h, 1)
		le.PutUint32(h[4:], flags)
		for j, v := range []uint64{off, vaddr, vaddr, filesz, memsz, 0x1000} {
			le.PutUint64(h[8+8*j:], v)
		}
	}
	n := uint64(len(code) + len(name))
	header(0, 5, 0x1000, codeAt, n, n)
	header(1, 6, 0, dataAt, 0, 0x10000)
	return append(append(b, code...), name...)
}

// guest is the machine's state as ops see it.
type guest struct {
	mem *machine.Memory
	ctx guestabi.Context
	pc  guestabi.PC
	m   *fakeMachine
}

func (g *guest) rax() uint64 { return g.ctx.GPR[guestabi.RAX] }

func (g *guest) bytes(addr, n uint64) []byte {
	return g.mem.Bytes()[addr-guestabi.AddrBias : addr-guestabi.AddrBias+n]
}
func (g *guest) u64(addr uint64) uint64      { return binary.LittleEndian.Uint64(g.bytes(addr, 8)) }
func (g *guest) put64(addr, v uint64)        { binary.LittleEndian.PutUint64(g.bytes(addr, 8), v) }
func (g *guest) u32(addr uint64) uint32      { return binary.LittleEndian.Uint32(g.bytes(addr, 4)) }
func (g *guest) put32(addr uint64, v uint32) { binary.LittleEndian.PutUint32(g.bytes(addr, 4), v) }
func (g *guest) str(addr uint64, s string)   { copy(g.bytes(addr, uint64(len(s))+1), s+"\x00") }
func (g *guest) cstr(addr uint64) string {
	b := g.mem.Bytes()[addr-guestabi.AddrBias:]
	return string(b[:bytes.IndexByte(b, 0)])
}

// fakeEngine makes machines that run scripts.
type fakeEngine struct {
	scripts []*script
	cpu     guestabi.CPU
}

func (e *fakeEngine) NewMachine(m *machine.Memory, k machine.Kernel) (machine.Machine, error) {
	return &fakeMachine{engine: e, kernel: k, g: guest{mem: m}}, nil
}
func (e *fakeEngine) Close(context.Context) error { return nil }
func (e *fakeEngine) CPU() guestabi.CPU           { return e.cpu }

type fakeMachine struct {
	engine *fakeEngine
	kernel machine.Kernel
	g      guest
	x87    fakeX87
	closed bool
}

type fakeX87 struct{ area [160]byte }

func (x *fakeX87) MarshalFXSave(b []byte)   { copy(b[:24], x.area[:24]); copy(b[32:160], x.area[32:]) }
func (x *fakeX87) Unmasked() uint16         { return 0 }
func (x *fakeX87) UnmarshalFXSave(b []byte) { copy(x.area[:], b[:160]) }

// SaveContext leaves the PC, which the host keeps.
func (m *fakeMachine) SaveContext(c *guestabi.Context) {
	pc := c.PC
	*c = m.g.ctx
	c.PC = pc
}

func (m *fakeMachine) LoadContext(c *guestabi.Context)       { m.g.ctx = *c }
func (m *fakeMachine) StackPointer() uint64                  { return m.g.ctx.GPR[guestabi.RSP] }
func (m *fakeMachine) Reaches(uint32, int) bool              { return true }
func (m *fakeMachine) X87() machine.X87State                 { return &m.x87 }
func (m *fakeMachine) Bind(unit int, base guestabi.PC) error { return nil }
func (m *fakeMachine) Close() error                          { m.closed = true; return nil }

// Run steps through ops until control leaves the script or a Kernel method
// unwinds.
func (m *fakeMachine) Run(pc guestabi.PC) (guestabi.PC, error) {
	g := &m.g
	g.m = m
	for {
		unit := m.kernel.Resolve(pc)
		if unit < 0 {
			return pc, nil
		}
		i := int(pc-codeAt) / opSize
		if i >= len(m.engine.scripts[unit].ops) {
			return pc, nil
		}
		o := m.engine.scripts[unit].ops[i]
		next := pc + opSize
		if o.do != nil {
			g.pc = next
			o.do(g)
			if g.pc != next {
				// A branch: a loop may go on for ever, so ask for signals.
				if g.pc = m.kernel.Safepoint(g.pc); g.pc == machine.Unwind {
					return machine.Unwind, nil
				}
			}
			pc = g.pc
			continue
		}
		r := &g.ctx.GPR
		rax, to := m.kernel.Syscall(r[guestabi.RAX], [6]uint64{r[guestabi.RDI], r[guestabi.RSI], r[guestabi.RDX],
			r[guestabi.R10], r[guestabi.R8], r[guestabi.R9]}, next)
		if to == machine.Unwind {
			return machine.Unwind, nil
		}
		if to == next {
			g.ctx.GPR[guestabi.RAX] = rax
		}
		pc = to
	}
}

// maxTasks is how many tasks a world's container may have.
const maxTasks = 64

// world is a container over scripts, ready to start.
type world struct {
	t     testing.TB
	c     *kernel.Container
	root  vfs.Path
	trail bytes.Buffer
	mu    sync.Mutex
	lines []string // strace
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trail.Write(p)
}

// newWorld makes a container whose /bin holds the scripts.
func newWorld(t testing.TB, programs map[string]*script) *world {
	t.Helper()
	w := &world{t: t}
	fs := mem.New(mem.Options{})
	ns := vfs.NewMountNamespace(fs, vfs.MountOptions{}, nil)
	w.root = ns.Root()
	caller := &vfs.Caller{Creds: vfs.NewCreds(0, 0), Root: w.root, Cwd: w.root}
	if err := caller.Mkdir(vfs.Path{}, "/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	engine := &fakeEngine{}
	m := &artifact.ExecMap{SchemaVersion: 1}
	var units []artifact.UnitEntry
	for name, s := range programs {
		content := s.elf(name)
		w.writeFile(caller, "/bin/"+name, content, 0o755)
		sum := sha256.Sum256(content)
		digest := "sha256:" + hex.EncodeToString(sum[:])
		m.Entries = append(m.Entries, artifact.ExecMapEntry{Digest: digest, Size: int64(len(content)),
			Kind: artifact.ExecProgram, Verdict: artifact.VerdictRun, Unit: len(units)})
		units = append(units, artifact.UnitEntry{Digest: digest, Low: codeAt, High: codeAt + uint64(len(s.ops)*opSize)})
		engine.scripts = append(engine.scripts, s)
	}
	log := audit.New(w, "test", "")
	controller, err := exec.New(m, exec.Options{Level: exec.LevelELFOnly}, log, exec.NewCache(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	var o syscalls.TraceOptions
	if _, bench := t.(*testing.B); !bench {
		o.Print = w.trace
	}
	d := syscalls.NewDispatcher(o)
	k := kernel.New(d, slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})))
	w.c = k.NewContainer(context.Background(), kernel.ContainerConfig{ID: "test", Hostname: "guest", Engine: engine,
		Units: units, Controller: controller, Audit: log, Memory: 32 << 20, Limits: kernel.Limits{Tasks: maxTasks}})
	return w
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) { w.t.Log(string(p)); return len(p), nil }

func (w *world) writeFile(c *vfs.Caller, path string, content []byte, mode uint32) {
	w.t.Helper()
	d, err := c.Open(vfs.Path{}, path, linux.O_CREAT|linux.O_WRONLY, mode)
	if err != nil {
		w.t.Fatalf("creating %s: %v", path, err)
	}
	defer d.DecRef()
	if _, err := d.Write(content, 0); err != nil {
		w.t.Fatalf("writing %s: %v", path, err)
	}
}

// start starts a program.
func (w *world) start(path string, args ...string) error {
	_, err := w.c.Start(kernel.InitConfig{Path: path, Args: append([]string{path}, args...), Env: []string{"A=1"},
		Creds: vfs.NewCreds(0, 0), Files: vfs.NewFDTable(), FS: vfs.NewFSContext(w.root, w.root)})
	return err
}

// run runs a program and returns its wait status.
func (w *world) run(path string, args ...string) int {
	w.t.Helper()
	if err := w.start(path, args...); err != nil {
		w.t.Fatal(err)
	}
	return w.c.Wait()
}

// runScript runs one script as the container's first process.
func runScript(t *testing.T, s *script) int {
	t.Helper()
	return newWorld(t, map[string]*script{"prog": s}).run("/bin/prog")
}

func wantStatus(t *testing.T, got, want int) {
	t.Helper()
	if got != want {
		t.Fatalf("wait status %#x, want %#x", got, want)
	}
}

func fail(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// caller is root at the world's root directory.
func (w *world) caller() *vfs.Caller {
	return &vfs.Caller{Creds: vfs.NewCreds(0, 0), Root: w.root, Cwd: w.root}
}

func (w *world) trace(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line)
}
