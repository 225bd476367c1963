package kernel

import (
	"errors"
	"io"
	"path"
	"time"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/exec"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/load"
	"megabinary.dev/vkernel/machine"
	"megabinary.dev/vkernel/mm"
	"megabinary.dev/vkernel/pages"
	"megabinary.dev/vkernel/vfs"
)

// program is a loaded program, ready to run.
type program struct {
	path    string // of the ELF file, absolute
	digest  string
	comm    string
	content []byte // of the ELF file, for the nearest symbol

	as      *mm.AddressSpace
	machine machine.Machine
	units   *unitTable
	entry   guestabi.PC
	creds   *vfs.Creds
	watch   *codeWatch // what an interpreter reads as code; nil: it is none

	argStart, argEnd uint64
	envStart, envEnd uint64
	auxStart, auxEnd uint64
}

// release gives up a program that will not run.
func (p *program) release() {
	if p.machine != nil {
		_ = p.machine.Close() // nothing ran on it
	}
	if p.as != nil {
		p.as.Release()
	}
}

// maxInterpreters is how many times a program may be replaced by the one that
// its first line names (Linux: exec_binprm).
const maxInterpreters = 5

// ExecFile is what execve starts from.
type ExecFile struct {
	Desc *vfs.FileDescription // counted; nil: look Path up
	Path string               // as the guest named it; /dev/fd/N for execveat with an empty path
	At   vfs.Path             // directory that Path is relative to; zero: working directory
	// NoFollow is AT_SYMLINK_NOFOLLOW.
	NoFollow bool
	// CloseOnExec says that Desc will be closed: a script could not be read.
	CloseOnExec bool
}

// Caller returns what a path walk on behalf of t needs.
func (t *Task) Caller() *vfs.Caller {
	root, cwd, umask := t.FS().Get()
	c := &vfs.Caller{Creds: t.Creds(), Root: root, Cwd: cwd, Umask: umask, PID: t.TGID(), TID: t.TID()}
	if (t.c.cfg.Policy != nil && t.c.cfg.Policy.Files != nil) || t.c.cfg.Recorder != nil {
		c.Guard = t.guard
	}
	if l := t.tg.fileSizeLimit(); l != linux.RLIM_INFINITY {
		c.FileSizeLimit = l
	}
	if tty, ok := t.ControllingTTY().(interface{ OpenTTY() (vfs.File, error) }); ok {
		c.TTY = tty.OpenTTY
	}
	return c
}

func (tg *ThreadGroup) fileSizeLimit() uint64 { return tg.fsize.Load() }

// codeFile adapts a regular file to the exec controller.
type codeFile struct {
	vfs.ContentReader
	inode vfs.Inode
}

// ReadAt implements io.ReaderAt, whose contract file systems of the guest do not
// keep at the end of a file.
func (f codeFile) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := f.ContentReader.ReadAt(p[done:], off+int64(done))
		done += n
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, io.EOF
		}
	}
	return done, nil
}

// Identity implements exec.File.
func (f codeFile) Identity() (exec.Identity, bool) {
	dev, ino, version, ok := vfs.ContentIdentity(f.inode)
	return exec.Identity{Device: dev, Inode: ino, Version: version}, ok
}

// openCode resolves a file that is to run and checks that t may execute it.
func (t *Task) openCode(f ExecFile) (vfs.Location, error) {
	if f.Desc != nil {
		return f.Desc.Location(), nil
	}
	return t.Caller().Walk(f.At, f.Path, !f.NoFollow)
}

