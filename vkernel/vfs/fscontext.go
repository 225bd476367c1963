package vfs

import "sync"

// FSContext is what CLONE_FS shares: root, working directory and umask.
type FSContext struct {
	mu    sync.Mutex
	root  Path
	cwd   Path
	umask uint32
}

// NewFSContext makes a context with the umask 022.
func NewFSContext(root, cwd Path) *FSContext {
	return &FSContext{root: root, cwd: cwd, umask: 0o022}
}

// Fork returns a copy.
func (f *FSContext) Fork() *FSContext {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &FSContext{root: f.root, cwd: f.cwd, umask: f.umask}
}

// Get returns all three at once.
func (f *FSContext) Get() (root, cwd Path, umask uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.root, f.cwd, f.umask
}

// Root returns the root directory.
func (f *FSContext) Root() Path {
	root, _, _ := f.Get()
	return root
}

// Cwd returns the working directory.
func (f *FSContext) Cwd() Path {
	_, cwd, _ := f.Get()
	return cwd
}

// SetRoot implements chroot(2).
func (f *FSContext) SetRoot(p Path) {
	f.mu.Lock()
	f.root = p
	f.mu.Unlock()
}

// SetCwd implements chdir(2).
func (f *FSContext) SetCwd(p Path) {
	f.mu.Lock()
	f.cwd = p
	f.mu.Unlock()
}

// SwapUmask implements umask(2): it returns the old mask.
func (f *FSContext) SwapUmask(mask uint32) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.umask
	f.umask = mask & 0o777
	return old
}
