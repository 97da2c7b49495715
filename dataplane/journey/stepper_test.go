package journey_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane/journey"
)

func stepper(tb testing.TB, q journey.Question) *journey.Stepper {
	tb.Helper()
	s, err := journey.NewStepper(article(tb), journey.Options{Engine: engine}, q)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// step goes on, or back.
func step(tb testing.TB, move func() (bool, error)) bool {
	tb.Helper()
	ok, err := move()
	if err != nil {
		tb.Fatal(err)
	}
	return ok
}

// runTo goes on until a moment is as wanted.
func runTo(tb testing.TB, s *journey.Stepper, want func(*journey.Moment) bool) {
	tb.Helper()
	for step(tb, s.Next) {
		if want(s.Now()) {
			return
		}
	}
	tb.Fatal("the end came before")
}

var toService = journey.Question{From: "pod2-1", To: "svc/web", Protocol: journey.TCP, Port: 80}

// TestStepperGoesBackExactly goes forth over all moments and back over all of them, and
// finds the same state, by its hash, at each.
func TestStepperGoesBackExactly(t *testing.T) {
	t.Parallel()
	s := stepper(t, toService)
	hashes := [][32]byte{s.Hash()}
	for step(t, s.Next) {
		if s.Now().N != len(hashes) {
			t.Fatalf("moment %d after %d", s.Now().N, len(hashes)-1)
		}
		hashes = append(hashes, s.Hash())
	}
	if len(hashes) < 200 {
		t.Fatalf("%d moments", len(hashes))
	}
	seen := map[[32]byte]bool{}
	for i, h := range hashes {
		if seen[h] {
			t.Errorf("moment %d has the state of an earlier one", i)
		}
		seen[h] = true
	}
	for step(t, s.Back) {
		if got := s.Hash(); got != hashes[s.Now().N] {
			t.Fatalf("back at moment %d, the state is another one", s.Now().N)
		}
	}
	if s.Now().N != 0 {
		t.Errorf("the way back ended at moment %d", s.Now().N)
	}
	for step(t, s.Next) {
		if got := s.Hash(); got != hashes[s.Now().N] {
			t.Fatalf("forth again at moment %d, the state is another one", s.Now().N)
		}
	}
}

// TestStepperSeesTheJourney finds that the moments are the lines of the journey that Ask
// tells, and that the journey at the end is that one, byte for byte.
func TestStepperSeesTheJourney(t *testing.T) {
	t.Parallel()
	for _, p := range paths() {
		s := stepper(t, p.question)
		var calls []string
		lines := 0
		for step(t, s.Next) {
			if m := s.Now(); m.Func != "" {
				calls = append(calls, m.Func)
				if !slices.Contains(m.Stack, m.Func) {
					t.Errorf("%s: %s is not open in %v", p.name, m.Func, m.Stack)
				}
			}
			lines++
		}
		j := ask(t, article(t), p.question)
		var want []string
		for _, k := range j.Packets {
			want = append(want, functions(k)...)
		}
		slices.Sort(calls) // packets are told one after the other, and happen at once
		slices.Sort(want)
		if !slices.Equal(calls, want) {
			t.Errorf("%s: called\n got %v\nwant %v", p.name, calls, want)
		}
		var a, b bytes.Buffer
		if err := errors.Join(j.WriteJSON(&a), s.Journey().WriteJSON(&b)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%s: the journey is another one than Ask tells", p.name)
		}
	}
}

// TestStepperChangesEntries changes an entry within a running program, which then does
// what the entry says; going back undoes that.
func TestStepperChangesEntries(t *testing.T) {
	t.Parallel()
	s := stepper(t, journey.Question{From: "pod1-1", To: "pod1-2"})
	lookup := func(m *journey.Moment) bool { return m.Packet == 2 && m.Map == "cilium_lxc" }
	runTo(t, s, lookup)
	if !strings.Contains(s.Now().Text, "id=436") {
		t.Fatalf("got %s", s.Now().Text)
	}
	step(t, s.Back) // before the lookup
	before := s.Hash()
	if err := s.Delete("cilium-worker", "cilium_lxc", "10.0.1.79:0"); err != nil {
		t.Fatal(err)
	}
	if s.Hash() == before {
		t.Error("a removed entry leaves the state as it was")
	}
	step(t, s.Next)
	if !lookup(s.Now()) || !strings.HasSuffix(s.Now().Text, "→ miss") {
		t.Fatalf("got %s", s.Now().Text)
	}
	step(t, s.Next)
	step(t, s.Back)
	if !strings.HasSuffix(s.Now().Text, "→ miss") {
		t.Errorf("going back to a moment after the change: %s", s.Now().Text)
	}
	step(t, s.Back) // to where the change was made
	step(t, s.Back) // before it
	step(t, s.Next)
	if s.Hash() != before {
		t.Error("going back has not undone the change")
	}
	if err := s.Set("cilium-worker", "cilium_lxc", "10.0.1.79:0", []string{"lxcid=1272", "MAC=02:00:00:00:00:07"}); err != nil {
		t.Fatal(err)
	}
	step(t, s.Next)
	if got := s.Now().Text; !strings.Contains(got, "id=1272") || !strings.Contains(got, "mac=02:00:00:00:00:07") {
		t.Errorf("got %s", got)
	}
	for step(t, s.Next) {
	}
	if v := s.Journey().Verdict; v.Outcome == journey.Delivered {
		t.Errorf("a frame to another MAC was delivered: %+v", v)
	}
}

// TestStepperEntries reads entries, and says what is wrong with what it is told.
func TestStepperEntries(t *testing.T) {
	t.Parallel()
	s := stepper(t, toService)
	e, err := s.Entry("cilium-worker", "cilium_ipcache", "10.0.2.158/32")
	if err != nil {
		t.Fatal(err)
	}
	if e.Value != "identity=13789 encryptkey=0 tunnelendpoint=172.18.0.5" || !slices.Contains(e.Fields, journey.EntryField{Name: "TunnelEndpoint", Value: "172.18.0.5"}) {
		t.Errorf("got %+v", e)
	}
	for _, tt := range []struct {
		name, node, m, key string
		values             []string
		want               string
	}{
		{"node", "worker9", "cilium_lxc", "x", []string{"a=b"}, "there are cilium-control-plane, cilium-worker, cilium-worker2"},
		{"map", "cilium-worker", "cilium_nosuch", "x", []string{"a=b"}, "cilium_nosuch"},
		{"key", "cilium-worker", "cilium_lxc", "10.9.9.9:0", []string{"a=b"}, `no key "10.9.9.9:0"`},
		{"field", "cilium-worker", "cilium_ipcache", "10.0.2.158/32", []string{"identity=1"}, "there are SecLabel, TunnelEndpoint, NodeID, Key"},
		{"number", "cilium-worker", "cilium_ipcache", "10.0.2.158/32", []string{"SecLabel=many"}, `"many" is no number of 32 bits`},
		{"address", "cilium-worker", "cilium_ipcache", "10.0.2.158/32", []string{"TunnelEndpoint=::1"}, `"::1" is no IPv4 address`},
		{"form", "cilium-worker", "cilium_ipcache", "10.0.2.158/32", []string{"1"}, "not FIELD=VALUE"},
		{"size", "cilium-worker", "cilium_ipcache", "10.0.2.158/32", []string{"0x01"}, "values of 12 bytes"},
	} {
		if err := s.Set(tt.node, tt.m, tt.key, tt.values); !errors.Is(err, journey.ErrEntry) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := s.Delete("cilium-worker", "cilium_lxc", "10.9.9.9:0"); !errors.Is(err, journey.ErrEntry) {
		t.Errorf("got %v", err)
	}
}

// TestStepperRefusesBadQuestions gives the errors of Ask.
func TestStepperRefusesBadQuestions(t *testing.T) {
	t.Parallel()
	if _, err := journey.NewStepper(article(t), journey.Options{Engine: engine}, journey.Question{From: "pod1-1"}); !errors.Is(err, journey.ErrQuestion) {
		t.Errorf("got %v", err)
	}
	s := stepper(t, journey.Question{From: "svc/web", To: "pod1-1"})
	if _, err := s.Next(); !errors.Is(err, journey.ErrQuestion) {
		t.Errorf("got %v", err)
	}
}
