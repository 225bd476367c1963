package syscalls

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"megabinary.dev/vkernel/ipc"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
	"megabinary.dev/vkernel/vfs"
)

// msgget implements msgget(2).
func msgget(t *kernel.Task, a kernel.Args) (uint64, error) {
	id, err := t.Container().IPC().Messages.Get(t.Creds(), a.Int(0), a.Uint(1), func(*ipc.Queue) error { return nil }, ipc.NewQueue)
	return uint64(id), err
}

// msgsnd implements msgsnd(2).
func msgsnd(t *kernel.Task, a kernel.Args) (uint64, error) {
	n := a[2]
	if int64(n) < 0 || n > linux.MSGMAX || a.Int(0) < 0 {
		return 0, linux.EINVAL
	}
	b := make([]byte, 8+n)
	if err := t.CopyIn(a.Addr(1), b); err != nil {
		return 0, err
	}
	m := ipc.Message{Type: int64(binary.LittleEndian.Uint64(b)), Text: b[8:]}
	if m.Type < 1 {
		return 0, linux.EINVAL
	}
	q, err := t.Container().IPC().Messages.Find(a.Int(0))
	if err != nil {
		return 0, err
	}
	c := t.Caller()
	for {
		wait, err := q.Send(c, m)
		if err != linux.EAGAIN || a.Uint(3)&linux.IPC_NOWAIT != 0 {
			return 0, err
		}
		if err := neverRestarted(t.Block(wait, time.Time{})); err != nil {
			return 0, err
		}
	}
}

// neverRestarted turns an interruption into EINTR whatever the handler says.
func neverRestarted(err error) error {
	if err == linux.ERESTARTSYS {
		return linux.ERESTARTNOHAND
	}
	return err
}

// msgrcv implements msgrcv(2).
func msgrcv(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(4)
	if int64(a[2]) < 0 || a.Int(0) < 0 || flags&linux.MSG_COPY != 0 && (flags&linux.IPC_NOWAIT == 0 || flags&linux.MSG_EXCEPT != 0) {
		return 0, linux.EINVAL
	}
	q, err := t.Container().IPC().Messages.Find(a.Int(0))
	if err != nil {
		return 0, err
	}
	c := t.Caller()
	for {
		m, wait, err := q.Receive(c, a.Int64(3), a[2], flags)
		switch {
		case err == linux.EAGAIN && flags&linux.IPC_NOWAIT != 0:
			return 0, linux.ENOMSG
		case err == linux.EAGAIN:
			if err := neverRestarted(t.Block(wait, time.Time{})); err != nil {
				return 0, err
			}
			continue
		case err != nil:
			return 0, err
		}
		b := binary.LittleEndian.AppendUint64(nil, uint64(m.Type))
		return uint64(len(m.Text)), t.CopyOut(a.Addr(1), append(b, m.Text...))
	}
}

