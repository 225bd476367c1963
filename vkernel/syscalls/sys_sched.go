package syscalls

import (
	"runtime"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
)

// taskArg returns the thread that argument i names, the caller for 0.
func taskArg(t *kernel.Task, a kernel.Args, i int) (*kernel.Task, error) {
	tid := int(a.Int(i))
	switch {
	case tid == 0:
		return t, nil
	case tid < 0:
		return nil, linux.EINVAL
	}
	if other := t.Container().Task(tid); other != nil {
		return other, nil
	}
	return nil, linux.ESRCH
}

// hostCPUs is the mask of all CPUs that guests see, in whole words as the kernel
// writes it.
func hostCPUs() []byte {
	cpus := runtime.NumCPU()
	mask := make([]byte, (cpus+63)/64*8)
	for i := range cpus {
		mask[i/8] |= 1 << (i % 8)
	}
	return mask
}

// schedGetaffinity implements sched_getaffinity(2).
func schedGetaffinity(t *kernel.Task, a kernel.Args) (uint64, error) {
	target, err := taskArg(t, a, 0)
	if err != nil {
		return 0, err
	}
	mask := target.Affinity()
	if mask == nil {
		mask = hostCPUs()
	}
	if uint64(a.Uint(1)) < uint64(len(mask)) || a.Uint(1)&7 != 0 {
		return 0, linux.EINVAL
	}
	return uint64(len(mask)), t.CopyOut(a.Addr(2), mask)
}

// schedSetaffinity keeps the mask; the host schedules as it likes.
func schedSetaffinity(t *kernel.Task, a kernel.Args) (uint64, error) {
	target, err := taskArg(t, a, 0)
	if err != nil {
		return 0, err
	}
	if err := maySchedule(t, target); err != nil {
		return 0, err
	}
	mask := hostCPUs()
	want := make([]byte, len(mask))
	if err := t.CopyIn(a.Addr(2), want[:min(int(min(a.Uint(1), 1024)), len(want))]); err != nil {
		return 0, err
	}
	any := byte(0)
	for i := range mask {
		mask[i] &= want[i]
		any |= mask[i]
	}
	if any == 0 {
		return 0, linux.EINVAL
	}
	target.SetAffinity(mask)
	return 0, nil
}

// schedGetparam implements sched_getparam(2): priority 0.
func schedGetparam(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Addr(1) == 0 {
		return 0, linux.EINVAL
	}
	if _, err := taskArg(t, a, 0); err != nil {
		return 0, err
	}
	return 0, t.CopyOut(a.Addr(1), make([]byte, 4))
}

// schedSetparam accepts priority 0.
func schedSetparam(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Addr(1) == 0 {
		return 0, linux.EINVAL
	}
	if _, err := taskArg(t, a, 0); err != nil {
		return 0, err
	}
	var b [4]byte
	if err := t.CopyIn(a.Addr(1), b[:]); err != nil {
		return 0, err
	}
	if le.Uint32(b[:]) != 0 {
		return 0, linux.EINVAL
	}
	return 0, nil
}

// schedGetscheduler implements sched_getscheduler(2): SCHED_OTHER.
func schedGetscheduler(t *kernel.Task, a kernel.Args) (uint64, error) {
	if _, err := taskArg(t, a, 0); err != nil {
		return 0, err
	}
	return linux.SCHED_OTHER, nil
}

// schedSetscheduler accepts the policies without priority.
func schedSetscheduler(t *kernel.Task, a kernel.Args) (uint64, error) {
	switch a.Int(1) {
	case linux.SCHED_OTHER, linux.SCHED_BATCH, linux.SCHED_IDLE:
		return schedSetparam(t, kernel.Args{a[0], a[2]})
	case linux.SCHED_FIFO, linux.SCHED_RR:
		return 0, linux.EPERM
	}
	return 0, linux.EINVAL
}

// schedPriority returns a handler that answers prio for the real-time policies.
func schedPriority(prio uint64) Handler {
	return func(_ *kernel.Task, a kernel.Args) (uint64, error) {
		switch a.Int(0) {
		case linux.SCHED_FIFO, linux.SCHED_RR:
			return prio, nil
		case linux.SCHED_OTHER, linux.SCHED_BATCH, linux.SCHED_IDLE, linux.SCHED_DEADLINE:
			return 0, nil
		}
		return 0, linux.EINVAL
	}
}

