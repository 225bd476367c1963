package waiter

import "testing"

func TestNotifyReachesMatchingEntries(t *testing.T) {
	var q Queue
	in, inCh := NewChannelEntry(EventIn)
	out, outCh := NewChannelEntry(EventOut)
	q.EventRegister(in)
	q.EventRegister(out)
	q.Notify(EventIn)
	q.Notify(EventIn) // a full channel must not block
	if len(inCh) != 1 || len(outCh) != 0 {
		t.Fatalf("tokens: in %d, out %d; want 1, 0", len(inCh), len(outCh))
	}
	<-inCh
	q.EventUnregister(in)
	q.Notify(EventHUp)
	if len(inCh) != 0 || len(outCh) != 1 {
		t.Fatalf("after hangup: in %d, out %d; want 0, 1", len(inCh), len(outCh))
	}
}
