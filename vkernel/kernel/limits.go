package kernel

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
)

// Limits bound what the processes of a container take together.
type Limits struct {
	Memory uint64  // bytes; 0: no limit but the host's
	CPUs   float64 // seconds of CPU in a second; 0: no limit
	Tasks  int     // processes, zombies included, or threads; 0: DefaultTasks
}

// DefaultTasks is how many tasks a container may have if nothing else is said.
const DefaultTasks = 4096

// taskSize estimates what a task takes besides its guest memory, in bytes: stacks
// of Go and wasm, instance, tables.
const taskSize = 64 << 10

// ContainerUsage is what a container uses, now.
type ContainerUsage struct {
	Memory uint64        // bytes of guest memory, shared memory, tasks and tables
	CPU    time.Duration // spent by all tasks so far
	Tasks  int
	OOM    int // processes that were killed because memory ran out
}

// MaxMemory returns the limit of the container's memory in bytes, 0 if there is
// none.
func (c *Container) MaxMemory() uint64 { return c.cfg.Limits.Memory }

// Limits returns what the container is held to.
func (c *Container) Limits() Limits { return c.cfg.Limits }

// TotalMemory is what the guest is told that there is, in bytes: no process can
// have more than its address space.
func (c *Container) TotalMemory() uint64 {
	if m := c.cfg.Limits.Memory; m != 0 {
		return min(m, c.cfg.Memory)
	}
	return c.cfg.Memory
}

// Usage returns what the container uses. It looks at the page tables of all of
// its processes: some microseconds each, and a millisecond a gigabyte.
func (c *Container) Usage() ContainerUsage {
	memory, _ := c.memoryUsage()
	c.mu.Lock()
	defer c.mu.Unlock()
	return ContainerUsage{Memory: memory, CPU: c.cpu(), Tasks: len(c.tasks), OOM: c.oomKills}
}

// cpu returns the CPU time of all tasks. c.mu is held.
func (c *Container) cpu() time.Duration {
	d := c.cpuDone
	for _, t := range c.tasks {
		d += t.CPUTime()
	}
	return d
}

// process is a user of memory.
type process struct {
	tg   *ThreadGroup
	as   *mm.AddressSpace
	size uint64 // bytes
}

// memoryUsage returns the bytes that the container holds, and the processes that
// hold guest memory, each address space once.
func (c *Container) memoryUsage() (uint64, []process) {
	c.mu.Lock()
	list := make([]process, 0, len(c.groups))
	seen := make(map[*mm.AddressSpace]bool, len(c.groups))
	sum := uint64(len(c.tasks)) * taskSize
	for _, tg := range c.groups {
		if tg.leader == nil {
			continue
		}
		if f := tg.leader.Files(); f != nil {
			sum += f.Size()
		}
		if as := tg.leader.mm.Load(); as != nil && !seen[as] {
			seen[as] = true
			list = append(list, process{tg: tg, as: as})
		}
	}
	c.mu.Unlock()
	for i := range list {
		if p := &list[i]; p.as.TryAcquire() {
			p.size = p.as.Touched()
			p.as.Release()
			sum += p.size
		}
	}
	return sum + c.shared.Size() + uint64(max(0, c.KernelMemory.Load())), list
}

// guard holds containers to their limits of memory and CPU: it looks at them now
// and then, because guest code touches memory without asking. So a container may
// go beyond its limit for some milliseconds.
type guard struct {
	k *Kernel

	mu      sync.Mutex
	watched map[*Container]*watch
	wake    chan struct{} // closed with the last container
}

// watch is what the guard knows of a container.
type watch struct {
	ran    uint64        // Container.ran when memory was measured
	memory uint64        // bytes, then
	due    time.Time     // of the next look at memory
	cpu    time.Duration // at the last tick
	budget time.Duration // of CPU that may be used at once
	victim *ThreadGroup  // was killed, and may not have gone yet
	killed time.Time
}

const (
	// guardTick is how often limits of CPU are looked at.
	guardTick = 10 * time.Millisecond
	// guardIdle is how often containers without such a limit are.
	guardIdle = 50 * time.Millisecond
	// fillRate is how fast a processor can touch memory, bytes a second.
	fillRate = 4 << 30
	// lookShare bounds the share of time that looking at memory takes.
	lookShare = 50
	// victimTime is how long a killed process may take to give its memory back
	// before another is killed.
	victimTime = 2 * time.Second
)

func (g *guard) add(c *Container) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watched == nil {
		g.watched = map[*Container]*watch{}
	}
	g.watched[c] = &watch{}
	if g.wake == nil {
		g.wake = make(chan struct{})
		go g.run(g.wake)
	}
}

func (g *guard) remove(c *Container) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.watched, c)
	if len(g.watched) == 0 && g.wake != nil {
		close(g.wake)
		g.wake = nil
	}
}

func (g *guard) run(done <-chan struct{}) {
	last := time.Now()
	timer := time.NewTimer(guardTick)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-timer.C:
		}
		now := time.Now()
		timer.Reset(g.look(now, now.Sub(last)))
		last = now
	}
}

