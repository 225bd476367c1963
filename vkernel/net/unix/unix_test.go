package unix

import (
	"testing"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/socket"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

func TestPair(t *testing.T) {
	a, b, err := New().Pair(&vfs.Caller{Creds: vfs.NewCreds(0, 0)}, linux.SOCK_STREAM, linux.Stat{Ino: 1}, linux.Stat{Ino: 2})
	if err != nil {
		t.Fatal(err)
	}
	a.WriteAt([]byte("hi"), 0)
	p := make([]byte, 8)
	if n, err := b.Recv(&socket.Message{Data: [][]byte{p}}, linux.MSG_PEEK); n != 2 || err != nil {
		t.Errorf("peek %d, %v", n, err)
	}
	if n, err := b.ReadAt(p, 0); n != 2 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	if _, err := b.ReadAt(p, 0); err != linux.EAGAIN {
		t.Errorf("empty: %v", err)
	}
	if err := a.Shutdown(linux.SHUT_WR); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if got := b.Readiness(waiter.EventIn | waiter.EventRdHUp | waiter.EventHUp | waiter.EventOut); got != waiter.EventIn|waiter.EventRdHUp|waiter.EventOut {
		t.Errorf("half closed: readiness %#x", got)
	}
	if n, err := b.ReadAt(p, 0); n != 0 || err != nil {
		t.Errorf("end: %d, %v", n, err)
	}
	if _, err := a.WriteAt(p, 0); err != linux.EPIPE {
		t.Errorf("write after shutdown: %v", err)
	}
	a.Release()
	if _, err := b.WriteAt(p, 0); err != linux.EPIPE {
		t.Errorf("write without a peer: %v", err)
	}
	if got := b.Readiness(waiter.EventHUp); got == 0 {
		t.Error("no hangup")
	}
	b.Release()
}
