package vfs

import (
	"sync"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

// Owner says who is signalled about a description: F_SETOWN_EX's type and id,
// and the user that asked, whose right to send signals counts. The zero Owner
// is nobody.
type Owner struct {
	Kind      int32 // linux.F_OWNER_TID, ...
	ID        int32
	UID, EUID uint32
}

// Asynchronous is implemented by files that can signal their readiness
// (O_ASYNC): pipes, sockets, terminals, inotify.
type Asynchronous interface {
	waiter.Waitable
	Asynchronous()
}

// asyncState is what fcntl(2) keeps for O_ASYNC.
type asyncState struct {
	mu    sync.Mutex
	owner Owner
	sig   int32
	entry *waiter.Entry // of the file's queue; nil: O_ASYNC is not set
}

// SetOwner keeps F_SETOWN_EX's owner.
func (f *FileDescription) SetOwner(o Owner) {
	f.async.mu.Lock()
	f.async.owner = o
	f.async.mu.Unlock()
}

// Owner returns what SetOwner set.
func (f *FileDescription) Owner() Owner {
	f.async.mu.Lock()
	defer f.async.mu.Unlock()
	return f.async.owner
}

// SetSig keeps F_SETSIG's signal; 0 is SIGIO without further information.
func (f *FileDescription) SetSig(sig int32) {
	f.async.mu.Lock()
	f.async.sig = sig
	f.async.mu.Unlock()
}

// Sig returns what SetSig set.
func (f *FileDescription) Sig() int32 {
	f.async.mu.Lock()
	defer f.async.mu.Unlock()
	return f.async.sig
}

// SetAsync sets O_ASYNC: notify, which must not block, is told of events. A nil
// notify clears the flag. A file that is not Asynchronous ignores it.
func (f *FileDescription) SetAsync(notify func(waiter.EventMask)) {
	file, ok := f.file.(Asynchronous)
	if !ok {
		return
	}
	f.async.mu.Lock()
	defer f.async.mu.Unlock()
	if old := f.async.entry; old != nil {
		file.EventUnregister(old)
		f.async.entry = nil
		f.flags.And(^uint32(linux.O_ASYNC))
	}
	if notify != nil {
		f.async.entry = waiter.NewEntry(waiter.ReadableEvents|waiter.WritableEvents|waiter.EventPri, notify)
		file.EventRegister(f.async.entry)
		f.flags.Or(linux.O_ASYNC)
	}
}
