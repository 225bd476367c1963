// Package kernel holds what makes a guest program a process: tasks, thread
// groups, sessions, signals, timers, futexes, fork, exec, exit and wait.
//
// # Lock order
//
//	Container.mu      the tree of processes, groups and sessions, and every
//	                  signal mask and queue in the container
//	  futexBucket.mu  waiters of a futex; never together with Container.mu
//	mm.AddressSpace.mu, vfs locks: taken while none of the above is held
//
// Container.mu is never held while guest memory is copied, a file is used or a
// task blocks. A task's own fields belong to its goroutine unless a comment
// says otherwise.
package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/exec"
	"megabinary.dev/vkernel/ipc"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
	"megabinary.dev/vkernel/mm"
	"megabinary.dev/vkernel/net"
	"megabinary.dev/vkernel/net/inet"
	"megabinary.dev/vkernel/policy"
	"megabinary.dev/vkernel/vfs"
)

// Dispatcher executes syscalls by number; package syscalls has it.
type Dispatcher interface {
	Call(t *Task, nr uint64, a Args) (uint64, error)
}

// Kernel is what all containers of this process share.
type Kernel struct {
	dispatcher Dispatcher
	log        *slog.Logger
	boot       time.Time
	mappings   machine.Mappings // of guest memory
	maxMemory  uint64           // bytes of all containers; 0: no limit
	guard      guard
}

// New makes a kernel. A nil log discards.
func New(d Dispatcher, log *slog.Logger) *Kernel {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	k := &Kernel{dispatcher: d, log: log, boot: time.Now()}
	k.guard.k = k
	return k
}

// SetMaxMemory bounds the bytes that all containers hold together. It must be
// called before the first one is made.
func (k *Kernel) SetMaxMemory(n uint64) { k.maxMemory = n }

// Log returns the host's log: nothing of it is visible to guests.
func (k *Kernel) Log() *slog.Logger { return k.log }

// BootTime is when CLOCK_BOOTTIME began.
func (k *Kernel) BootTime() time.Time { return k.boot }

// ContainerConfig says what a container is made of.
type ContainerConfig struct {
	ID         string
	Hostname   string
	Engine     machine.Engine
	Units      []artifact.UnitEntry // of the megabinary
	Controller *exec.Controller
	Audit      *audit.Log
	Policy     *policy.Policy      // nil: all is allowed
	Recorder   *policy.Recorder    // nil: nothing is recorded
	Missed     func(artifact.Hint) // called for each miss, by several tasks at a time; may be nil
	Memory     uint64              // bytes of address space of a process; 0: DefaultMemory
	Limits     Limits
	Rlimits    map[int]linux.Rlimit
	Net        *net.Namespace // nil: a loopback interface of its own
}

// DefaultMemory is the address space of a process if nothing else is said, in
// bytes: what it does not touch costs nothing.
const DefaultMemory = 1 << 30

// Container is one set of processes with their own pids, memory limit, exec map
// and file systems.
type Container struct {
	k      *Kernel
	cfg    ContainerConfig
	ctx    context.Context
	cancel context.CancelFunc
	shared *mm.Shared
	// memories recycles the guest memory of processes that have ended.
	memories *machine.Pool
	futex    futexTable
	ipc      *ipc.Namespace
	forks    atomic.Uint64

	uts atomic.Pointer[UTSName]

	// KernelMemory counts bytes of the host that the container's files hold, such
	// as the buffers of pipes.
	KernelMemory atomic.Int64

	running   atomic.Int64                  // tasks that do not block
	ran       atomic.Uint64                 // how often one began to run
	throttled atomic.Pointer[chan struct{}] // closed when tasks may go on; nil: they may

	epollNesting sync.Mutex

	wg   sync.WaitGroup // goroutines of tasks
	done chan struct{}  // closed when init has exited and all goroutines ended

	async asyncSignals

	mu      sync.Mutex
	tasks   map[int]*Task        // by tid
	groups  map[int]*ThreadGroup // by tgid, zombies included
	lastPID int
	init    *ThreadGroup
	closing bool // no new tasks

	cpuDone  time.Duration // of tasks that have ended
	oomKills int
}

// UTSName is what uname(2) reports of the container.
type UTSName struct{ Hostname, Domainname string }

