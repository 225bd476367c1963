// Package taskview shows a container's tasks to procfs.
package taskview

import (
	"path"
	"runtime"

	"megabinary.dev/vkernel/fs/proc"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/mm"
)

// View implements proc.Kernel over a container.
type View struct {
	c *kernel.Container
	// Release and Version are what uname(2) reports.
	release, version string
}

var _ proc.Kernel = (*View)(nil)

// New makes a view of c. release and version are those of uname(2).
func New(c *kernel.Container, release, version string) *View { return &View{c, release, version} }

// PIDs implements proc.Kernel.
func (v *View) PIDs() []int {
	var pids []int
	for _, tg := range v.c.ThreadGroups() {
		pids = append(pids, tg.ID())
	}
	return pids
}

// NetFiles implements proc.Kernel.
func (v *View) NetFiles() map[string]func() string { return v.c.Net().ProcFiles() }

// SetHostname implements proc.Kernel.
func (v *View) SetHostname(name string) {
	u := v.c.UTS()
	u.Hostname = name
	v.c.SetUTS(u)
}

// System implements proc.Kernel.
func (v *View) System() proc.System {
	uts := v.c.UTS()
	s := proc.System{Hostname: uts.Hostname, Domainname: uts.Domainname, Release: v.release, Version: v.version,
		Boot: v.c.Kernel().BootTime(), TotalMemory: v.c.TotalMemory(), CPUs: runtime.NumCPU(), CPU: v.c.CPU(), Forks: v.c.Forks()}
	for _, tg := range v.c.ThreadGroups() {
		s.CPUTime += tg.CPUTime()
		s.Tasks += len(tg.Threads())
		s.LastPID = max(s.LastPID, tg.ID())
		if tg.State() == 'R' {
			s.Running++
		}
	}
	s.FreeMemory = func() uint64 { return s.TotalMemory - min(s.TotalMemory, v.c.Usage().Memory) }
	return s
}

// Process implements proc.Kernel.
func (v *View) Process(tid int) *proc.Process {
	tg := v.c.ThreadGroup(tid)
	if tg == nil {
		t := v.c.Task(tid)
		if t == nil {
			return nil
		}
		tg = t.ThreadGroup()
	}
	p := &proc.Process{PID: tg.ID(), PPID: tg.ParentID(), PGID: tg.ProcessGroup(), SID: tg.SessionID(), TTYGroup: -1,
		State: tg.State(), Threads: tg.Threads(), CPU: tg.CPUTime(), ChildCPU: tg.ChildrenCPUTime(), Start: tg.StartTime(),
		Nice: tg.Nice(), Exe: tg.ExePath(), Limit: tg.Limit}
	p.ExitStatus, _ = tg.Exited()
	p.OOMScoreAdj, p.SetOOMScoreAdj = tg.OOMScoreAdj(), tg.SetOOMScoreAdj
	t := tg.Leader()
	if own := v.c.Task(tid); own != nil {
		t = own
	}
	if t == nil {
		p.Comm = path.Base(tg.ExePath())
		return p
	}
	p.Comm, p.Creds, p.SetComm = t.Comm(), t.Creds(), t.SetComm
	p.Pending, p.SharedPending, p.Blocked, p.Ignored, p.Caught = tg.SignalMasks()
	if tty, ok := t.ControllingTTY().(kernel.ForegroundTTY); ok {
		p.TTY, p.TTYGroup = tty.Device(), tty.ForegroundGroup()
	}
	if p.State == 'Z' {
		return p
	}
	p.Files, p.FS = t.Files(), t.FS()
	if p.FS != nil {
		_, _, p.Umask = p.FS.Get()
	}
	p.Resident = func() uint64 {
		n := uint64(0)
		tg.WithMM(func(as *mm.AddressSpace) { n = as.Touched() })
		return n
	}
	p.Cmdline, p.Environ, p.Auxv = tg.Cmdline, tg.Environ, tg.Auxv
	tg.WithMM(func(as *mm.AddressSpace) {
		p.Memory, p.Locked = as.Mapped(), as.Locked()
		p.Stack = as.StackStart()
		p.Brk, _ = as.Break()
	})
	p.Maps = func() []proc.Mapping { return mappings(tg) }
	return p
}

func mappings(tg *kernel.ThreadGroup) []proc.Mapping {
	var list []proc.Mapping
	tg.WithMM(func(as *mm.AddressSpace) {
		for _, m := range as.VMAs() {
			list = append(list, proc.Mapping{Start: m.Start, End: m.End, Offset: m.Offset, Prot: m.Prot, Shared: m.Shared, Name: m.Name})
		}
	})
	return list
}
