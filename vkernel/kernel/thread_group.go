package kernel

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
	"megabinary.dev/vkernel/waiter"
)

// ThreadGroup is a process. Fields are guarded by Container.mu unless a comment
// says otherwise.
type ThreadGroup struct {
	c  *Container
	id int // never changes

	leader   *Task // nil once the process has exited
	threads  map[int]*Task
	parent   *ThreadGroup
	children map[int]*ThreadGroup // zombies included
	session  *Session
	noTTY    bool // has given up the session's terminal
	pgid     int

	actions *sigActions // shared by CLONE_SIGHAND
	pending sigQueue    // for any thread

	// events is closed, and replaced, when a child changes state.
	events chan struct{}

	exiting    bool // all threads are to end
	execing    *Task
	dead       bool // no threads left; a zombie until it is waited for
	reaped     bool
	exitStatus int // wait status, as wait4 returns it
	exitSignal int // to the parent; 0: none

	stopped   bool
	stopSig   int
	stopEvent bool // not yet seen by wait4
	contEvent bool
	resumed   chan struct{} // closed when stopped becomes false

	execd     bool // has called execve since fork: setpgid refuses
	subreaper bool

	limits     [linux.RLIM_NLIMITS]linux.Rlimit
	oomAdj     atomic.Int32
	persona    atomic.Uint32 // personality(2)
	signals    waiter.Queue  // hears of signals and of the end, for signalfd and pidfd
	timers     timers
	dumpable   int
	aio        aioContexts
	ioprio     int
	noTHP      bool          // PR_SET_THP_DISABLE
	barriers   atomic.Uint32 // MEMBARRIER_CMD_REGISTER_... that were called
	nice       int
	cpuDone    time.Duration // of threads that have ended
	childCPU   time.Duration // of children that were waited for
	startTime  time.Time
	maxRSS     uint64 // bytes, largest address space seen at exit or exec
	childRSS   uint64
	lastProg   *program // what runs
	cpuLimited atomic.Bool
	fsize      atomic.Uint64 // RLIMIT_FSIZE, soft
}

// Session is a session (setsid(2)).
type Session struct {
	id     int
	leader *ThreadGroup // nil once it has exited
	tty    any          // controlling terminal, the terminal's own type
	oldFG  int          // foreground group of a terminal that has hung up, 0: none
}

func newThreadGroup(c *Container, id int) *ThreadGroup {
	return &ThreadGroup{
		c: c, id: id, threads: make(map[int]*Task), children: make(map[int]*ThreadGroup),
		events: make(chan struct{}), actions: new(sigActions), exitSignal: linux.SIGCHLD,
		startTime: time.Now(), dumpable: 1,
	}
}

// Personality returns what personality(2) set.
func (tg *ThreadGroup) Personality() uint32 { return tg.persona.Load() }

// SetPersonality sets it and returns the one before.
func (tg *ThreadGroup) SetPersonality(v uint32) uint32 { return tg.persona.Swap(v) }

// OOMScoreAdj returns what the process may be shot for when memory is short:
// kept, and without effect.
func (tg *ThreadGroup) OOMScoreAdj() int { return int(tg.oomAdj.Load()) }

// SetOOMScoreAdj sets it.
func (tg *ThreadGroup) SetOOMScoreAdj(n int) { tg.oomAdj.Store(int32(n)) }

// ID returns the pid.
func (tg *ThreadGroup) ID() int { return tg.id }

// ParentID returns the parent's pid, 0 if there is none in the container.
func (tg *ThreadGroup) ParentID() int {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.parentID()
}

func (tg *ThreadGroup) parentID() int {
	if tg.parent == nil {
		return 0
	}
	return tg.parent.id
}

// ProcessGroup returns the process group's id.
func (tg *ThreadGroup) ProcessGroup() int {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.pgid
}

// SessionID returns the session's id.
func (tg *ThreadGroup) SessionID() int {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.session.id
}

// Leader returns the main thread, or nil if the process is a zombie.
func (tg *ThreadGroup) Leader() *Task {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.leader
}

// Threads returns the threads' ids, sorted.
func (tg *ThreadGroup) Threads() []int {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return sortedKeys(tg.threads)
}

// ChildIDs returns the pids of the children, sorted.
func (tg *ThreadGroup) ChildIDs() []int {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return sortedKeys(tg.children)
}

// StartTime is when the process was made.
func (tg *ThreadGroup) StartTime() time.Time { return tg.startTime }

// State returns the letter of /proc/PID/stat.
func (tg *ThreadGroup) State() byte {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	switch {
	case tg.dead || tg.leader == nil:
		return 'Z'
	case tg.stopped:
		return 'T'
	case tg.leader.running():
		return 'R'
	default:
		return 'S'
	}
}

// Exited reports whether the process has ended, and with which wait status.
func (tg *ThreadGroup) Exited() (status int, ok bool) {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.exitStatus, tg.dead
}

// CPUTime returns the time spent in guest code, approximated by wall time
// outside of blocking syscalls.
func (tg *ThreadGroup) CPUTime() time.Duration {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.cpu()
}

func (tg *ThreadGroup) cpu() time.Duration {
	d := tg.cpuDone
	for _, t := range tg.threads {
		d += t.CPUTime()
	}
	return d
}

// ChildrenCPUTime returns the CPU time of children that were waited for.
func (tg *ThreadGroup) ChildrenCPUTime() time.Duration {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.childCPU
}

// ExePath returns the path of the program that runs.
func (tg *ThreadGroup) ExePath() string {
	if p := tg.prog(); p != nil {
		return p.path
	}
	return ""
}

// ExeDigest returns the sha256 digest of the program that runs.
func (tg *ThreadGroup) ExeDigest() string {
	if p := tg.prog(); p != nil {
		return p.digest
	}
	return ""
}

