package trace_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

func TestBuffer(t *testing.T) {
	t.Parallel()
	b := trace.NewBuffer(5)
	b.Enter(trace.HandleXgress)
	b.Enter(trace.SendTraceNotify)
	b.Leave(trace.SendTraceNotify, code.OK)
	b.TailCall(trace.MapCalls, 7, true)
	b.TailCall(trace.MapCalls, 6, false)
	b.Leave(trace.HandleXgress, code.OK) // the sixth
	want := []trace.Step{
		{Kind: trace.KindEnter, Depth: 0, Func: trace.HandleXgress},
		{Kind: trace.KindEnter, Depth: 1, Func: trace.SendTraceNotify},
		{Kind: trace.KindLeave, Depth: 1, Func: trace.SendTraceNotify},
		{Kind: trace.KindTailCall, Depth: 1, Map: trace.MapCalls, Slot: 7},
		{Kind: trace.KindTailCall, Depth: 1, Map: trace.MapCalls, Slot: 6, Ret: code.DropMissedTailCall},
	}
	if d := cmp.Diff(want, b.Steps(), cmpopts.IgnoreUnexported(trace.Step{})); d != "" {
		t.Errorf("steps differ (-want +got):\n%s", d)
	}
	if got := b.Lost(); got != 1 {
		t.Errorf("lost %d steps, want 1", got)
	}

	b.Reset()
	if len(b.Steps()) != 0 || b.Lost() != 0 {
		t.Errorf("after Reset: %d steps, %d lost, want none", len(b.Steps()), b.Lost())
	}
	b.Enter(trace.ARPRespond)
	if got := b.Leave(trace.ARPRespond, code.Redirect); got != code.Redirect {
		t.Errorf("Leave returned %v, want what the function did", got)
	}
	want = []trace.Step{
		{Kind: trace.KindEnter, Func: trace.ARPRespond}, {Kind: trace.KindLeave, Func: trace.ARPRespond, Ret: code.Redirect},
	}
	if d := cmp.Diff(want, b.Steps(), cmpopts.IgnoreUnexported(trace.Step{})); d != "" {
		t.Errorf("steps after Reset differ (-want +got):\n%s", d)
	}
}

// countdown is bracketed as the datapath's functions are.
func countdown(b *trace.Buffer, n code.Ret) code.Ret {
	if b != nil && b.First() {
		b.Enter(trace.CTLookup4)
		return b.Leave(trace.CTLookup4, countdown(b, n))
	}
	if n == 0 {
		return 0
	}
	return countdown(b, n-1) + 1
}

// TestFirst: a function that brackets itself is entered and left once for each call, a
// recursive one too.
func TestFirst(t *testing.T) {
	t.Parallel()
	b := trace.NewBuffer(8)
	if got := countdown(b, 2); got != 2 {
		t.Errorf("traced: %d, want 2", got)
	}
	if got := countdown(nil, 2); got != 2 {
		t.Errorf("not traced: %d, want 2", got)
	}
	want := []trace.Step{
		{Kind: trace.KindEnter, Depth: 0, Func: trace.CTLookup4},
		{Kind: trace.KindEnter, Depth: 1, Func: trace.CTLookup4},
		{Kind: trace.KindEnter, Depth: 2, Func: trace.CTLookup4},
		{Kind: trace.KindLeave, Depth: 2, Func: trace.CTLookup4, Ret: 0},
		{Kind: trace.KindLeave, Depth: 1, Func: trace.CTLookup4, Ret: 1},
		{Kind: trace.KindLeave, Depth: 0, Func: trace.CTLookup4, Ret: 2},
	}
	if d := cmp.Diff(want, b.Steps(), cmpopts.IgnoreUnexported(trace.Step{})); d != "" {
		t.Errorf("steps differ (-want +got):\n%s", d)
	}
}

func TestBufferAllocs(t *testing.T) { // not parallel: AllocsPerRun counts everybody
	b := trace.NewBuffer(4)
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		b.Enter(trace.IPv4L3)
		b.Leave(trace.IPv4L3, code.OK)
		b.TailCall(trace.MapCalls, 1, true)
		b.Enter(trace.IPv4L3)
		b.Leave(trace.IPv4L3, code.OK)
	}); n != 0 {
		t.Errorf("%v allocations a run, want 0", n)
	}
}

func TestFuncs(t *testing.T) {
	t.Parallel()
	type cName struct{ name, file string }
	seen := map[cName]trace.Func{}
	for i, f := range trace.Funcs() {
		if int(f) != i {
			t.Errorf("Funcs()[%d] = %d", i, f)
		}
		c := cName{f.Name(), f.File()}
		if c.name == "" || c.file == "" {
			t.Errorf("function %d has name %q and file %q", f, c.name, c.file)
		}
		if g, ok := seen[c]; ok {
			t.Errorf("functions %d and %d are both %s in %s", g, f, c.name, c.file)
		}
		seen[c] = f
	}
	if got, want := trace.Func(255).String(), "func(255)"; got != want {
		t.Errorf("an unknown function is %q, want %q", got, want)
	}
	if got := trace.Func(255).File(); got != "" {
		t.Errorf("an unknown function is in %q, want nowhere", got)
	}
}

// TestBufferWatches checks what is told of maps, of packet bytes and of the mark.
func TestBufferWatches(t *testing.T) {
	t.Parallel()
	b := trace.NewBuffer(16)
	frame, mark := []byte{0, 1, 2, 3, 4, 5, 6, 7}, uint32(0)
	b.Watch(frame, &mark)
	b.Enter(trace.IPv4L3)
	b.Lookup(trace.MapLXC, 0, []byte{1, 2}, []byte{3})
	b.Lookup(trace.MapPolicy, 51, []byte{4}, nil)
	b.Update(trace.MapCT4, []byte{5}, []byte{6})
	copy(frame[2:], []byte{20, 30})
	frame[7], mark = 70, 0xf00
	b.Leave(trace.IPv4L3, code.OK)

	type step struct {
		Kind       trace.Kind
		Map        string
		Slot       uint32
		Key, Value []byte
	}
	want := []step{
		{trace.KindEnter, "", 0, nil, nil},
		{trace.KindLookup, "cilium_lxc", 0, []byte{1, 2}, []byte{3}},
		{trace.KindLookup, "cilium_policy_00051", 0, []byte{4}, nil},
		{trace.KindUpdate, "cilium_ct4_global", 0, []byte{5}, []byte{6}},
		{trace.KindRewrite, "", 2, []byte{2, 3}, []byte{20, 30}},
		{trace.KindRewrite, "", 7, []byte{7}, []byte{70}},
		{trace.KindMark, "", 0, []byte{0, 0, 0, 0}, []byte{0, 15, 0, 0}},
		{trace.KindLeave, "", 0, nil, nil},
	}
	var got []step
	for i := range b.Steps() {
		s := &b.Steps()[i]
		name := ""
		if s.Map != 0 {
			name = s.Map.Name(s.Endpoint)
		}
		got = append(got, step{s.Kind, name, s.Slot, b.Key(s), b.Value(s)})
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
}

// TestBufferBytes checks that a step whose bytes find no room is lost, not cut.
func TestBufferBytes(t *testing.T) {
	t.Parallel()
	b := trace.NewBuffer(2) // room for 128 bytes
	b.Lookup(trace.MapLXC, 0, make([]byte, 20), make([]byte, 48))
	b.Lookup(trace.MapLXC, 0, make([]byte, 20), make([]byte, 48))
	if len(b.Steps()) != 1 || b.Lost() != 1 {
		t.Errorf("%d steps, %d lost, want one of each", len(b.Steps()), b.Lost())
	}
}
