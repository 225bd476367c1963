package strace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// fakeMemory is guest memory from address 0x1000 on.
type fakeMemory []byte

var errFault = errors.New("EFAULT")

func (m fakeMemory) CopyIn(addr uint64, dst []byte) error {
	if addr < 0x1000 || addr-0x1000+uint64(len(dst)) > uint64(len(m)) {
		return errFault
	}
	copy(dst, m[addr-0x1000:])
	return nil
}

func (m fakeMemory) CopyInString(addr uint64, max int) (string, error) {
	if addr < 0x1000 || addr-0x1000 >= uint64(len(m)) {
		return "", errFault
	}
	b := m[addr-0x1000:]
	if i := bytes.IndexByte(b, 0); i >= 0 && i <= max {
		return string(b[:i]), nil
	}
	return "", errFault
}

func TestEnd(t *testing.T) {
	mem := make(fakeMemory, 256)
	copy(mem, "/bin/sh\x00")
	copy(mem[16:], "one\n\"two\"\t\x01\x003\xff")
	le := binary.LittleEndian
	le.PutUint64(mem[64:], 0x1000)      // an array of one string
	le.PutUint64(mem[80:], 5)           // a timespec
	le.PutUint64(mem[88:], 7)           //
	le.PutUint32(mem[96:], 9)           // killed by SIGKILL
	le.PutUint64(mem[104:], 1<<1|1<<33) // SIGINT and a real-time signal
	le.PutUint64(mem[112:], 3|uint64(4)<<32)
	flags := FlagSet("0", Flag{1, "A"}, Flag{4, "C"})
	for _, tc := range []struct {
		name  string
		kinds []Kind
		args  [6]uint64
		ret   uint64
		err   error
		want  string
	}{
		{"open", []Kind{DirFD, Path, flags, Octal}, [6]uint64{1<<64 - 100, 0x1000, 5 | 16, 0o644}, 3, nil,
			`[1] open(AT_FDCWD, "/bin/sh", A|C|0x10, 0644) = 3`},
		{"open", []Kind{Path, flags}, [6]uint64{8, 0}, 0, errFault, `[1] open(0x8, 0) = -1 EFAULT`},
		{"write", []Kind{FD, Buf, Size}, [6]uint64{1, 0x1010, 14}, 14, nil, `[1] write(1, "one\n\"two\"\t\1\0003\377", 14) = 14`},
		{"read", []Kind{FD, OutBuf, Size}, [6]uint64{0, 0x1010, 100}, 3, nil, `[1] read(0, "one", 100) = 3`},
		{"read", []Kind{FD, OutBuf, Size}, [6]uint64{0, 0x1010, 100}, 0, errFault, `[1] read(0, 0x1010, 100) = -1 EFAULT`},
		{"execve", []Kind{Path, Argv, Envp}, [6]uint64{0x1000, 0x1040, 0}, 0, nil, `[1] execve("/bin/sh", ["/bin/sh"], NULL) = 0`},
		{"nanosleep", []Kind{Timespec, Addr}, [6]uint64{0x1050, 0}, 0, nil, `[1] nanosleep({tv_sec=5, tv_nsec=7}, NULL) = 0`},
		{"wait4", []Kind{Int, WaitStatus}, [6]uint64{1<<64 - 1, 0x1060}, 8, nil,
			`[1] wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL}]) = 8`},
		{"sigmask", []Kind{SigSet, Signal}, [6]uint64{0x1068, 15}, 0, nil, `[1] sigmask([INT RT_2], SIGTERM) = 0`},
		{"pipe", []Kind{PipeFDs}, [6]uint64{0x1070}, 0, nil, `[1] pipe([3, 4]) = 0`},
		{"mmap", []Kind{Addr, Hex}, [6]uint64{0, 0}, 0xffff_0000, nil, `[1] mmap(NULL, 0x0) = 0xffff0000`},
	} {
		c := &Call{Mem: mem, Args: tc.args, Size: DefaultSize}
		args := c.Begin(tc.kinds)
		c.Ret, c.Err = tc.ret, tc.err
		if got := c.End(1, tc.name, tc.kinds, args, func(err error) string { return err.Error() }); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

func TestQuoteCuts(t *testing.T) {
	if got := Quote([]byte("abcdef"), 4); got != `"abcd"...` {
		t.Errorf("got %s", got)
	}
}
