package anon

import (
	"sync"
	"testing"
	"time"

	"megabinary.dev/vkernel/fs/pipe"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

func described(f vfs.File) *vfs.FileDescription {
	return vfs.NewFileDescription(f, vfs.Location{}, linux.O_RDWR)
}

func TestEpollForgetsClosedFiles(t *testing.T) {
	e := NewEpoll(linux.Stat{})
	r, w := pipe.NewPair(linux.Stat{}, nil)
	rd, wd := described(r), described(w)
	if err := e.Add(3, rd, linux.EpollEvent{Events: linux.POLLIN, Data: 7}); err != nil {
		t.Fatal(err)
	}
	entry, ch := waiter.NewChannelEntry(waiter.EventIn)
	e.EventRegister(entry)
	wd.Write([]byte("x"), 0)
	if len(ch) != 1 {
		t.Error("the set did not hear of the write")
	}
	if got := e.Collect(10); len(got) != 1 || got[0].Data != 7 || got[0].Events != linux.POLLIN {
		t.Errorf("events %+v", got)
	}
	rd.DecRef()
	if got := e.Collect(10); len(got) != 0 || len(e.items) != 0 {
		t.Errorf("after close: events %+v, %d items", got, len(e.items))
	}
	wd.DecRef()
	e.Release()
}

// TestEdgeIsNeverLost writes and waits in turns, edge triggered.
func TestEdgeIsNeverLost(t *testing.T) {
	e := NewEpoll(linux.Stat{})
	ev := NewEventFD(0, false, linux.Stat{})
	d := described(ev)
	if err := e.Add(3, d, linux.EpollEvent{Events: linux.POLLIN | linux.EPOLLET}); err != nil {
		t.Fatal(err)
	}
	entry, ch := waiter.NewChannelEntry(waiter.EventIn)
	e.EventRegister(entry)
	var wg sync.WaitGroup
	wg.Add(1)
	const rounds = 2000
	go func() {
		defer wg.Done()
		for range rounds {
			ev.WriteAt([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 0)
		}
	}()
	sum := 0
	for deadline := time.Now().Add(20 * time.Second); sum < rounds; {
		for len(e.Collect(1)) == 0 {
			select {
			case <-ch:
			case <-time.After(time.Until(deadline)):
				t.Fatalf("stuck after %d of %d", sum, rounds)
			}
		}
		var p [8]byte
		if n, _ := ev.ReadAt(p[:], 0); n == 8 {
			sum += int(p[0]) | int(p[1])<<8
		}
	}
	wg.Wait()
	d.DecRef()
}

func TestTimerFD(t *testing.T) {
	f := NewTimerFD(linux.Stat{})
	entry, ch := waiter.NewChannelEntry(waiter.EventIn)
	f.EventRegister(entry)
	f.Set(time.Now().Add(time.Millisecond), time.Millisecond)
	<-ch
	time.Sleep(5 * time.Millisecond)
	var p [8]byte
	if n, err := f.ReadAt(p[:], 0); n != 8 || err != nil || p[0] == 0 {
		t.Errorf("read %d, %v: %v", n, err, p)
	}
	f.Release()
	if left, _ := f.Get(); left != 0 {
		t.Errorf("released timer has %v left", left)
	}
}
