package linux

import "testing"

func TestErrnoNames(t *testing.T) {
	for e, want := range map[Errno]string{ENOENT: "ENOENT", EAGAIN: "EAGAIN", EDEADLK: "EDEADLK",
		EOPNOTSUPP: "EOPNOTSUPP", ERESTARTSYS: "ERESTARTSYS", 0: "0", 4000: "errno 4000"} {
		if got := e.Name(); got != want {
			t.Errorf("errno %d: name %q, want %q", e, got, want)
		}
	}
	if got := ENOENT.Error(); got != "No such file or directory" {
		t.Errorf("ENOENT says %q", got)
	}
}

func TestDevRoundTrip(t *testing.T) {
	for _, d := range [][2]uint32{{1, 3}, {5, 0}, {0, 300}, {4095, 1 << 19}} {
		dev := MakeDev(d[0], d[1])
		if DevMajor(dev) != d[0] || DevMinor(dev) != d[1] {
			t.Errorf("%v: dev %#x reads as %d,%d", d, dev, DevMajor(dev), DevMinor(dev))
		}
	}
}

func TestDirentIsPadded(t *testing.T) {
	for _, name := range []string{"a", "abcd", "abcde", "a-rather-long-name"} {
		d := Dirent{Ino: 1, Off: 2, Type: DT_REG, Name: name}
		if b := d.Append64([]byte{0}); len(b) != 1+d.Len64() || d.Len64()%8 != 0 {
			t.Errorf("%s: %d bytes for length %d", name, len(b), d.Len64())
		}
		b := d.Append(nil)
		if len(b) != d.Len() || b[len(b)-1] != DT_REG {
			t.Errorf("%s: linux_dirent of %d bytes ends with %d", name, len(b), b[len(b)-1])
		}
	}
}

func TestTimespecOfNegative(t *testing.T) {
	if got := TimespecOf(-1); got != (Timespec{-1, 999999999}) {
		t.Errorf("TimespecOf(-1) = %v", got)
	}
}