// check asks the exec controller about the file at loc.
func (t *Task) check(loc vfs.Location, use exec.Use, name string, args []string) (exec.Decision, error) {
	st, err := loc.Inode.Stat()
	if err != nil {
		return exec.Decision{}, err
	}
	switch st.Mode & linux.S_IFMT {
	case linux.S_IFREG:
	case linux.S_IFLNK:
		return exec.Decision{}, linux.ELOOP
	default:
		return exec.Decision{}, linux.EACCES
	}
	if use != exec.UseMap {
		caller := t.Caller()
		if err := caller.CheckGuard(loc, vfs.MayRead); err != nil {
			return exec.Decision{}, err
		}
		if err := caller.Access(loc.Path, vfs.MayExec); err != nil {
			return exec.Decision{}, err
		}
	}
	content, err := vfs.ContentOf(loc.Inode)
	if err != nil {
		return exec.Decision{}, err
	}
	request := t.execRequest(name, args)
	request.File, request.Use = codeFile{content, loc.Inode}, use
	request.Mode, request.UID, request.GID = st.Mode&0o7777, int(st.UID), int(st.GID)
	d, err := t.c.cfg.Controller.Check(t.c.ctx, request)
	switch {
	case err != nil:
		t.k.log.Error("a file cannot be checked and does not run", "path", name, "err", err)
		return d, linux.EACCES
	case d.Allow:
		return d, nil
	case d.NotCode():
		return d, linux.ENOEXEC
	default:
		return d, t.refused(name, use, &d)
	}
}

// CheckMap asks whether the file may be mapped as code, and admits its unit at
// the mapping's base.
func (t *Task) CheckMap(desc *vfs.FileDescription) (exec.Decision, error) {
	return t.check(desc.Location(), exec.UseMap, desc.Describe(t.FS().Root()), nil)
}

// CachedContent returns the bytes of a file that ran, or was mapped as code, and
// has not changed since; nil of others.
func (t *Task) CachedContent(inode vfs.Inode) *pages.Content {
	content, err := vfs.ContentOf(inode)
	if err != nil {
		return nil
	}
	return t.c.cfg.Controller.Cached(codeFile{content, inode})
}

// AdmitUnit binds a unit that was mapped at base to the task's machine; threads
// find it through Resolve.
func (t *Task) AdmitUnit(unit int, base uint64) error {
	u := t.c.unit(unit)
	if u == nil {
		return linux.EACCES
	}
	b := boundUnit{unit: unit, base: guestabi.PC(base), low: u.Low + base, high: u.High + base}
	if err := t.machine.Bind(unit, b.base); err != nil {
		t.k.log.Error("binding a mapped unit", "unit", unit, "err", err)
		return linux.EACCES
	}
	t.units.add(b)
	return nil
}

// DismissUnits forgets the units whose code lies between two guest addresses,
// because something else will lie there.
func (t *Task) DismissUnits(from, to uint64) {
	if t.units.remove(from, to) {
		t.MM().Memory().UnitsGone()
	}
}

// resolved is a program after all #! lines.
type resolved struct {
	decision exec.Decision
	loc      vfs.Location
	args     []string
	execFn   string
	name     string // of the file that execve was given, for comm
	privFrom vfs.Location
}

// resolveProgram follows #! lines until an ELF file comes.
func (t *Task) resolveProgram(f ExecFile, args []string) (resolved, error) {
	r := resolved{args: args, execFn: f.Path, name: path.Base(f.Path)}
	name := f.Path
	for depth := 0; ; depth++ {
		loc, err := t.openCode(f)
		if err != nil {
			return r, err
		}
		use := exec.UseExec
		if depth > 0 {
			use = exec.UseInterpreter
		}
		d, err := t.check(loc, use, name, r.args)
		if err != nil {
			return r, err
		}
		if d.Unit >= 0 {
			r.decision, r.loc = d, loc
			return r, nil
		}
		if f.CloseOnExec {
			return r, linux.ENOENT // the interpreter could not open the script
		}
		if depth >= maxInterpreters {
			return r, linux.ELOOP
		}
		next := []string{d.Interpreter}
		if d.InterpreterArg != "" {
			next = append(next, d.InterpreterArg)
		}
		next = append(next, name)
		if len(r.args) > 0 {
			next = append(next, r.args[1:]...)
		}
		r.args = next
		f, name = ExecFile{Path: d.Interpreter}, d.Interpreter
	}
}