// look looks at all containers, elapsed after the last time, and says when to do
// so again.
func (g *guard) look(now time.Time, elapsed time.Duration) time.Duration {
	g.mu.Lock()
	list := make(map[*Container]*watch, len(g.watched))
	for c, w := range g.watched {
		list[c] = w
	}
	g.mu.Unlock()
	next := guardIdle
	g.throttle(list, elapsed)
	var largest *Container
	total := uint64(0)
	for c, w := range list {
		if c.cfg.Limits.CPUs > 0 {
			next = guardTick
		}
		if ran := c.ran.Load(); now.After(w.due) && (ran != w.ran || c.running.Load() > 0) {
			w.ran = ran
			g.measure(c, w, now)
		}
		if c.running.Load() > 0 {
			next = min(next, max(time.Until(w.due), time.Millisecond))
		}
		if total += w.memory; largest == nil || w.memory > list[largest].memory {
			largest = c
		}
	}
	if limit := g.k.maxMemory; limit > 0 && total > limit {
		c := largest
		size, processes := c.memoryUsage()
		g.kill(c, list[c], processes, now, fmt.Sprintf("all containers hold %d bytes of %d, and this one most: %d", total, limit, size))
	}
	return next
}

// measure looks at a container's memory.
func (g *guard) measure(c *Container, w *watch, now time.Time) {
	size, processes := c.memoryUsage()
	took := time.Since(now)
	w.memory = size
	room := g.k.maxMemory
	if limit := c.cfg.Limits.Memory; limit > 0 {
		if size > limit {
			g.kill(c, w, processes, now, fmt.Sprintf("it holds %d bytes of %d", size, limit))
		}
		room = limit
	}
	room -= min(room, size)
	running := max(1, min(int(c.running.Load()), runtime.NumCPU()))
	soon := time.Duration(float64(room) / float64(running) / fillRate * float64(time.Second))
	w.due = now.Add(max(min(soon, time.Second), 2*time.Millisecond, took*lookShare))
}

// kill ends the process of c that holds most, unless one is ending.
func (g *guard) kill(c *Container, w *watch, processes []process, now time.Time, why string) {
	c.mu.Lock()
	if v := w.victim; v != nil && !v.dead && now.Sub(w.killed) < victimTime {
		c.mu.Unlock()
		return
	}
	var victim *ThreadGroup
	worst := int64(-1)
	for _, p := range processes {
		// Linux: oom_badness. A process at -1000 is never chosen.
		adj := int64(p.tg.oomAdj.Load())
		score := int64(p.size+taskSize) + adj*int64(max(c.cfg.Limits.Memory, 1000)/1000)
		if !p.tg.dead && !p.tg.exiting && adj > linux.OOM_SCORE_ADJ_MIN && score > worst {
			victim, worst = p.tg, score
		}
	}
	var task *Task
	if victim != nil {
		task = victim.leader
		w.victim, w.killed = victim, now
		c.oomKills++
		victim.groupExit(linux.SIGKILL)
	}
	c.mu.Unlock()
	if victim == nil || task == nil {
		return
	}
	g.k.log.Warn("memory is used up: a process is killed", "container", c.cfg.ID, "pid", victim.id, "program", victim.ExePath(), "why", why)
	task.Record(audit.Record{Event: "oom", Verdict: "deny", Rule: "limit.memory", Reason: why})
}

// throttle gives each container with a limit of CPU its share of what has
// elapsed, and stops those that have used more. CPU time is known as the time
// that tasks did not block; where more of them are runnable than there are
// processors, each is taken to have got an equal part.
func (g *guard) throttle(list map[*Container]*watch, elapsed time.Duration) {
	limited := false
	for c := range list {
		limited = limited || c.cfg.Limits.CPUs > 0
	}
	if !limited {
		return
	}
	used := make(map[*Container]time.Duration, len(list))
	all := time.Duration(0)
	for c, w := range list {
		c.mu.Lock()
		cpu := c.cpu()
		c.mu.Unlock()
		used[c], w.cpu = cpu-w.cpu, cpu
		all += used[c]
	}
	share := min(1, float64(elapsed)*float64(runtime.NumCPU())/float64(max(all, 1)))
	for c, w := range list {
		cpus := c.cfg.Limits.CPUs
		if cpus == 0 {
			continue
		}
		// A task that has slept may use the share of 100 ms at once, as with CFS.
		most := time.Duration(cpus * float64(100*time.Millisecond))
		w.budget += time.Duration(cpus*float64(elapsed)) - time.Duration(share*float64(used[c]))
		w.budget = min(w.budget, most)
		c.throttle(w.budget < 0)
	}
}

// throttle stops the container's tasks, or lets them go on.
func (c *Container) throttle(on bool) {
	gate := c.throttled.Load()
	switch {
	case on && gate == nil:
		closed := make(chan struct{})
		c.throttled.Store(&closed)
	case !on && gate != nil:
		c.throttled.Store(nil)
		close(*gate)
	}
}

// overLimit does what limits of CPU want of the task before it goes on.
func (t *Task) overLimit() {
	if t.tg.cpuLimited.Load() {
		t.checkCPULimit()
	}
	for gate := t.c.throttled.Load(); gate != nil && !t.work.Load(); gate = t.c.throttled.Load() {
		t.pauseCPU()
		select {
		case <-*gate:
		case <-t.wake: // perhaps a signal
		}
		t.resumeCPU()
	}
}
