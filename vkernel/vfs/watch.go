package vfs

import (
	"slices"
	"sync"
	"sync/atomic"

	"megabinary.dev/vkernel/linux"
)

// WatchKey names an inode that is watched, while it exists.
type WatchKey struct {
	fs  Filesystem
	ino uint64
}

// InodeEvent is what happened to an inode (inotify(7)).
type InodeEvent struct {
	Mask     uint32 // IN_...
	Cookie   uint32 // joins the two halves of a move
	Name     string // entry of a watched directory; empty for the inode itself
	Unlinked bool   // the entry is gone: IN_EXCL_UNLINK does not want it
}

// InodeWatcher hears of events. It is called without a lock of this package,
// in the goroutine of whoever caused the event, and must not block.
type InodeWatcher interface {
	InodeEvent(key WatchKey, e InodeEvent)
}

// Watches are the watched inodes of a mount namespace. While there are none, an
// event costs one atomic load.
type Watches struct {
	count  atomic.Int64 // keys in at
	cookie atomic.Uint32

	mu sync.RWMutex                // a leaf
	at map[WatchKey][]InodeWatcher // the slices are never changed in place
}

// Watches returns the namespace's watched inodes.
func (ns *MountNamespace) Watches() *Watches { return &ns.watches }

// KeyOf returns the key of an inode.
func KeyOf(i Inode) (WatchKey, error) {
	st, err := i.Stat()
	return WatchKey{i.Filesystem(), st.Ino}, err
}

// Add makes w hear of an inode.
func (ws *Watches) Add(key WatchKey, w InodeWatcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.at == nil {
		ws.at = map[WatchKey][]InodeWatcher{}
	}
	ws.at[key] = append(slices.Clone(ws.at[key]), w)
	ws.count.Store(int64(len(ws.at)))
}

// Remove makes w hear of an inode no more.
func (ws *Watches) Remove(key WatchKey, w InodeWatcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(ws.at[key]), func(o InodeWatcher) bool { return o == w })
	if len(left) == 0 {
		delete(ws.at, key)
	} else {
		ws.at[key] = left
	}
	ws.count.Store(int64(len(ws.at)))
}

func (ws *Watches) watchers(key WatchKey) []InodeWatcher {
	ws.mu.RLock()
	defer ws.mu.RUnlock()
	return ws.at[key]
}

// tell passes e to those who watch i. What cannot be named is not watched.
func (ws *Watches) tell(i Inode, e InodeEvent) {
	key, err := KeyOf(i)
	if err != nil {
		return
	}
	for _, w := range ws.watchers(key) {
		w.InodeEvent(key, e)
	}
}

// watches returns where events of m's inodes go; nil if nobody listens.
func (m *Mount) watches() *Watches {
	if m == nil || m.ns.watches.count.Load() == 0 {
		return nil
	}
	return &m.ns.watches
}

// notify tells those who watch l's inode, or the directory that holds it, of an
// event that both hear of.
func (l Location) notify(mask uint32) {
	ws := l.Mount.watches()
	if ws == nil {
		return
	}
	parent, name := l.Parent, l.Name
	e := InodeEvent{Mask: mask}
	if dir, ok := l.Inode.(Dir); ok {
		e.Mask |= linux.IN_ISDIR
		if parent, name = dir.Parent(); name == "" {
			parent = nil // the root of a mount
		}
	}
	if parent != nil {
		st, err := l.Inode.Stat()
		named := e
		named.Name, named.Unlinked = name, err != nil || st.Nlink == 0
		ws.tell(parent, named)
	}
	ws.tell(l.Inode, e)
}

// notifyName tells those who watch a directory of m of one of its entries.
func (m *Mount) notifyName(dir Dir, mask uint32, name string, isDir bool) {
	if ws := m.watches(); ws != nil {
		if isDir {
			mask |= linux.IN_ISDIR
		}
		ws.tell(dir, InodeEvent{Mask: mask, Name: name})
	}
}

// notifySelf tells those who watch an inode of m of it.
func (m *Mount) notifySelf(i Inode, mask uint32) {
	if ws := m.watches(); ws != nil {
		ws.tell(i, InodeEvent{Mask: mask})
	}
}

// watchedVictim is an inode that is about to lose a name.
type watchedVictim struct {
	mount *Mount
	inode Inode
	key   WatchKey
	dir   bool
}

// victim remembers i for lost; its zero value does nothing.
func (m *Mount) victim(i Inode) watchedVictim {
	if m.watches() == nil || i == nil {
		return watchedVictim{}
	}
	key, err := KeyOf(i)
	if err != nil {
		return watchedVictim{}
	}
	_, dir := i.(Dir)
	return watchedVictim{m, i, key, dir}
}

// lost tells those who watch the inode that it lost a name, and that it is gone
// if that was the last one and no file is open on it.
func (v watchedVictim) lost() {
	ws := v.mount.watches()
	if ws == nil {
		return
	}
	if !v.dir {
		for _, w := range ws.watchers(v.key) {
			w.InodeEvent(v.key, InodeEvent{Mask: linux.IN_ATTRIB})
		}
	}
	v.gone()
}

// gone tells those who watch the inode that it is gone, if it is.
func (v watchedVictim) gone() {
	ws := v.mount.watches()
	if ws == nil {
		return
	}
	if st, err := v.inode.Stat(); err == nil && (st.Nlink > 0 || inUse(v.inode)) {
		return
	}
	for _, w := range ws.watchers(v.key) {
		w.InodeEvent(v.key, InodeEvent{Mask: linux.IN_DELETE_SELF})
	}
}

// inUse says whether files are open on i. Where a file system does not know, an
// inode without names counts as gone.
func inUse(i Inode) bool {
	u, ok := i.(interface{ InUse() bool })
	return ok && u.InUse()
}

// moved tells of a rename; victim is what stood at the new name.
func (m *Mount) moved(what Inode, oldDir Dir, oldName string, newDir Dir, newName string, victim watchedVictim) {
	ws := m.watches()
	if ws == nil {
		return
	}
	var isDir uint32
	if _, ok := what.(Dir); ok {
		isDir = linux.IN_ISDIR
	}
	cookie := ws.cookie.Add(1)
	ws.tell(oldDir, InodeEvent{Mask: linux.IN_MOVED_FROM | isDir, Cookie: cookie, Name: oldName})
	ws.tell(newDir, InodeEvent{Mask: linux.IN_MOVED_TO | isDir, Cookie: cookie, Name: newName})
	if victim.inode != nil && !victim.dir {
		for _, w := range ws.watchers(victim.key) {
			w.InodeEvent(victim.key, InodeEvent{Mask: linux.IN_ATTRIB})
		}
	}
	ws.tell(what, InodeEvent{Mask: linux.IN_MOVE_SELF})
	victim.gone()
}

// notify is Location.notify for what is open.
func (f *FileDescription) notify(mask uint32) {
	if f.loc.Mount.watches() != nil && !f.IsPath() {
		f.loc.notify(mask)
	}
}

// release gives the file back when the last descriptor is gone; an inode without
// names goes with it.
func (f *FileDescription) release() {
	if f.loc.Mount.watches() == nil || f.IsPath() || f.loc.Inode == nil {
		f.file.Release()
		return
	}
	mask := uint32(linux.IN_CLOSE_NOWRITE)
	if f.Writable() {
		mask = linux.IN_CLOSE_WRITE
	}
	f.loc.notify(mask)
	v := f.loc.Mount.victim(f.loc.Inode)
	f.file.Release()
	v.gone()
}