// ints returns the bytes of a struct of ints.
func ints(list ...int) []byte {
	var b []byte
	for _, v := range list {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// msgctl implements msgctl(2).
func msgctl(t *kernel.Task, a kernel.Args) (uint64, error) {
	table, id, cmd := &t.Container().IPC().Messages, a.Int(0), a.Int(1)
	if id < 0 || cmd < 0 {
		return 0, linux.EINVAL
	}
	switch cmd {
	case linux.IPC_INFO, linux.MSG_INFO:
		highest, used := table.Highest()
		pool, maps, tql := linux.MSGMNI*linux.MSGMNB/1024, linux.MSGMNB, linux.MSGMNB
		if cmd == linux.MSG_INFO {
			pool, maps, tql = used, 0, 0
			table.Each(func(_ int32, q *ipc.Queue) {
				n, bytes := q.Usage()
				maps, tql = maps+n, tql+int(bytes)
			})
		}
		b := ints(pool, maps, linux.MSGMAX, linux.MSGMNB, linux.MSGMNI, 16, tql)
		return uint64(highest), t.CopyOut(a.Addr(2), append(b, 0xff, 0xff, 0, 0))
	case linux.MSG_STAT, linux.MSG_STAT_ANY:
		q, real, err := table.At(id)
		if err != nil {
			return 0, err
		}
		b, err := q.Stat(t.Creds(), cmd == linux.MSG_STAT_ANY)
		if err != nil {
			return 0, err
		}
		return uint64(real), t.CopyOut(a.Addr(2), b)
	}
	var b [linux.SizeofMsqidDS]byte
	if cmd == linux.IPC_SET {
		if err := t.CopyIn(a.Addr(2), b[:]); err != nil {
			return 0, err
		}
	}
	q, err := table.Find(id)
	if err != nil {
		return 0, err
	}
	switch cmd {
	case linux.IPC_STAT:
		b, err := q.Stat(t.Creds(), false)
		if err != nil {
			return 0, err
		}
		return 0, t.CopyOut(a.Addr(2), b)
	case linux.IPC_SET:
		return 0, q.Set(t.Creds(), b[:])
	case linux.IPC_RMID:
		if err := q.Destroy(t.Creds()); err != nil {
			return 0, err
		}
		table.Remove(id)
		return 0, nil
	}
	return 0, linux.EINVAL
}

// semget implements semget(2).
func semget(t *kernel.Task, a kernel.Args) (uint64, error) {
	n := int(a.Int(1))
	if n < 0 || n > linux.SEMMSL {
		return 0, linux.EINVAL
	}
	id, err := t.Container().IPC().Semaphores.Get(t.Creds(), a.Int(0), a.Uint(2), func(s *ipc.Set) error {
		if n > s.Len() {
			return linux.EINVAL
		}
		return nil
	}, func(p ipc.Perm) (*ipc.Set, error) { return ipc.NewSet(p, n) })
	return uint64(id), err
}

// semop implements semop(2).
func semop(t *kernel.Task, a kernel.Args) (uint64, error) {
	return doSemop(t, a, time.Time{})
}

// semtimedop implements semtimedop(2).
func semtimedop(t *kernel.Task, a kernel.Args) (uint64, error) {
	o, err := timespecTimeout(t, a.Addr(3))
	if err != nil {
		return 0, err
	}
	if o.poll {
		o.deadline = time.Now()
	}
	return doSemop(t, a, o.deadline)
}

func doSemop(t *kernel.Task, a kernel.Args, deadline time.Time) (uint64, error) {
	n := a.Uint(2)
	if n == 0 || a.Int(0) < 0 {
		return 0, linux.EINVAL
	}
	if n > linux.SEMOPM {
		return 0, linux.E2BIG
	}
	b := make([]byte, n*linux.SizeofSembuf)
	if err := t.CopyIn(a.Addr(1), b); err != nil {
		return 0, err
	}
	ops := make([]ipc.Op, n)
	for i := range ops {
		p := b[i*linux.SizeofSembuf:]
		ops[i] = ipc.Op{Num: binary.LittleEndian.Uint16(p), Value: int16(binary.LittleEndian.Uint16(p[2:])), Flags: binary.LittleEndian.Uint16(p[4:])}
	}
	s, err := t.Container().IPC().Semaphores.Find(a.Int(0))
	if err != nil {
		return 0, err
	}
	c := t.Caller()
	for {
		nowait, wait, stop, err := s.Apply(c, ops)
		if err != linux.EAGAIN {
			return 0, err
		}
		if !nowait {
			err = t.Block(wait, deadline)
		}
		stop()
		switch {
		case nowait || err == linux.ETIMEDOUT:
			return 0, linux.EAGAIN
		case err != nil:
			return 0, neverRestarted(err)
		}
	}
}

// semctl implements semctl(2).
func semctl(t *kernel.Task, a kernel.Args) (uint64, error) {
	table, id, cmd := &t.Container().IPC().Semaphores, a.Int(0), int(a.Int(2))
	if id < 0 {
		return 0, linux.EINVAL
	}
	switch cmd {
	case linux.IPC_INFO, linux.SEM_INFO:
		highest, used := table.Highest()
		usz, aem := 20, linux.SEMVMX
		if cmd == linux.SEM_INFO {
			usz, aem = used, 0
			table.Each(func(_ int32, s *ipc.Set) { aem += s.Len() })
		}
		return uint64(highest), t.CopyOut(a.Addr(3), ints(linux.SEMMNI*linux.SEMMSL, linux.SEMMNI, linux.SEMMNI*linux.SEMMSL,
			linux.SEMMNI*linux.SEMMSL, linux.SEMMSL, linux.SEMOPM, linux.SEMOPM, usz, linux.SEMVMX, aem))
	case linux.SEM_STAT, linux.SEM_STAT_ANY:
		s, real, err := table.At(id)
		if err != nil {
			return 0, err
		}
		b, err := s.Stat(t.Creds(), cmd == linux.SEM_STAT_ANY)
		if err != nil {
			return 0, err
		}
		return uint64(real), t.CopyOut(a.Addr(3), b)
	}
	s, err := table.Find(id)
	if err != nil {
		return 0, err
	}
	switch cmd {
	case linux.GETVAL, linux.GETPID, linux.GETNCNT, linux.GETZCNT, linux.SETVAL:
		n, err := s.Control(t.Caller(), a.Int(1), cmd, a.Int(3))
		return uint64(n), err
	case linux.GETALL:
		list, err := s.Values(t.Creds())
		if err != nil {
			return 0, err
		}
		var b []byte
		for _, v := range list {
			b = binary.LittleEndian.AppendUint16(b, v)
		}
		return 0, t.CopyOut(a.Addr(3), b)
	case linux.SETALL:
		b := make([]byte, 2*s.Len())
		if err := t.CopyIn(a.Addr(3), b); err != nil {
			return 0, err
		}
		list := make([]uint16, s.Len())
		for i := range list {
			list[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		return 0, s.SetValues(t.Caller(), list)
	case linux.IPC_STAT:
		b, err := s.Stat(t.Creds(), false)
		if err != nil {
			return 0, err
		}
		return 0, t.CopyOut(a.Addr(3), b)
	case linux.IPC_SET:
		var b [linux.SizeofSemidDS]byte
		if err := t.CopyIn(a.Addr(3), b[:]); err != nil {
			return 0, err
		}
		return 0, s.Set(t.Creds(), b[:])
	case linux.IPC_RMID:
		if err := s.Destroy(t.Creds()); err != nil {
			return 0, err
		}
		table.Remove(id)
		return 0, nil
	}
	return 0, linux.EINVAL
}

// shmget implements shmget(2). A segment is a file that no path leads to.
func shmget(t *kernel.Task, a kernel.Args) (uint64, error) {
	size := a[1]
	if a.Uint(2)&linux.SHM_HUGETLB != 0 {
		return 0, linux.EPERM
	}
	create := func(p ipc.Perm) (*ipc.Segment, error) {
		if size == 0 || int64(size) < 0 {
			return nil, linux.EINVAL
		}
		if size > t.Container().Memory() {
			return nil, linux.ENOMEM
		}
		m := hiddenFiles(t)
		inode, err := m.FS.Root().CreateAnonymous(vfs.NewInode{Mode: linux.S_IFREG | 0o600})
		if err != nil {
			return nil, err
		}
		length := int64(mm.PageUp(size))
		if err := inode.SetAttr(vfs.SetAttr{Size: &length}); err != nil {
			return nil, err
		}
		held, err := inode.Open(vfs.OpenRequest{Caller: t.Caller(), Flags: linux.O_RDWR, Mount: m})
		if err != nil {
			return nil, err
		}
		return &ipc.Segment{Perm: p, Size: size, Inode: inode, Mount: m, Held: held, Ctime: uint64(time.Now().Unix()), Creator: int32(t.TGID())}, nil
	}
	reapSegments(t)
	id, err := t.Container().IPC().Segments.Get(t.Creds(), a.Int(0), a.Uint(2), func(s *ipc.Segment) error {
		if size > s.Size {
			return linux.EINVAL
		}
		return nil
	}, create)
	return uint64(id), err
}

// segmentID is what a mapping of a segment refers to.
func segmentID(s *ipc.Segment) any {
	st, err := s.Inode.Stat()
	if err != nil {
		return nil
	}
	return fileID{s.Inode.Filesystem(), st.Ino}
}

// attached counts the mappings of a segment in all processes.
func attached(t *kernel.Task, s *ipc.Segment) int {
	return mapped(t, segmentID(s), func(v *mm.VMA) bool { return v.Offset == 0 })
}

// reapSegments forgets removed segments that nobody maps any more.
func reapSegments(t *kernel.Task) {
	table := &t.Container().IPC().Segments
	table.Each(func(id int32, s *ipc.Segment) {
		s.Mu.Lock()
		removed := s.Perm.Mode&linux.SHM_DEST != 0
		s.Mu.Unlock()
		if removed && attached(t, s) == 0 && table.Remove(id) {
			s.Held.Release()
		}
	})
}

// shmat implements shmat(2).
func shmat(t *kernel.Task, a kernel.Args) (uint64, error) {
	addr, flags := a.Addr(1), a.Uint(2)
	s, err := t.Container().IPC().Segments.Find(a.Int(0))
	if err != nil {
		return 0, err
	}
	if addr&mm.PageMask != 0 {
		if flags&linux.SHM_RND == 0 {
			return 0, linux.EINVAL
		}
		addr = mm.PageDown(addr)
	}
	if addr == 0 && flags&linux.SHM_REMAP != 0 {
		return 0, linux.EINVAL
	}
	want, prot := uint32(6), uint32(linux.PROT_READ|linux.PROT_WRITE)
	if flags&linux.SHM_RDONLY != 0 {
		want, prot = 4, linux.PROT_READ
	}
	if flags&linux.SHM_EXEC != 0 {
		return 0, t.RefuseMemory("shmat", "shared memory with SHM_EXEC")
	}
	s.Mu.Lock()
	err = s.Perm.Check(t.Creds(), want)
	key, size := s.Perm.Key, s.Size
	s.Mu.Unlock()
	if err != nil {
		return 0, err
	}
	file, err := s.Inode.Open(vfs.OpenRequest{Caller: t.Caller(), Flags: linux.O_RDWR, Mount: s.Mount})
	if err != nil {
		return 0, err
	}
	o := mm.MapOpts{Addr: addr, Length: size, Prot: prot, Shared: true, Fixed: addr != 0, NoReplace: flags&linux.SHM_REMAP == 0,
		File: (&mappedFile{file: file, inode: s.Inode, name: fmt.Sprintf("/SYSV%08x (deleted)", uint32(key)), id: segmentID(s)}).asMapping()}
	at, err := t.MM().Map(o)
	if err == linux.EEXIST {
		err = linux.EINVAL
	}
	if err != nil {
		file.Release()
		return 0, err
	}
	s.Mu.Lock()
	s.Atime, s.Last = uint64(time.Now().Unix()), int32(t.TGID())
	s.Mu.Unlock()
	return at, nil
}

// shmdt implements shmdt(2).
func shmdt(t *kernel.Task, a kernel.Args) (uint64, error) {
	addr := a.Addr(0)
	for _, v := range t.MM().VMAs() {
		if v.Start != addr || !v.Shared || !strings.HasPrefix(v.Name, "/SYSV") {
			continue
		}
		id := v.FileIdentity()
		if err := t.MM().Unmap(v.Start, v.End-v.Start); err != nil {
			return 0, err
		}
		t.Container().IPC().Segments.Each(func(_ int32, s *ipc.Segment) {
			if segmentID(s) == id {
				s.Mu.Lock()
				s.Dtime, s.Last = uint64(time.Now().Unix()), int32(t.TGID())
				s.Mu.Unlock()
			}
		})
		reapSegments(t)
		return 0, nil
	}
	return 0, linux.EINVAL
}

// shmctl implements shmctl(2).
func shmctl(t *kernel.Task, a kernel.Args) (uint64, error) {
	table, id, cmd := &t.Container().IPC().Segments, a.Int(0), a.Int(1)
	if id < 0 || cmd < 0 {
		return 0, linux.EINVAL
	}
	reapSegments(t)
	switch cmd {
	case linux.IPC_INFO:
		highest, _ := table.Highest()
		var b []byte
		for _, v := range []uint64{t.Container().Memory(), 1, linux.SHMMNI, linux.SHMMNI, t.Container().Memory() >> 12, 0, 0, 0, 0} {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
		return uint64(highest), t.CopyOut(a.Addr(2), b)
	case linux.SHM_INFO:
		highest, used := table.Highest()
		pages := uint64(0)
		table.Each(func(_ int32, s *ipc.Segment) { pages += mm.PageUp(s.Size) >> 12 })
		b := binary.LittleEndian.AppendUint64(nil, uint64(used))
		b = binary.LittleEndian.AppendUint64(b, pages)
		b = binary.LittleEndian.AppendUint64(b, pages)
		return uint64(highest), t.CopyOut(a.Addr(2), append(b, make([]byte, 24)...))
	}
	s, real, err := (*ipc.Segment)(nil), int32(0), error(nil)
	if cmd == linux.SHM_STAT || cmd == linux.SHM_STAT_ANY {
		s, real, err = table.At(id)
	} else {
		s, err = table.Find(id)
	}
	var in [linux.SizeofShmidDS]byte
	if cmd == linux.IPC_SET {
		if err := t.CopyIn(a.Addr(2), in[:]); err != nil {
			return 0, err
		}
	}
	if err != nil {
		return 0, err
	}
	count := attached(t, s)
	s.Mu.Lock()
	defer s.Mu.Unlock()
	switch cmd {
	case linux.IPC_STAT, linux.SHM_STAT, linux.SHM_STAT_ANY:
		if err := s.Perm.Check(t.Creds(), 4); err != nil && cmd != linux.SHM_STAT_ANY {
			return 0, err
		}
		return uint64(real), t.CopyOut(a.Addr(2), s.Marshal(count))
	case linux.IPC_SET, linux.IPC_RMID:
		if err := s.Perm.Owns(t.Creds()); err != nil {
			return 0, err
		}
		if cmd == linux.IPC_SET {
			s.Perm.Set(in[:])
			s.Ctime = uint64(time.Now().Unix())
			return 0, nil
		}
		s.Perm.Mode |= linux.SHM_DEST
		s.Perm.Key = linux.IPC_PRIVATE
		if count == 0 && table.Remove(id) {
			s.Held.Release()
		}
		return 0, nil
	case linux.SHM_LOCK, linux.SHM_UNLOCK:
		if err := s.Perm.Owns(t.Creds()); err != nil && !t.Creds().HasCap(linux.CAP_IPC_LOCK) {
			return 0, err
		}
		s.Perm.Mode = s.Perm.Mode&^linux.SHM_LOCKED | map[bool]uint32{true: linux.SHM_LOCKED}[cmd == linux.SHM_LOCK]
		return 0, nil
	}
	return 0, linux.EINVAL
}
