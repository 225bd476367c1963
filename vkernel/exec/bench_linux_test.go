package exec

import (
	"io"
	"os"
	"syscall"
	"testing"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/vkernel/audit"
)

// BenchmarkCheck asks about a real program, /bin/sh, as execve does: cold, from the
// cache, with and without a trail, and beside what the host's own fork, execve and
// wait of /bin/true take.
func BenchmarkCheck(b *testing.B) {
	content, err := os.ReadFile("/bin/sh")
	if err != nil {
		b.Fatal(err)
	}
	m := &artifact.ExecMap{Entries: []artifact.ExecMapEntry{{Digest: digestOf(content), Size: int64(len(content)), Kind: artifact.ExecProgram,
		Verdict: artifact.VerdictRun, Paths: []artifact.ExecMapPath{{Path: "/bin/sh", Mode: 0o755}}}}}
	file := &memFile{data: content, id: Identity{1, 2, 3}, fixed: true}
	request := Request{File: file, Use: UseExec, Path: "/bin/sh", Mode: 0o755, Args: []string{"sh", "-c", "true"}, PID: 2, PPID: 1}
	for _, c := range []struct {
		name  string
		cache *Cache
		trail *audit.Log
	}{
		{"cold", nil, nil}, {"cached", NewCache(1 << 28), nil},
		{"cached with a trail", NewCache(1 << 28), audit.New(io.Discard, "c", digestOf(nil))},
	} {
		b.Run(c.name, func(b *testing.B) {
			k, err := New(m, Options{}, c.trail, c.cache)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if d, err := k.Check(b.Context(), request); err != nil || !d.Allow {
					b.Fatal(d, err)
				}
			}
			if c.cache == nil {
				b.SetBytes(int64(len(content)))
			}
		})
	}
	b.Run("command line of python -c", func(b *testing.B) {
		k, err := New(m, Options{}, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		entry := &artifact.ExecMapEntry{Kind: artifact.ExecInterpreter, Language: artifact.Python}
		argv, env := []string{"python3", "-S", "-c", "print(1)"}, os.Environ()
		for b.Loop() {
			if _, d, err := k.Start(entry, request, argv, env, false); err != nil || !d.Allow {
				b.Fatal(d, err)
			}
		}
	})
	b.Run("native fork, execve and wait", func(b *testing.B) {
		for b.Loop() {
			pid, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
			if err != nil {
				b.Fatal(err)
			}
			var status syscall.WaitStatus
			if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
