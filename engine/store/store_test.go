package store

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"megabinary.dev/sdk/stage"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, content string) stage.Descriptor {
	t.Helper()
	d, err := s.Put("text/plain", strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

func TestPutAndRead(t *testing.T) {
	s := open(t)
	d := put(t, s, "abc")
	if d.Digest != abc || d.Size != 3 {
		t.Fatalf("stored %+v", d)
	}
	path, err := s.Path(d.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != blobMode {
		t.Errorf("the blob has mode %v, %v", info.Mode(), err)
	}
	if b, err := s.ReadAll(d, 3); err != nil || string(b) != "abc" {
		t.Errorf("read %q, %v", b, err)
	}
	if _, err := s.ReadAll(d, 2); err == nil {
		t.Error("read more than the limit")
	}
	if !s.Has(d) || s.Has(stage.Descriptor{Digest: d.Digest, Size: 4}) || s.Has(stage.Descriptor{Digest: "sha256:../../x"}) {
		t.Error("Has is wrong")
	}
}

func TestVerifyFindsAFlippedByte(t *testing.T) {
	s := open(t)
	d := put(t, s, "abc")
	path, _ := s.Path(d.Digest)
	if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, []byte("abd"), 0o644)); err != nil {
		t.Fatal(err)
	}
	var damaged *DigestError
	if err := s.Verify(d); !errors.As(err, &damaged) || !strings.Contains(err.Error(), "content does not match its digest: it should be "+abc) {
		t.Errorf("error %v", err)
	}
	if _, err := s.ReadAll(d, 10); !errors.As(err, &damaged) {
		t.Errorf("ReadAll: error %v", err)
	}
}

func TestPutVerified(t *testing.T) {
	s := open(t)
	for _, c := range []struct {
		name, content, want string
		size                int64
	}{
		{"right", "abc", "", 3},
		{"wrong", "abd", "does not match", 3},
		{"too short", "ab", "does not match", 3},
		{"too long", "abcd", "bytes, not 3", 3},
		{"another size", "abc", "has 3 bytes, not 4", 4},
	} {
		err := s.PutVerified(stage.Descriptor{Digest: abc, Size: c.size}, strings.NewReader(c.content))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if entries, err := os.ReadDir(s.tmpDir()); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestAdoptTakesRegularFilesOnly(t *testing.T) {
	s := open(t)
	dir := t.TempDir()
	link, fifo, file := filepath.Join(dir, "link"), filepath.Join(dir, "fifo"), filepath.Join(dir, "file")
	if err := errors.Join(os.Symlink("/etc/passwd", link), syscall.Mkfifo(fifo, 0o600), os.WriteFile(file, []byte("abc"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, fifo, dir} {
		if d, err := s.Adopt("text/plain", path); err == nil {
			t.Errorf("adopted %s as %+v", path, d)
		}
	}
	if d, err := s.Adopt("text/plain", file); err != nil || d.Digest != abc {
		t.Errorf("adopted %+v, %v", d, err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file is still there")
	}
}

func TestConcurrentWriters(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if d, err := s.Put("text/plain", strings.NewReader("abc")); err != nil || d.Digest != abc {
				t.Errorf("stored %+v, %v", d, err)
			}
		})
	}
	wg.Wait()
}

// TestFileSizeLimit runs itself with a limit on file sizes, which stands for a
// full disk where no small file system can be mounted.
func TestFileSizeLimit(t *testing.T) {
	const env = "MEGABINARY_TEST_LIMITED"
	if dir := os.Getenv(env); dir != "" {
		limited(t, dir)
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestFileSizeLimit$")
	cmd.Env = append(os.Environ(), env+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func limited(t *testing.T, dir string) {
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	limit := syscall.Rlimit{Cur: 1 << 16, Max: 1 << 16}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	_, err = s.Put("text/plain", strings.NewReader(strings.Repeat("x", 1<<17)))
	if err == nil || !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "larger than allowed") {
		t.Errorf("error %v", err)
	}
	if entries, err := os.ReadDir(s.tmpDir()); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if d := put(t, s, "abc"); d.Digest != abc {
		t.Errorf("stored %+v afterwards", d)
	}
}

func TestExplainNamesTheRemedy(t *testing.T) {
	if err := Explain(syscall.ENOSPC); !strings.Contains(err.Error(), "the disk is full") || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
}