// loadProgram loads what execve(path, args, env) would run.
func (t *Task) loadProgram(path string, args, env []string) (*program, error) {
	return t.loadFile(ExecFile{Path: path}, args, env)
}

func (t *Task) loadFile(f ExecFile, args, env []string) (*program, error) {
	if len(args) == 0 {
		args = []string{""} // as Linux since 5.18
	}
	t.logCode()
	r, err := t.resolveProgram(f, args)
	if err != nil {
		return nil, err
	}
	watch, err := t.askSources(r, env)
	if err != nil {
		return nil, err
	}
	stackLimit := t.tg.Limit(linux.RLIMIT_STACK).Cur
	if !load.ArgsFit(r.args, env, stackLimit) {
		return nil, linux.E2BIG
	}
	img, err := load.Parse(r.decision.Content)
	if err != nil {
		t.k.log.Info("not a program", "path", f.Path, "err", err)
		return nil, linux.ENOEXEC
	}
	img.Pages = r.decision.Pages
	abs := vfs.PathOf(r.loc, t.FS().Root())
	p := &program{path: abs, digest: r.decision.Digest, comm: r.name, content: r.decision.Content, units: new(unitTable), watch: watch}
	p.creds = t.execCreds(r.loc)
	if err := t.build(p, img, r, env, stackLimit); err != nil {
		p.release()
		var errno linux.Errno
		if errors.As(err, &errno) {
			t.k.log.Info("loading a program failed", "path", f.Path, "err", err)
			return nil, errno
		}
		t.k.log.Error("loading a program failed", "path", f.Path, "err", err)
		return nil, linux.ENOMEM
	}
	return p, nil
}

// Places in a new address space. Nothing is random: a run can be repeated.
const (
	pieBase  = 0x40_0000 // of a position-independent program
	stackGap = 32 << 20  // at most, between the stack and mmap's top: see Task.checkStack
	maxStack = 8 << 20
	// hwcap is CPUID(1).edx of the guest's processor: FPU, TSC, CX8, CMOV,
	// CLFSH, MMX, FXSR, SSE, SSE2.
	hwcap = 1<<0 | 1<<4 | 1<<8 | 1<<15 | 1<<19 | 1<<23 | 1<<24 | 1<<25 | 1<<26
)

// newAddressSpace reserves guest memory as large as the container allows.
func (c *Container) newAddressSpace() (*mm.AddressSpace, error) {
	mem, err := c.memories.NewMemory(int64(c.cfg.Memory))
	if err != nil {
		return nil, err
	}
	return mm.New(mem, c.shared, func(m *machine.Memory) {
		if err := m.Close(); err != nil {
			c.k.log.Warn("releasing guest memory", "err", err)
		}
	}), nil
}

// minSigStack is AT_MINSIGSTKSZ, which programs for x86-64-v2 do without.
func (c *Container) minSigStack() uint64 {
	if cpu := c.CPU(); cpu >= guestabi.CPUv3 {
		return signalFrameSize(cpu)
	}
	return 0
}

