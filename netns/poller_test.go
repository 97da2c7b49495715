package netns_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/netns"
)

func newPoller(tb testing.TB) *netns.Poller {
	tb.Helper()
	p, err := netns.NewPoller()
	must(tb, err)
	tb.Cleanup(func() { must(tb, p.Close(), p.Close()) })
	return p
}

func eventFD(tb testing.TB, initial uint) int {
	tb.Helper()
	fd, err := unix.Eventfd(initial, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	must(tb, err)
	tb.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestPollerEvents(t *testing.T) {
	t.Parallel()
	p := newPoller(t)
	ready, idle := eventFD(t, 1), eventFD(t, 0)
	must(t, p.Add(ready, 7), p.Add(idle, 8))
	events := make([]netns.Event, 4)
	for range 2 { // it stays ready until it is read
		n, err := p.Wait(events, patience)
		must(t, err)
		if n != 1 || events[0].Data != 7 {
			t.Errorf("Wait = %v, want data 7", events[:n])
		}
	}
	must(t, p.Remove(ready))
	if n, err := p.Wait(events, 0); n != 0 || err != nil {
		t.Errorf("after Remove: %d, %v, want nothing", n, err)
	}
	if n, err := p.Wait(events, time.Millisecond); n != 0 || err != nil {
		t.Errorf("after a timeout: %d, %v, want nothing", n, err)
	}
	if err := p.Remove(ready); !errors.Is(err, unix.ENOENT) {
		t.Errorf("removed twice: %v, want ENOENT", err)
	}
	if err := p.Add(idle, 9); !errors.Is(err, unix.EEXIST) {
		t.Errorf("added twice: %v, want EEXIST", err)
	}
	if _, err := p.Wait(nil, 0); err == nil {
		t.Error("no room for events: no error")
	}
}

// TestPollerFair has more ready descriptors than room for events: each gets its
// turn.
func TestPollerFair(t *testing.T) {
	t.Parallel()
	p := newPoller(t)
	const fds = 10
	for i := range fds {
		must(t, p.Add(eventFD(t, 1), uint32(i)))
	}
	must(t, p.Wake())
	seen := map[uint32]bool{}
	events := make([]netns.Event, 3)
	for range 100 {
		n, err := p.Wait(events, patience)
		must(t, err)
		for _, ev := range events[:n] {
			seen[ev.Data] = true
		}
	}
	if len(seen) != fds {
		t.Errorf("saw %d of %d descriptors: %v", len(seen), fds, seen)
	}
}

func TestPollerWake(t *testing.T) {
	t.Parallel()
	p := newPoller(t)
	events := make([]netns.Event, 1)
	must(t, p.Wake(), p.Wake())
	if n, err := p.Wait(events, -1); n != 0 || err != nil {
		t.Errorf("Wait after Wake = %d, %v, want 0", n, err)
	}
	if n, err := p.Wait(events, 0); n != 0 || err != nil {
		t.Errorf("second Wait = %d, %v, want 0", n, err)
	}
}

// TestPollerWakeNeverLost hands work over as a node does: put it in a queue,
// then wake. No item may be left behind with the poller asleep.
func TestPollerWakeNeverLost(t *testing.T) {
	t.Parallel()
	p := newPoller(t)
	const senders, items = 4, 5000
	queue := make(chan int, senders*items)
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for i := range items {
				queue <- i
				if err := p.Wake(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	events := make([]netns.Event, 1)
	ctx := within(t)
	for got := 0; got < senders*items; {
		_, err := p.Wait(events, patience)
		must(t, err)
		if ctx.Err() != nil {
			t.Fatalf("asleep with %d items in the queue", len(queue))
		}
		for len(queue) > 0 {
			<-queue
			got++
		}
	}
	wg.Wait()
}

func TestPollerClosed(t *testing.T) {
	t.Parallel()
	p := newPoller(t)
	must(t, p.Close())
	if err := p.Wake(); !errors.Is(err, netns.ErrClosed) {
		t.Errorf("Wake: %v, want ErrClosed", err)
	}
	if _, err := p.Wait(make([]netns.Event, 1), 0); err == nil {
		t.Error("Wait: no error")
	}
	if err := p.Add(0, 1); err == nil {
		t.Error("Add: no error")
	}
}

func TestPollerAllocs(t *testing.T) {
	p := newPoller(t)
	must(t, p.Add(eventFD(t, 1), 1))
	events := make([]netns.Event, 8)
	got := testing.AllocsPerRun(100, func() {
		if err := p.Wake(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Wait(events, 0); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}
