package syscalls

import (
	"encoding/binary"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// copyBuffer is how much is moved at once between two files, bytes.
const copyBuffer = 64 << 10

// offset is a position in a file that a call may get by pointer.
type offset struct {
	addr uint64 // 0: the file's own offset
	pos  int64
}

func loadOffset(t *kernel.Task, addr uint64) (offset, error) {
	if addr == 0 {
		return offset{}, nil
	}
	var b [8]byte
	if err := t.CopyIn(addr, b[:]); err != nil {
		return offset{}, err
	}
	o := offset{addr, int64(binary.LittleEndian.Uint64(b[:]))}
	if o.pos < 0 {
		return o, linux.EINVAL
	}
	return o, nil
}

func (o offset) store(t *kernel.Task) error {
	if o.addr == 0 {
		return nil
	}
	return t.CopyOut(o.addr, binary.LittleEndian.AppendUint64(nil, uint64(o.pos)))
}

// move copies up to n bytes from in to out. What was read and cannot be written
// goes back where the input has offsets.
func move(t *kernel.Task, in, out *vfs.FileDescription, inOff, outOff *offset, n uint64) (uint64, error) {
	buf := make([]byte, min(n, copyBuffer))
	limit := t.Caller().FileSizeLimit
	done := uint64(0)
	for done < n {
		p := buf[:min(uint64(len(buf)), n-done)]
		var r int
		var err error
		switch {
		case inOff.addr != 0:
			r, err = in.PRead(p, inOff.pos)
		case done == 0:
			r, err = readInto(t, in, p)
		default:
			r, err = in.Read(p)
		}
		if err != nil || r == 0 {
			if done > 0 {
				err = nil
			}
			return done, err
		}
		var w int
		if outOff.addr != 0 {
			w, err = out.PWrite(p[:r], outOff.pos, limit)
		} else {
			w, err = writeAll(t, out, p[:r])
		}
		done += uint64(w)
		inOff.pos += int64(w)
		outOff.pos += int64(w)
		if w < r && inOff.addr == 0 {
			_, _ = in.Seek(int64(w-r), linux.SEEK_CUR) // a pipe cannot take it back
		}
		if err != nil || w < r {
			if done > 0 {
				err = nil
			}
			return done, err
		}
	}
	return done, nil
}

// twoFiles returns the descriptions of a copying call.
func twoFiles(t *kernel.Task, inFD, outFD int32) (in, out *vfs.FileDescription, err error) {
	if in, err = t.Files().Get(inFD); err != nil {
		return nil, nil, err
	}
	if out, err = t.Files().Get(outFD); err != nil {
		in.DecRef()
		return nil, nil, err
	}
	if !in.Readable() || !out.Writable() {
		in.DecRef()
		out.DecRef()
		return nil, nil, linux.EBADF
	}
	return in, out, nil
}

// sendfile implements sendfile(2).
func sendfile(t *kernel.Task, a kernel.Args) (uint64, error) {
	in, out, err := twoFiles(t, a.Int(1), a.Int(0))
	if err != nil {
		return 0, err
	}
	defer in.DecRef()
	defer out.DecRef()
	if _, ok := in.File().(vfs.Seekable); !ok || out.Flags()&linux.O_APPEND != 0 {
		return 0, linux.EINVAL
	}
	inOff, err := loadOffset(t, a.Addr(2))
	if err != nil {
		return 0, err
	}
	n, err := move(t, in, out, &inOff, &offset{}, min(a[3], linux.MAX_RW_COUNT))
	if err != nil {
		return 0, err
	}
	return n, inOff.store(t)
}

// copyFileRange implements copy_file_range(2).
func copyFileRange(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(5) != 0 {
		return 0, linux.EINVAL
	}
	in, out, err := twoFiles(t, a.Int(0), a.Int(2))
	if err != nil {
		return 0, err
	}
	defer in.DecRef()
	defer out.DecRef()
	for _, d := range []*vfs.FileDescription{in, out} {
		st, err := d.Stat()
		if err != nil {
			return 0, err
		}
		switch st.Mode & linux.S_IFMT {
		case linux.S_IFREG:
		case linux.S_IFDIR:
			return 0, linux.EISDIR
		default:
			return 0, linux.EINVAL
		}
	}
	if out.Flags()&linux.O_APPEND != 0 {
		return 0, linux.EBADF
	}
	inOff, err := loadOffset(t, a.Addr(1))
	if err != nil {
		return 0, err
	}
	outOff, err := loadOffset(t, a.Addr(3))
	if err != nil {
		return 0, err
	}
	n, err := move(t, in, out, &inOff, &outOff, min(a[4], linux.MAX_RW_COUNT))
	if err != nil {
		return 0, err
	}
	if err := inOff.store(t); err != nil {
		return 0, err
	}
	return n, outOff.store(t)
}

// isPipe says whether a description is an end of a pipe.
func isPipe(d *vfs.FileDescription) bool {
	st, err := d.Stat()
	return err == nil && st.Mode&linux.S_IFMT == linux.S_IFIFO
}

// splice implements splice(2) by copying.
func splice(t *kernel.Task, a kernel.Args) (uint64, error) {
	in, out, err := twoFiles(t, a.Int(0), a.Int(2))
	if err != nil {
		return 0, err
	}
	defer in.DecRef()
	defer out.DecRef()
	switch {
	case isPipe(in) && a.Addr(1) != 0, isPipe(out) && a.Addr(3) != 0:
		return 0, linux.ESPIPE
	case !isPipe(in) && !isPipe(out):
		return 0, linux.EINVAL
	}
	inOff, err := loadOffset(t, a.Addr(1))
	if err != nil {
		return 0, err
	}
	outOff, err := loadOffset(t, a.Addr(3))
	if err != nil {
		return 0, err
	}
	// One piece only, so that what a pipe has given never has to go back.
	n, err := move(t, in, out, &inOff, &outOff, min(a[4], copyBuffer))
	if err != nil {
		return 0, err
	}
	if err := inOff.store(t); err != nil {
		return 0, err
	}
	return n, outOff.store(t)
}