// build makes address space, stack and machine of p.
func (t *Task) build(p *program, img *load.Image, r resolved, env []string, stackLimit uint64) error {
	as, err := t.c.newAddressSpace()
	if err != nil {
		return err
	}
	p.as = as
	as.SetLoading(true)
	defer as.SetLoading(false)
	stack := mm.PageUp(min(stackLimit, maxStack, t.c.cfg.Memory/4))
	top := as.High()
	_, err = as.Map(mm.MapOpts{Addr: top - stack, Length: stack, Prot: linux.PROT_READ | linux.PROT_WRITE,
		Fixed: true, GrowsDown: true, Name: "[stack]"})
	if err != nil {
		return err
	}
	mmapTop := top - stack - mm.PageUp(min(stackGap, t.c.cfg.Memory/32))
	as.Layout(0, mmapTop, 0)
	m, err := img.Map(as, pieBase, p.path)
	if err != nil {
		return err
	}
	if err := t.admit(p, r.decision.Unit, m.Base); err != nil {
		return err
	}
	entry, interpAt := m.Entry, uint64(0)
	if img.Interp != "" {
		im, err := t.mapInterpreter(p, img.Interp)
		if err != nil {
			return err
		}
		entry, interpAt = im.Entry, im.Base
	}
	c := p.creds
	st, err := load.BuildStack(as, top, load.StackArgs{
		Args: r.args, Env: env, ExecFn: r.execFn, Main: m, Phnum: img.Phnum(), InterpAt: interpAt, Entry: m.Entry,
		UID: c.UID, EUID: c.EUID, GID: c.GID, EGID: c.EGID, Secure: c.UID != c.EUID || c.GID != c.EGID, HWCap: hwcap,
		MinSigStack: t.c.minSigStack(),
	})
	if err != nil {
		return err
	}
	as.Layout(m.End, mmapTop, st.SP)
	p.argStart, p.argEnd = st.ArgStart, st.ArgEnd
	p.envStart, p.envEnd = st.EnvStart, st.EnvEnd
	p.auxStart, p.auxEnd = st.AuxStart, st.AuxEnd
	return t.enterable(p, entry, st.SP)
}

// admit enters a unit in p's table at base.
func (t *Task) admit(p *program, unit int, base uint64) error {
	u := t.c.unit(unit)
	if u == nil {
		return linux.ENOEXEC
	}
	p.units.add(boundUnit{unit: unit, base: guestabi.PC(base), low: u.Low + base, high: u.High + base})
	return nil
}

// mapInterpreter maps the program's ELF interpreter, ld.so.
func (t *Task) mapInterpreter(p *program, name string) (load.Mapped, error) {
	loc, err := t.Caller().Walk(vfs.Path{}, name, true)
	if err != nil {
		return load.Mapped{}, err
	}
	d, err := t.check(loc, exec.UseInterpreter, name, nil)
	if err != nil {
		return load.Mapped{}, err
	}
	if d.Unit < 0 {
		return load.Mapped{}, linux.ELIBBAD
	}
	img, err := load.Parse(d.Content)
	if err != nil {
		return load.Mapped{}, linux.ELIBBAD
	}
	img.Pages = d.Pages
	m, err := img.Map(p.as, 0, vfs.PathOf(loc, t.FS().Root()))
	if err != nil {
		return load.Mapped{}, err
	}
	return m, t.admit(p, d.Unit, m.Base)
}

// enterable makes p's machine with the registers that a program starts with.
func (t *Task) enterable(p *program, entry, sp uint64) error {
	mach, err := t.c.cfg.Engine.NewMachine(p.as.Memory(), t)
	if err != nil {
		return err
	}
	p.machine = mach
	if err := p.units.bindAll(mach); err != nil {
		return err
	}
	ctx := guestabi.Context{PC: entry, RFLAGS: 1 << 1, MXCSR: guestabi.MXCSRInit, Fuel: guestabi.FuelPerSlice}
	ctx.GPR[guestabi.RSP] = sp
	mach.LoadContext(&ctx)
	p.entry = guestabi.PC(entry)
	return nil
}

// execCreds returns the credentials after execve of the file at loc
// (capabilities(7), "Transformation of capabilities during execve()"; file
// capabilities are not supported).
func (t *Task) execCreds(loc vfs.Location) *vfs.Creds {
	old := t.Creds()
	n := old.Clone()
	if st, err := loc.Inode.Stat(); err == nil && !t.noNewPrivs {
		if st.Mode&linux.S_ISUID != 0 {
			n.EUID = st.UID
		}
		if st.Mode&(linux.S_ISGID|0o010) == linux.S_ISGID|0o010 {
			n.EGID = st.GID
		}
	}
	if n.EUID != old.EUID || n.EGID != old.EGID {
		n.Ambient = 0
	}
	n.SUID, n.FSUID, n.SGID, n.FSGID = n.EUID, n.EUID, n.EGID, n.EGID
	if n.EUID == 0 || n.UID == 0 {
		n.Permitted = n.Inheritable | n.Bounding
	} else {
		n.Permitted = n.Ambient
	}
	n.Effective = n.Ambient
	if n.EUID == 0 {
		n.Effective = n.Permitted
	}
	return n
}