// NewContainer makes a container without processes.
func (k *Kernel) NewContainer(ctx context.Context, cfg ContainerConfig) *Container {
	if cfg.Memory == 0 {
		cfg.Memory = DefaultMemory
	}
	if cfg.Limits.Tasks == 0 {
		cfg.Limits.Tasks = DefaultTasks
	}
	if cfg.Net == nil {
		cfg.Net = net.New(inet.Config{})
	}
	c := &Container{
		k: k, cfg: cfg, shared: mm.NewShared(), memories: machine.NewPool(&k.mappings), ipc: ipc.New(), done: make(chan struct{}),
		tasks: make(map[int]*Task), groups: make(map[int]*ThreadGroup),
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.uts.Store(&UTSName{Hostname: cfg.Hostname, Domainname: "(none)"})
	return c
}

// ID names the container on the host.
func (c *Container) ID() string { return c.cfg.ID }

// Kernel returns the kernel that the container belongs to.
func (c *Container) Kernel() *Kernel { return c.k }

// UTS returns host name and domain name.
func (c *Container) UTS() UTSName { return *c.uts.Load() }

// SetUTS changes host name and domain name.
func (c *Container) SetUTS(u UTSName) { c.uts.Store(&u) }

// CPU is the processor that the container's programs see.
func (c *Container) CPU() guestabi.CPU { return c.cfg.Engine.CPU() }

// Memory returns the size of a process's address space in bytes.
func (c *Container) Memory() uint64 { return c.cfg.Memory }

// Forks counts the tasks that were ever made.
func (c *Container) Forks() uint64 { return c.forks.Load() }

// Audit returns the trail; it may be nil, which discards.
func (c *Container) Audit() *audit.Log { return c.cfg.Audit }

// IPC returns the container's System V objects.
func (c *Container) IPC() *ipc.Namespace { return c.ipc }

// EpollNesting is held while a set of epoll(7) is put into another.
func (c *Container) EpollNesting() *sync.Mutex { return &c.epollNesting }

// Net returns the container's network.
func (c *Container) Net() *net.Namespace { return c.cfg.Net }

// maxPID is where pids wrap around, as on Linux.
const maxPID = 1 << 22

// allocPID returns a free tid, or EAGAIN. c.mu is held.
func (c *Container) allocPID() (int, error) {
	// Zombies count, too: nobody may be made to keep any number of them.
	if c.closing || max(len(c.tasks), len(c.groups)) >= c.cfg.Limits.Tasks || c.ctx.Err() != nil {
		return 0, linux.EAGAIN
	}
	for range maxPID {
		c.lastPID++
		if c.lastPID >= maxPID {
			c.lastPID = 300 // RESERVED_PIDS
		}
		if !c.pidInUse(c.lastPID) {
			return c.lastPID, nil
		}
	}
	return 0, linux.EAGAIN
}

func (c *Container) pidInUse(id int) bool {
	if c.tasks[id] != nil || c.groups[id] != nil {
		return true
	}
	for _, tg := range c.groups {
		if tg.pgid == id || tg.session.id == id {
			return true
		}
	}
	return false
}

// ThreadGroups returns the processes, zombies included, sorted by pid.
func (c *Container) ThreadGroups() []*ThreadGroup {
	c.mu.Lock()
	list := make([]*ThreadGroup, 0, len(c.groups))
	for _, tg := range c.groups {
		list = append(list, tg)
	}
	c.mu.Unlock()
	sort.Slice(list, func(i, j int) bool { return list[i].id < list[j].id })
	return list
}

// ThreadGroup returns the process with a pid, or nil.
func (c *Container) ThreadGroup(pid int) *ThreadGroup {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.groups[pid]
}

// Task returns the thread with a tid, or nil.
func (c *Container) Task(tid int) *Task {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tasks[tid]
}

// InitConfig says how the container's first process starts.
type InitConfig struct {
	Path  string // as execve gets it
	Args  []string
	Env   []string
	Creds *vfs.Creds
	Files *vfs.FDTable
	FS    *vfs.FSContext
	TTY   any // controlling terminal, or nil
}

// Start makes and starts the container's first process, pid 1. Its error is
// what execve would have answered, in a chain that ends in a linux.Errno.
func (c *Container) Start(ic InitConfig) (*ThreadGroup, error) {
	c.mu.Lock()
	if c.init != nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("starting container %s: it was started before", c.cfg.ID)
	}
	pid, err := c.allocPID()
	if err != nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("starting container %s: %w", c.cfg.ID, err)
	}
	tg := newThreadGroup(c, pid)
	tg.session = &Session{id: pid, leader: tg, tty: ic.TTY}
	tg.pgid = pid
	tg.limits = defaultLimits(c.cfg.Rlimits)
	tg.limitsChanged()
	t := newTask(c, tg, pid)
	t.creds.Store(ic.Creds)
	t.files.Store(ic.Files)
	t.fs.Store(ic.FS)
	c.addTask(t)
	c.init = tg
	c.mu.Unlock()

	c.k.guard.add(c)
	prog, err := t.loadProgram(ic.Path, ic.Args, ic.Env)
	if err != nil {
		t.abandon()
		c.closeMemories()
		c.cfg.Net.Close()
		c.cancel()
		c.k.guard.remove(c)
		if err := c.cfg.Audit.Close(); err != nil {
			c.k.log.Error("the audit trail has no end", "container", c.cfg.ID, "err", err)
		}
		close(c.done)
		return nil, fmt.Errorf("starting %s: %w", ic.Path, err)
	}
	t.commit(prog)
	go func() {
		c.wg.Wait()
		c.k.guard.remove(c)
		c.closeMemories()
		c.cfg.Net.Close()
		if err := c.cfg.Audit.Close(); err != nil {
			c.k.log.Error("the audit trail has no end", "container", c.cfg.ID, "err", err)
		}
		close(c.done)
	}()
	t.start(prog.entry)
	return tg, nil
}

func (c *Container) closeMemories() {
	if err := c.memories.Close(); err != nil {
		c.k.log.Warn("closing a container", "err", err)
	}
}

// Wait waits until the first process has exited and every task of the container
// has ended. It returns the first process's wait status.
func (c *Container) Wait() int {
	<-c.done
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.init == nil {
		return 0
	}
	return c.init.exitStatus
}

// Done is closed when Wait would return at once.
func (c *Container) Done() <-chan struct{} { return c.done }

// Kill ends every process of the container, as if by SIGKILL.
func (c *Container) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	for _, tg := range c.groups {
		tg.groupExit(linux.SIGKILL)
	}
}

// Signal sends a signal from the host to the first process.
func (c *Container) Signal(sig int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.init == nil || c.init.dead {
		return linux.ESRCH
	}
	c.init.send(sig, kernelInfo(sig))
	return nil
}

// SignalGroup sends a signal from a terminal to a process group.
func (c *Container) SignalGroup(pgid, sig int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tg := range c.groups {
		if tg.pgid == pgid && !tg.dead {
			tg.send(sig, kernelInfo(sig))
		}
	}
}

// Uptime is the time since boot: the guests' monotonic clock.
func (k *Kernel) Uptime() time.Duration { return k.sinceBoot() }
