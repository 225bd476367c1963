package kernel

import (
	"sync"
	"sync/atomic"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// asyncSignals are signals about files (SIGIO, SIGURG) that have not been sent
// yet: whoever finds that a file has become ready may hold locks that come
// after Container.mu. The task whose syscall it was sends them when the call
// ends, so that it sees its own; a goroutine does so for the network.
type asyncSignals struct {
	pending atomic.Bool
	sending sync.Mutex // held until what was taken has been sent

	mu   sync.Mutex
	list []asyncSignal
}

type asyncSignal struct {
	d      *vfs.FileDescription
	fd     int32
	events waiter.EventMask
}

// SignalIO sends d's owner the signal of O_ASYNC, soon, if events hold then. fd
// is what the program calls d. It never blocks.
func (c *Container) SignalIO(d *vfs.FileDescription, fd int32, events waiter.EventMask) {
	c.async.mu.Lock()
	c.async.list = append(c.async.list, asyncSignal{d, fd, events})
	first := !c.async.pending.Swap(true)
	c.async.mu.Unlock()
	if first {
		go c.sendAsync()
	}
}

// sendAsync sends what SignalIO has left.
func (c *Container) sendAsync() {
	c.async.sending.Lock()
	defer c.async.sending.Unlock()
	c.async.mu.Lock()
	list := c.async.list
	c.async.list = nil
	c.async.mu.Unlock()
	for _, s := range list {
		c.sendIO(s)
	}
	c.async.mu.Lock()
	again := len(c.async.list) > 0
	c.async.pending.Store(again)
	c.async.mu.Unlock()
	if again {
		go c.sendAsync()
	}
}

// ioBands are the codes of a signal about a file, by the first event that
// holds, and what si_band shows with each.
var ioBands = [...]struct {
	event waiter.EventMask
	code  int32
	band  int64
}{
	{waiter.EventHUp, linux.POLL_HUP, int64(waiter.EventHUp | waiter.EventErr)},
	{waiter.EventErr, linux.POLL_ERR, int64(waiter.EventErr)},
	{waiter.EventIn, linux.POLL_IN, int64(waiter.ReadableEvents)},
	{waiter.EventOut, linux.POLL_OUT, int64(waiter.WritableEvents | waiter.EventWrBand)},
}

// sendIO sends one signal (Linux's send_sigio). Urgent data is SIGURG, with or
// without O_ASYNC.
func (c *Container) sendIO(s asyncSignal) {
	if s.events&waiter.EventPri != 0 {
		c.signalOwner(s.d.Owner(), kernelInfo(linux.SIGURG))
	}
	file, ok := s.d.File().(vfs.Asynchronous)
	if !ok || s.d.Flags()&linux.O_ASYNC == 0 {
		return
	}
	ready := file.Readiness(s.events | waiter.AlwaysEvents)
	for _, b := range ioBands {
		if ready&b.event == 0 {
			continue
		}
		info := kernelInfo(linux.SIGIO)
		if sig := s.d.Sig(); sig != 0 {
			info = linux.Siginfo{Signo: sig, Code: b.code}
			info.SetPoll(b.band, s.fd)
		}
		c.signalOwner(s.d.Owner(), info)
		return
	}
}

// signalOwner sends info to a description's owner, if the one that made it so
// may signal it.
func (c *Container) signalOwner(o vfs.Owner, info linux.Siginfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	may := func(t *Task) bool {
		if t == nil {
			return false
		}
		creds := t.Creds()
		return o.EUID == 0 || o.EUID == creds.SUID || o.EUID == creds.UID || o.UID == creds.SUID || o.UID == creds.UID
	}
	switch id := int(o.ID); {
	case id == 0:
	case o.Kind == linux.F_OWNER_TID:
		if t := c.tasks[id]; may(t) {
			_ = t.send(int(info.Signo), info) // a full queue drops it
		}
	default:
		for _, pid := range sortedKeys(c.groups) {
			tg := c.groups[pid]
			if (o.Kind == linux.F_OWNER_PID && pid == id || o.Kind == linux.F_OWNER_PGRP && tg.pgid == id) && may(tg.leader) {
				_ = tg.send(int(info.Signo), info)
			}
		}
	}
}