// commit makes p the program of t. A machine that t has now is left to the run
// loop, which closes it once its frames are gone.
func (t *Task) commit(p *program) {
	oldAS := t.mm.Load()
	t.mm.Store(p.as)
	t.machine, t.units, t.code = p.machine, p.units, p.watch
	if oldAS != nil {
		t.recordPrivilege(t.Creds(), p.creds)
	}
	t.creds.Store(p.creds)
	t.SetComm(p.comm)
	t.clearChildTID, t.robustList, t.restart = 0, 0, nil
	t.keepCaps = false
	t.filter = t.filterFor(p)
	t.c.mu.Lock()
	t.tg.lastProg = p
	t.tg.execd = true
	t.tg.actions = t.tg.actions.forExec()
	t.sig.altStack = linux.Stack{Flags: linux.SS_DISABLE}
	t.tg.dumpable = 1
	if oldAS != nil {
		t.tg.maxRSS = max(t.tg.maxRSS, oldAS.Mapped())
	}
	t.tg.timers.forExec()
	t.tg.aio.forExec()
	as := t.tg.limits[linux.RLIMIT_AS].Cur
	t.c.mu.Unlock()
	p.as.SetLimit(as)
	t.releaseVfork()
	if oldAS != nil {
		oldAS.Release()
	}
}

// Exec implements execve(2) and execveat(2). It succeeds without returning to
// the caller of the guest.
func (t *Task) Exec(f ExecFile, args, env []string) error {
	p, err := t.loadFile(f, args, env)
	if err != nil {
		return err
	}
	if err := t.soleThread(); err != nil {
		p.release()
		return err
	}
	if files := t.Files(); files.Shared() {
		t.files.Store(files.Fork())
		files.DecRef()
	}
	t.Files().CloseOnExec()
	t.commit(p)
	t.redirect.kind, t.redirect.ctx.PC = redirectMachine, uint64(p.entry)
	return nil
}

// soleThread ends all other threads of the process, as execve does, and waits
// for them. t takes over the process's id.
func (t *Task) soleThread() error {
	t.c.mu.Lock()
	if t.mustExit() {
		t.c.mu.Unlock()
		return linux.EINTR // about to die; the result does not matter
	}
	t.tg.execing = t
	for _, other := range t.tg.threads {
		if other != t {
			other.kick()
		}
	}
	if t.tg.stopped {
		t.tg.stopped = false
		close(t.tg.resumed)
	}
	t.c.mu.Unlock()
	for {
		t.c.mu.Lock()
		if t.tg.exiting {
			t.tg.execing = nil
			t.c.mu.Unlock()
			return linux.EINTR
		}
		if len(t.tg.threads) == 1 {
			t.becomeLeader()
			t.tg.execing = nil
			t.c.mu.Unlock()
			return nil
		}
		events := t.tg.events
		t.c.mu.Unlock()
		t.pauseCPU()
		select {
		case <-events:
		case <-t.wake:
		case <-time.After(time.Second): // a lost wake-up would hang the program
		}
		t.resumeCPU()
	}
}

// becomeLeader gives t the process's id. c.mu is held.
func (t *Task) becomeLeader() {
	if tid := t.TID(); tid != t.tg.id {
		delete(t.c.tasks, tid)
		delete(t.tg.threads, tid)
		t.tid.Store(int64(t.tg.id))
		t.c.tasks[t.tg.id] = t
		t.tg.threads[t.tg.id] = t
	}
	t.tg.leader = t
}
