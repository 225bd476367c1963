package pipe

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

func TestPipeEnds(t *testing.T) {
	r, w := NewPair(linux.Stat{Ino: 7}, nil)
	buf := make([]byte, 10)
	if _, err := r.ReadAt(buf, 0); err != linux.EAGAIN {
		t.Fatalf("reading an empty pipe: %v, want EAGAIN", err)
	}
	if n, err := w.WriteAt([]byte("hello"), 0); n != 5 || err != nil {
		t.Fatalf("writing: %d, %v", n, err)
	}
	if got := r.Readiness(waiter.ReadableEvents | waiter.EventHUp); got != waiter.ReadableEvents {
		t.Errorf("reader's readiness %#x", got)
	}
	w.Release()
	if got := r.Readiness(waiter.ReadableEvents | waiter.EventHUp); got != waiter.ReadableEvents|waiter.EventHUp {
		t.Errorf("reader's readiness after the writer left %#x", got)
	}
	if n, _ := r.ReadAt(buf, 0); string(buf[:n]) != "hello" {
		t.Errorf("read %q", buf[:n])
	}
	if n, err := r.ReadAt(buf, 0); n != 0 || err != nil {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if r.Describe() != "pipe:[7]" {
		t.Errorf("described as %s", r.Describe())
	}
}

func TestWriteWithoutReaderIsEPIPE(t *testing.T) {
	r, w := NewPair(linux.Stat{}, nil)
	r.Release()
	if _, err := w.WriteAt([]byte("x"), 0); err != linux.EPIPE {
		t.Errorf("error %v, want EPIPE", err)
	}
	if got := w.Readiness(waiter.EventOut | waiter.EventErr); got&waiter.EventErr == 0 {
		t.Errorf("readiness %#x without POLLERR", got)
	}
}

func TestSmallWritesAreAtomic(t *testing.T) {
	_, w := NewPair(linux.Stat{}, nil)
	if n, err := w.WriteAt(make([]byte, DefaultCapacity-10), 0); n != DefaultCapacity-10 || err != nil {
		t.Fatalf("filling: %d, %v", n, err)
	}
	if got := w.Readiness(waiter.EventOut); got != 0 {
		t.Errorf("nearly full pipe is writable")
	}
	if _, err := w.WriteAt(make([]byte, 11), 0); err != linux.EAGAIN {
		t.Errorf("11 bytes into 10: %v, want EAGAIN", err)
	}
	if n, err := w.WriteAt(make([]byte, linux.PIPE_BUF+1), 0); n != 10 || err != nil {
		t.Errorf("a large write into 10: %d, %v; want 10", n, err)
	}
}

func TestFIFOOpen(t *testing.T) {
	p := New()
	if _, err := p.Open(linux.O_WRONLY | linux.O_NONBLOCK); err != linux.ENXIO {
		t.Fatalf("nonblocking writer without a reader: %v, want ENXIO", err)
	}
	r, err := p.Open(linux.O_RDONLY)
	if err != nil || r.OpenReady() {
		t.Fatalf("reader: %v, ready %v; want to wait", err, r.OpenReady())
	}
	if got := r.Readiness(waiter.EventHUp); got != 0 {
		t.Error("hangup before the first writer")
	}
	w, err := p.Open(linux.O_WRONLY)
	if err != nil || !w.OpenReady() || !r.OpenReady() {
		t.Fatalf("writer: %v", err)
	}
	w.Release()
	if !r.OpenReady() || r.Readiness(waiter.EventHUp) == 0 {
		t.Error("a writer that has left again does not count")
	}
}

func TestSetCapacity(t *testing.T) {
	r, w := NewPair(linux.Stat{}, nil)
	if n, err := w.SetCapacity(5000); n != 8192 || err != nil {
		t.Fatalf("capacity %d, %v", n, err)
	}
	if n, _ := w.WriteAt(make([]byte, 100000), 0); n != 8192 {
		t.Errorf("wrote %d", n)
	}
	if _, err := w.SetCapacity(4096); err != linux.EBUSY {
		t.Errorf("shrinking below the contents: %v, want EBUSY", err)
	}
	if r.Buffered() != 8192 {
		t.Errorf("buffered %d", r.Buffered())
	}
}

// TestConcurrentCopy pushes data through with random sizes on both sides.
func TestConcurrentCopy(t *testing.T) {
	want := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(want)
	r, w := NewPair(linux.Stat{}, nil)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		defer w.Release()
		e, ch := waiter.NewChannelEntry(waiter.EventOut)
		w.EventRegister(e)
		defer w.EventUnregister(e)
		for left := want; len(left) > 0; {
			n, err := w.WriteAt(left[:min(len(left), 1+rand.IntN(9000))], 0)
			left = left[n:]
			if err == linux.EAGAIN {
				<-ch
			}
		}
	}()
	var got bytes.Buffer
	e, ch := waiter.NewChannelEntry(waiter.EventIn)
	r.EventRegister(e)
	for {
		buf := make([]byte, 1+rand.IntN(9000))
		n, err := r.ReadAt(buf, 0)
		got.Write(buf[:n])
		if err == linux.EAGAIN {
			<-ch
		} else if n == 0 {
			break
		}
	}
	wg.Wait()
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes came out, %d went in, or they differ", got.Len(), len(want))
	}
}