// maySchedule says whether t may change how another thread is scheduled.
func maySchedule(t, other *kernel.Task) error {
	c, o := t.Creds(), other.Creds()
	if t != other && c.EUID != o.UID && c.EUID != o.EUID && !c.HasCap(linux.CAP_SYS_NICE) {
		return linux.EPERM
	}
	return nil
}

// Kinds of targets of getpriority(2); those of ioprio_get(2) are one higher.
const (
	ofProcess = iota
	ofGroup
	ofUser
)

// targets returns the processes that a priority is of: a process, a group, or
// all of a user. ESRCH if there is none.
func targets(t *kernel.Task, which uint32, id int) ([]*kernel.ThreadGroup, error) {
	var list []*kernel.ThreadGroup
	switch which {
	case ofProcess:
		if id == 0 {
			return []*kernel.ThreadGroup{t.ThreadGroup()}, nil
		}
		if other := t.Container().Task(id); other != nil {
			list = append(list, other.ThreadGroup())
		}
	case ofGroup, ofUser:
		if id == 0 && which == ofGroup {
			id = t.ThreadGroup().ProcessGroup()
		}
		uid := uint32(id)
		if id == 0 {
			uid = t.Creds().UID
		}
		for _, tg := range t.Container().ThreadGroups() {
			leader := tg.Leader()
			if leader != nil && (which == ofGroup && tg.ProcessGroup() == id || which == ofUser && leader.Creds().UID == uid) {
				list = append(list, tg)
			}
		}
	default:
		return nil, linux.EINVAL
	}
	if len(list) == 0 {
		return nil, linux.ESRCH
	}
	return list, nil
}

// getpriority implements getpriority(2); the kernel's result is 20 minus the
// lowest nice value.
func getpriority(t *kernel.Task, a kernel.Args) (uint64, error) {
	list, err := targets(t, a.Uint(0), int(a.Int(1)))
	if err != nil {
		return 0, err
	}
	nice := 19
	for _, tg := range list {
		nice = min(nice, tg.Nice())
	}
	return uint64(20 - nice), nil
}

// setpriority implements setpriority(2); the value has no effect.
func setpriority(t *kernel.Task, a kernel.Args) (uint64, error) {
	list, err := targets(t, a.Uint(0), int(a.Int(1)))
	if err != nil {
		return 0, err
	}
	nice := min(max(int(a.Int(2)), -20), 19)
	for _, tg := range list {
		leader := tg.Leader()
		if leader == nil {
			continue
		}
		c, o := t.Creds(), leader.Creds()
		switch {
		case tg != t.ThreadGroup() && c.EUID != o.UID && c.EUID != o.EUID && !c.HasCap(linux.CAP_SYS_NICE):
			err = linux.EPERM
		case nice < tg.Nice() && !c.HasCap(linux.CAP_SYS_NICE) && uint64(20-nice) > tg.Limit(linux.RLIMIT_NICE).Cur:
			err = linux.EACCES
		default:
			tg.SetNice(nice)
		}
	}
	return 0, err
}

// ioprioGet implements ioprio_get(2).
func ioprioGet(t *kernel.Task, a kernel.Args) (uint64, error) {
	list, err := targets(t, a.Uint(0)-1, int(a.Int(1)))
	if err != nil {
		return 0, err
	}
	return uint64(list[0].IOPriority()), nil
}

// ioprioSet implements ioprio_set(2); the value has no effect.
func ioprioSet(t *kernel.Task, a kernel.Args) (uint64, error) {
	const none, realTime, bestEffort, idle, levelMask, classShift = 0, 1, 2, 3, 7, 13
	prio := a.Uint(2)
	class, level := prio>>classShift, prio&levelMask // hints lie between them
	switch class {
	case realTime:
		if !t.Creds().HasCap(linux.CAP_SYS_NICE) && !t.Creds().HasCap(linux.CAP_SYS_ADMIN) {
			return 0, linux.EPERM
		}
	case bestEffort, idle:
	case none:
		if level != 0 {
			return 0, linux.EINVAL
		}
	default:
		return 0, linux.EINVAL
	}
	list, err := targets(t, a.Uint(0)-1, int(a.Int(1)))
	if err != nil {
		return 0, err
	}
	for _, tg := range list {
		tg.SetIOPriority(int(prio))
	}
	return 0, nil
}

// schedAttrSize is the size of struct sched_attr with the clamps.
const schedAttrSize = 56

