package netns_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hooklab/hooklab/netns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 5 * time.Second

var (
	macA = netns.MAC{2, 0, 0, 0, 0, 0xa}
	macB = netns.MAC{2, 0, 0, 0, 0, 0xb}
)

// within returns a context that ends when patience does.
func within(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}

func must(tb testing.TB, errs ...error) {
	tb.Helper()
	for _, err := range errs {
		if err != nil {
			tb.Fatal(err)
		}
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

// readUntil reads frames from p until match accepts one, and returns it.
func readUntil(tb testing.TB, p *netns.Port, match func(frame []byte, m netns.Meta) bool) ([]byte, netns.Meta) {
	tb.Helper()
	poll, err := netns.NewPoller()
	must(tb, err)
	defer poll.Close()
	must(tb, poll.Add(p.FD(), 1))
	buf := make([]byte, 1<<16)
	var seen []string
	for ctx := within(tb); ctx.Err() == nil; {
		var m netns.Meta
		n, err := p.Read(buf, &m)
		must(tb, err)
		if n == 0 {
			_, err := poll.Wait(make([]netns.Event, 1), patience)
			must(tb, err)
			continue
		}
		if match(buf[:n], m) {
			return buf[:n], m
		}
		seen = append(seen, string(buf[:n]))
	}
	tb.Fatalf("the frame did not come; seen: %q", seen)
	return nil, netns.Meta{}
}

// quiet fails the test if p has a frame that match accepts. It is called when
// everything that could send one is done.
func quiet(tb testing.TB, p *netns.Port, match func(frame []byte, m netns.Meta) bool) {
	tb.Helper()
	buf := make([]byte, 1<<16)
	for {
		var m netns.Meta
		n, err := p.Read(buf, &m)
		must(tb, err)
		if n == 0 {
			return
		}
		if match(buf[:n], m) {
			tb.Errorf("unexpected frame % x", buf[:n])
		}
	}
}
