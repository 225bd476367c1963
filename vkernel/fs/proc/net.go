package proc

import (
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// inoNet is where the numbers of /proc/PID/net begin within a process's.
const inoNet = 1 << 7

// netDir makes /proc/PID/net: the container's, whichever process it is.
func (fs *FS) netDir(parent *dir, tid int, ino, base uint64) vfs.Inode {
	d := &dir{node: fs.owned(tid, ino, linux.S_IFDIR|0o555), parent: parent, name: "net"}
	files := func() table {
		t := table{}
		for name, read := range fs.kernel.NetFiles() {
			t[name] = fs.text(read)
		}
		return t
	}
	d.list = func() []entry { return files().entries(base + inoNet) }
	d.lookup = func(name string) (vfs.Inode, error) {
		if in, ok := files().find(base+inoNet, name); ok {
			return in, nil
		}
		return nil, linux.ENOENT
	}
	return d
}