// schedGetattr implements sched_getattr(2): SCHED_OTHER and the nice value.
func schedGetattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	const least, mostSize = 48, 4096
	if a.Addr(1) == 0 || a.Int(0) < 0 || a.Uint(2) < least || a.Uint(2) > mostSize || a.Uint(3) != 0 {
		return 0, linux.EINVAL
	}
	target, err := taskArg(t, a, 0)
	if err != nil {
		return 0, err
	}
	b := make([]byte, min(schedAttrSize, a.Uint(2)))
	le.PutUint32(b, uint32(len(b)))
	le.PutUint32(b[16:], uint32(int32(target.ThreadGroup().Nice())))
	return 0, t.CopyOut(a.Addr(1), b)
}

// schedSetattr implements sched_setattr(2) for what sched_setscheduler(2) takes.
func schedSetattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	const least = 48
	if a.Addr(1) == 0 || a.Int(0) < 0 || a.Uint(2) != 0 {
		return 0, linux.EINVAL
	}
	var size [4]byte
	if err := t.CopyIn(a.Addr(1), size[:]); err != nil {
		return 0, err
	}
	n := uint64(le.Uint32(size[:]))
	if n == 0 {
		n = least
	}
	b, err := copyInStruct(t, a.Addr(1), n, least, schedAttrSize)
	if err == linux.EINVAL {
		err = linux.E2BIG
	}
	if err != nil {
		return 0, err
	}
	target, err := taskArg(t, a, 0)
	if err != nil {
		return 0, err
	}
	if err := maySchedule(t, target); err != nil {
		return 0, err
	}
	switch policy := int32(le.Uint32(b[4:])); policy {
	case linux.SCHED_OTHER, linux.SCHED_BATCH, linux.SCHED_IDLE:
		if le.Uint32(b[20:]) != 0 {
			return 0, linux.EINVAL
		}
	case linux.SCHED_FIFO, linux.SCHED_RR, linux.SCHED_DEADLINE:
		return 0, linux.EPERM
	default:
		return 0, linux.EINVAL
	}
	nice := min(max(int(int32(le.Uint32(b[16:]))), -20), 19)
	if nice < target.ThreadGroup().Nice() && !t.Creds().HasCap(linux.CAP_SYS_NICE) {
		return 0, linux.EPERM
	}
	target.ThreadGroup().SetNice(nice)
	return 0, nil
}

// schedRRGetInterval implements sched_rr_get_interval(2): SCHED_OTHER's slice.
func schedRRGetInterval(t *kernel.Task, a kernel.Args) (uint64, error) {
	const slice = 4_000_000
	if _, err := taskArg(t, a, 0); err != nil {
		return 0, err
	}
	return 0, copyOutTimespec(t, a.Addr(1), linux.TimespecOf(slice))
}

// getcpu implements getcpu(2): the first CPU that the thread may run on, of
// node 0.
func getcpu(t *kernel.Task, a kernel.Args) (uint64, error) {
	cpu := uint32(0)
	if mask := t.Affinity(); mask != nil {
		for cpu < uint32(8*len(mask)) && mask[cpu/8]>>(cpu%8)&1 == 0 {
			cpu++
		}
	}
	for i, v := range []uint32{cpu, 0} {
		if a.Addr(i) != 0 {
			if err := t.CopyOut(a.Addr(i), le.AppendUint32(nil, v)); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// membarrier implements membarrier(2) by the host's, which reaches all threads of
// this process.
func membarrier(t *kernel.Task, a kernel.Args) (uint64, error) {
	const (
		query, global                   = 0, 1
		globalExpedited, registerGlobal = 2, 4
		private, registerPrivate        = 8, 16
		syncCore, registerSyncCore      = 32, 64
		getRegistrations                = 512
	)
	if a.Uint(1) != 0 {
		return 0, linux.EINVAL
	}
	tg := t.ThreadGroup()
	switch cmd := a.Uint(0); cmd {
	case query:
		return global | globalExpedited | registerGlobal | private | registerPrivate | syncCore | registerSyncCore | getRegistrations, nil
	case global, globalExpedited:
		return 0, barrier()
	case registerGlobal, registerPrivate, registerSyncCore:
		tg.RegisterBarriers(cmd)
		return 0, nil
	case private, syncCore:
		if tg.Barriers()&(cmd<<1) == 0 {
			return 0, linux.EPERM
		}
		return 0, barrier()
	case getRegistrations:
		return uint64(tg.Barriers()), nil
	}
	return 0, linux.EINVAL
}
