package trace_test

import (
	"testing"

	"github.com/hooklab/hooklab/dataplane/trace"
)

// source takes the oldest notification and returns its source, 0 for none.
func source(t *testing.T, r *trace.Ring) uint16 {
	t.Helper()
	b, ok := r.Next()
	if !ok {
		return 0
	}
	n, _, err := trace.DecodeNotification(b)
	if err != nil {
		t.Fatal(err)
	}
	return commonOf(n).Source
}

func TestRing(t *testing.T) {
	t.Parallel()
	r := trace.NewRing(3)
	put := func(n uint16) { r.Drop(trace.Drop{Common: trace.Common{Source: n}}, frameOf(30), 128) }
	for n := uint16(1); n <= 5; n++ {
		put(n)
	}
	if r.Len() != 3 || r.Lost() != 2 {
		t.Errorf("%d wait, %d lost, want 3 and 2", r.Len(), r.Lost())
	}
	// The oldest stay, in order, also around the end of the ring.
	for _, want := range []uint16{1, 2} {
		if got := source(t, r); got != want {
			t.Errorf("got notification %d, want %d", got, want)
		}
	}
	put(6)
	put(7)
	for _, want := range []uint16{3, 6, 7, 0} {
		if got := source(t, r); got != want {
			t.Errorf("got notification %d, want %d", got, want)
		}
	}
	if r.Len() != 0 || r.Lost() != 2 {
		t.Errorf("%d wait, %d lost, want 0 and 2", r.Len(), r.Lost())
	}
}

// A slot that is used again shows nothing of what was in it.
func TestRingSlotIsClean(t *testing.T) {
	t.Parallel()
	r := trace.NewRing(1)
	r.Trace(tracing(), frameOf(200), 128)
	r.Next()
	r.Drop(trace.Drop{}, nil, 128)
	b, ok := r.Next()
	if !ok || len(b) != trace.DropSize {
		t.Fatalf("%d bytes, want %d", len(b), trace.DropSize)
	}
	for i, c := range b {
		if want := map[int]byte{0: trace.TypeDrop, 14: 1}[i]; c != want {
			t.Errorf("byte %d is %#x, want %#x", i, c, want)
		}
	}
}

func TestRingWithoutRoom(t *testing.T) {
	t.Parallel()
	r := trace.NewRing(0)
	r.Drop(trace.Drop{}, nil, 128)
	if _, ok := r.Next(); ok || r.Lost() != 1 {
		t.Errorf("a ring without room gave a notification %t and lost %d, want none and 1", ok, r.Lost())
	}
}

func TestRingAllocs(t *testing.T) { // not parallel: AllocsPerRun counts everybody
	r, frame := trace.NewRing(2), frameOf(1500)
	if n := testing.AllocsPerRun(100, func() {
		r.Drop(drop(), frame, 128)
		r.Trace(tracing(), frame, 128)
		r.Verdict(verdict(), frame, 128)
		r.Next()
		r.Next()
	}); n != 0 {
		t.Errorf("%v allocations a run, want 0", n)
	}
}
