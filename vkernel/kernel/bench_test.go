package kernel_test

import "testing"

// BenchmarkFork forks, ends and waits for a child over the scripted machine: the
// vkernel's own share of a fork.
func BenchmarkFork(b *testing.B) {
	s := newScript()
	s.label("loop").sys(sysFork).jumpIf("child", func(g *guest) bool { return g.rax() == 0 })
	s.sys(sysWait4, ^uint64(0), 0, 0, 0)
	s.jumpIf("loop", func(g *guest) bool { g.put64(dataAt, g.u64(dataAt)+1); return g.u64(dataAt) < uint64(b.N) })
	s.label("child").sys(sysExitGroup, 0)
	w := newWorld(b, map[string]*script{"prog": s})
	b.ReportAllocs()
	b.ResetTimer()
	if status := w.run("/bin/prog"); status != 0 {
		b.Fatalf("wait status %#x", status)
	}
}

// BenchmarkGetpid is the vkernel's own share of the cheapest syscall.
func BenchmarkGetpid(b *testing.B) {
	s := newScript()
	s.label("loop").sys(sysGetpid)
	s.jumpIf("loop", func(g *guest) bool { g.put64(dataAt, g.u64(dataAt)+1); return g.u64(dataAt) < uint64(b.N) })
	s.sys(sysExitGroup, 0)
	w := newWorld(b, map[string]*script{"prog": s})
	b.ResetTimer()
	w.run("/bin/prog")
}
