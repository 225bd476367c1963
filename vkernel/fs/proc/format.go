package proc

import (
	"fmt"
	"strings"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// statLine is /proc/PID/stat (proc_pid_stat(5)).
func statLine(p *Process, tid int, boot time.Time) string {
	fields := []any{p.PPID, p.PGID, p.SID, int32(uint32(p.TTY)), p.TTYGroup,
		0, 0, 0, 0, 0, // flags, faults
		ticks(p.CPU), 0, ticks(p.ChildCPU), 0, 20 + p.Nice, p.Nice, max(1, len(p.Threads)), 0,
		max(0, ticks(p.Start.Sub(boot))), p.Memory, p.resident() >> 12, uint64(linux.RLIM_INFINITY),
		0, 0, p.Stack, 0, 0, // startcode, endcode, startstack, kstkesp, kstkeip
		uint64(p.Pending) & (1<<31 - 1), uint64(p.Blocked) & (1<<31 - 1), uint64(p.Ignored) & (1<<31 - 1), uint64(p.Caught) & (1<<31 - 1),
		0, 0, 0, linux.SIGCHLD, 0, 0, 0, 0, 0, 0, // wchan .. cguest_time
		0, 0, p.Brk, 0, 0, 0, 0, p.ExitStatus}
	var b strings.Builder
	fmt.Fprintf(&b, "%d (%s) %c", tid, p.Comm, p.State)
	for _, f := range fields {
		fmt.Fprintf(&b, " %d", f)
	}
	b.WriteByte('\n')
	return b.String()
}

var stateNames = map[byte]string{'R': "running", 'S': "sleeping", 'D': "disk sleep", 'T': "stopped", 'Z': "zombie", 'X': "dead"}

// status is /proc/PID/status.
func status(p *Process, tid int) string {
	var b strings.Builder
	line := func(name, format string, args ...any) { fmt.Fprintf(&b, name+":\t"+format+"\n", args...) }
	line("Name", "%s", escapeComm(p.Comm))
	if p.Files != nil {
		line("Umask", "%04o", p.Umask)
	}
	line("State", "%c (%s)", p.State, stateNames[p.State])
	line("Tgid", "%d", p.PID)
	line("Ngid", "0")
	line("Pid", "%d", tid)
	line("PPid", "%d", p.PPID)
	line("TracerPid", "0")
	if c := p.Creds; c != nil {
		line("Uid", "%d\t%d\t%d\t%d", c.UID, c.EUID, c.SUID, c.FSUID)
		line("Gid", "%d\t%d\t%d\t%d", c.GID, c.EGID, c.SGID, c.FSGID)
	}
	if p.Files != nil {
		line("FDSize", "%d", p.Files.Capacity())
	}
	groups := ""
	if p.Creds != nil {
		for _, g := range p.Creds.Groups {
			groups += fmt.Sprintf("%d ", g)
		}
	}
	line("Groups", "%s", groups)
	if p.Files != nil {
		resident := p.resident()
		for _, m := range []struct {
			name string
			v    uint64
		}{{"VmPeak", p.Memory}, {"VmSize", p.Memory}, {"VmLck", p.Locked}, {"VmPin", 0}, {"VmHWM", resident}, {"VmRSS", resident},
			{"RssAnon", resident}, {"RssFile", 0}, {"RssShmem", 0}, {"VmData", p.Memory}, {"VmStk", 0}, {"VmExe", 0},
			{"VmLib", 0}, {"VmPTE", 0}, {"VmSwap", 0}} {
			line(m.name, "%8d kB", m.v>>10)
		}
	}
	line("Threads", "%d", max(1, len(p.Threads)))
	line("SigQ", "0/4096")
	for _, s := range []struct {
		name string
		v    linux.SignalSet
	}{{"SigPnd", p.Pending}, {"ShdPnd", p.SharedPending}, {"SigBlk", p.Blocked}, {"SigIgn", p.Ignored}, {"SigCgt", p.Caught}} {
		line(s.name, "%016x", uint64(s.v))
	}
	if c := p.Creds; c != nil {
		line("CapInh", "%016x", c.Inheritable)
		line("CapPrm", "%016x", c.Permitted)
		line("CapEff", "%016x", c.Effective)
		line("CapBnd", "%016x", c.Bounding)
		line("CapAmb", "%016x", c.Ambient)
	}
	line("NoNewPrivs", "0")
	line("Seccomp", "0")
	line("Cpus_allowed", "1")
	line("Cpus_allowed_list", "0")
	line("voluntary_ctxt_switches", "0")
	line("nonvoluntary_ctxt_switches", "0")
	return b.String()
}

func escapeComm(s string) string { return strings.NewReplacer("\\", `\\`, "\n", `\n`).Replace(s) }

// maps is /proc/PID/maps.
func maps(p *Process) string { return mapLines(p, func(*strings.Builder, Mapping) {}) }

// smaps is /proc/PID/smaps. What of a mapping is resident is not known: all of
// it counts as such.
func smaps(p *Process) string {
	return mapLines(p, func(b *strings.Builder, m Mapping) {
		size := (m.End - m.Start) >> 10
		shared, private := uint64(0), size
		if m.Shared {
			shared, private = size, 0
		}
		for _, row := range []struct {
			name string
			kb   uint64
		}{{"Size", size}, {"KernelPageSize", 4}, {"MMUPageSize", 4}, {"Rss", size}, {"Pss", size}, {"Shared_Clean", 0}, {"Shared_Dirty", shared},
			{"Private_Clean", 0}, {"Private_Dirty", private}, {"Referenced", size}, {"Anonymous", private}, {"Swap", 0}, {"Locked", 0}} {
			fmt.Fprintf(b, "%-16s%8d kB\n", row.name+":", row.kb)
		}
		b.WriteString("VmFlags:\n")
	})
}

// mapLines writes a line for each mapping, and what after adds.
func mapLines(p *Process, after func(*strings.Builder, Mapping)) string {
	if p.Maps == nil {
		return ""
	}
	var b strings.Builder
	for _, m := range p.Maps() {
		flags := []byte("---p")
		for i, f := range []struct {
			bit uint32
			c   byte
		}{{linux.PROT_READ, 'r'}, {linux.PROT_WRITE, 'w'}, {linux.PROT_EXEC, 'x'}} {
			if m.Prot&f.bit != 0 {
				flags[i] = f.c
			}
		}
		if m.Shared {
			flags[3] = 's'
		}
		s := fmt.Sprintf("%08x-%08x %s %08x 00:00 0 ", m.Start, m.End, flags, m.Offset)
		if m.Name != "" {
			s += strings.Repeat(" ", max(0, 73-len(s))) + strings.ReplaceAll(m.Name, "\n", `\012`)
		}
		b.WriteString(s + "\n")
		after(&b, m)
	}
	return b.String()
}

// limitRows are the lines of /proc/PID/limits in Linux's order.
var limitRows = [...]struct {
	resource   int
	name, unit string
}{
	{linux.RLIMIT_CPU, "Max cpu time", "seconds"},
	{linux.RLIMIT_FSIZE, "Max file size", "bytes"},
	{linux.RLIMIT_DATA, "Max data size", "bytes"},
	{linux.RLIMIT_STACK, "Max stack size", "bytes"},
	{linux.RLIMIT_CORE, "Max core file size", "bytes"},
	{linux.RLIMIT_RSS, "Max resident set", "bytes"},
	{linux.RLIMIT_NPROC, "Max processes", "processes"},
	{linux.RLIMIT_NOFILE, "Max open files", "files"},
	{linux.RLIMIT_MEMLOCK, "Max locked memory", "bytes"},
	{linux.RLIMIT_AS, "Max address space", "bytes"},
	{linux.RLIMIT_LOCKS, "Max file locks", "locks"},
	{linux.RLIMIT_SIGPENDING, "Max pending signals", "signals"},
	{linux.RLIMIT_MSGQUEUE, "Max msgqueue size", "bytes"},
	{linux.RLIMIT_NICE, "Max nice priority", ""},
	{linux.RLIMIT_RTPRIO, "Max realtime priority", ""},
	{linux.RLIMIT_RTTIME, "Max realtime timeout", "us"},
}

func limits(p *Process) string {
	if p.Limit == nil {
		return ""
	}
	value := func(v uint64) string {
		if v == linux.RLIM_INFINITY {
			return "unlimited"
		}
		return fmt.Sprint(v)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units")
	for _, r := range limitRows {
		l := p.Limit(r.resource)
		fmt.Fprintf(&b, "%-25s %-20s %-20s %-10s\n", r.name, value(l.Cur), value(l.Max), r.unit)
	}
	return b.String()
}

// mountLines prints the mounts that a process can reach from its root.
func mountLines(p *Process, line func(m *vfs.Mount, at string) string) string {
	if p.FS == nil {
		return ""
	}
	root := p.FS.Root()
	var b strings.Builder
	for _, m := range root.Mount.Namespace().Mounts() {
		at, err := vfs.PathOfDir(m.Root(), root)
		if err != nil || strings.HasPrefix(at, "(unreachable)") {
			continue
		}
		b.WriteString(line(m, escapePath(at)))
	}
	return b.String()
}

func escapePath(s string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, "\\", `\134`).Replace(s)
}

func mountOptions(m *vfs.Mount) string {
	s := "rw"
	if m.ReadOnly {
		s = "ro"
	}
	s += ",noatime"
	if m.Options != "" {
		s += "," + m.Options
	}
	return s
}

func mountLine(m *vfs.Mount, at string) string {
	return fmt.Sprintf("%s %s %s %s 0 0\n", escapePath(m.Source), at, m.FS.Type(), mountOptions(m))
}

func mountInfoLine(m *vfs.Mount, at string) string {
	st, _ := m.Root().Inode.Stat() // a root always has attributes
	return fmt.Sprintf("%d %d %d:%d / %s %s - %s %s %s\n", m.ID, m.ParentID(), linux.DevMajor(st.Dev), linux.DevMinor(st.Dev),
		at, mountOptions(m), m.FS.Type(), escapePath(m.Source), mountOptions(m))
}