func (tg *ThreadGroup) prog() *program {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.lastProg
}

// Cmdline returns the argument area, NUL-terminated strings.
func (tg *ThreadGroup) Cmdline() []byte {
	return tg.area(func(p *program) (uint64, uint64) { return p.argStart, p.argEnd })
}

// Environ returns the area of the initial environment.
func (tg *ThreadGroup) Environ() []byte {
	return tg.area(func(p *program) (uint64, uint64) { return p.envStart, p.envEnd })
}

// Auxv returns the auxiliary vector.
func (tg *ThreadGroup) Auxv() []byte {
	return tg.area(func(p *program) (uint64, uint64) { return p.auxStart, p.auxEnd })
}

func (tg *ThreadGroup) area(where func(*program) (from, to uint64)) []byte {
	var out []byte
	tg.WithMM(func(as *mm.AddressSpace) {
		p := tg.prog()
		if p == nil {
			return
		}
		from, to := where(p)
		b := make([]byte, to-from)
		if as.CopyIn(from, b) == nil {
			out = b
		}
	})
	return out
}

// WithMM calls fn with the address space, which stays alive meanwhile. It does
// nothing if the process has none any more.
func (tg *ThreadGroup) WithMM(fn func(as *mm.AddressSpace)) {
	tg.c.mu.Lock()
	var as *mm.AddressSpace
	if tg.leader != nil {
		as = tg.leader.mm.Load()
	}
	tg.c.mu.Unlock()
	if as == nil || !as.TryAcquire() {
		return
	}
	defer as.Release()
	fn(as)
}

// SignalMasks returns what /proc/PID/status shows.
func (tg *ThreadGroup) SignalMasks() (pending, shared, blocked, ignored, caught linux.SignalSet) {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	if tg.leader != nil {
		pending, blocked = tg.leader.sig.pending.set, tg.leader.sig.blocked
	}
	for sig := 1; sig <= linux.NSIG; sig++ {
		switch tg.actions.get(sig).Handler {
		case linux.SIG_DFL:
		case linux.SIG_IGN:
			ignored |= linux.SignalMask(sig)
		default:
			caught |= linux.SignalMask(sig)
		}
	}
	return pending, tg.pending.set, blocked, ignored, caught
}

// Limit returns a resource limit.
func (tg *ThreadGroup) Limit(resource int) linux.Rlimit {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.limits[resource]
}

// SetLimit changes a resource limit.
func (tg *ThreadGroup) SetLimit(resource int, l linux.Rlimit) {
	tg.c.mu.Lock()
	tg.limits[resource] = l
	tg.limitsChanged()
	tg.c.mu.Unlock()
}

// notify wakes everyone who waits for a child of tg. c.mu is held.
func (tg *ThreadGroup) notify() {
	close(tg.events)
	tg.events = make(chan struct{})
}

// limitsChanged renews what is kept of limits for quick access. c.mu is held, or
// tg is new.
func (tg *ThreadGroup) limitsChanged() {
	tg.cpuLimited.Store(tg.limits[linux.RLIMIT_CPU].Cur != linux.RLIM_INFINITY)
	tg.fsize.Store(tg.limits[linux.RLIMIT_FSIZE].Cur)
}

func sortedKeys[V any](m map[int]V) []int { return slices.Sorted(maps.Keys(m)) }

// defaultLimits are Docker's, changed by what the container's configuration
// says.
func defaultLimits(set map[int]linux.Rlimit) [linux.RLIM_NLIMITS]linux.Rlimit {
	const inf = linux.RLIM_INFINITY
	l := [linux.RLIM_NLIMITS]linux.Rlimit{
		linux.RLIMIT_STACK:      {Cur: 8 << 20, Max: inf},
		linux.RLIMIT_CORE:       {Cur: 0, Max: inf},
		linux.RLIMIT_NPROC:      {Cur: inf, Max: inf},
		linux.RLIMIT_NOFILE:     {Cur: 1 << 20, Max: 1 << 20},
		linux.RLIMIT_MEMLOCK:    {Cur: 8 << 20, Max: 8 << 20},
		linux.RLIMIT_SIGPENDING: {Cur: maxQueued, Max: maxQueued},
		linux.RLIMIT_MSGQUEUE:   {Cur: 819200, Max: 819200},
	}
	for _, r := range []int{linux.RLIMIT_CPU, linux.RLIMIT_FSIZE, linux.RLIMIT_DATA, linux.RLIMIT_RSS,
		linux.RLIMIT_AS, linux.RLIMIT_LOCKS, linux.RLIMIT_RTTIME} {
		l[r] = linux.Rlimit{Cur: inf, Max: inf}
	}
	for r, v := range set {
		if r >= 0 && r < len(l) {
			l[r] = v
		}
	}
	return l
}

// IOPriority returns the value of ioprio_get(2).
func (tg *ThreadGroup) IOPriority() int {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.ioprio
}

// SetIOPriority keeps the value of ioprio_set(2).
func (tg *ThreadGroup) SetIOPriority(v int) {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	tg.ioprio = v
}

// RegisterBarriers notes a registration of membarrier(2).
func (tg *ThreadGroup) RegisterBarriers(cmd uint32) { tg.barriers.Or(cmd) }

// Barriers returns what was registered.
func (tg *ThreadGroup) Barriers() uint32 { return tg.barriers.Load() }

// THPDisabled returns what PR_SET_THP_DISABLE has set.
func (tg *ThreadGroup) THPDisabled() bool {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	return tg.noTHP
}

// SetTHPDisabled keeps the flag of PR_SET_THP_DISABLE: there are no huge pages.
func (tg *ThreadGroup) SetTHPDisabled(v bool) {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	tg.noTHP = v
}
