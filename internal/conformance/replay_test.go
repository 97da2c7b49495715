package conformance_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/internal/conformance"
	"github.com/hooklab/hooklab/maps"
)

// wrong is an engine that is right but for one thing.
type wrong struct {
	*emu.Engine
	caps   dataplane.Caps
	before func(p *dataplane.Packet, env *dataplane.Env)
	after  func(e *emu.Engine, p *dataplane.Packet, v *dataplane.Verdict)
	err    error
}

func (w *wrong) Caps() dataplane.Caps { return w.caps }

func (w *wrong) Run(h dataplane.Hook, p *dataplane.Packet, env *dataplane.Env) (dataplane.Verdict, error) {
	if w.before != nil {
		w.before(p, env)
	}
	v, err := w.Engine.Run(h, p, env)
	if w.after != nil {
		w.after(w.Engine, p, &v)
	}
	return v, errors.Join(err, w.err)
}

// newWrong fills in what is right.
func newWrong(w wrong) func() (dataplane.Runner, error) {
	return func() (dataplane.Runner, error) {
		e := w
		e.Engine = emu.New(maps.NewSet(maps.Sizes{}))
		e.caps = e.Engine.Caps()
		return &e, nil
	}
}

// load is the recorded packets of one group.
func load(t *testing.T, group string) *conformance.Vectors {
	t.Helper()
	v, err := conformance.Load("../../testdata/vectors")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range v.Groups {
		if g.Name == group {
			v.Groups = []conformance.Group{g}
			return v
		}
	}
	t.Fatalf("no group %s", group)
	return nil
}

// TestWrongEngine proves that a replay can fail: it finds each single mistake, in
// the field where it was made.
func TestWrongEngine(t *testing.T) {
	t.Parallel()
	key := maps.CTKey{Proto: 6}
	for _, tt := range []struct {
		name  string
		group string
		w     wrong
		field string
	}{
		{"action", "pod-to-pod-local", wrong{after: func(_ *emu.Engine, _ *dataplane.Packet, v *dataplane.Verdict) { v.Action = code.OK }}, "verdict"},
		{"raw action", "malformed", wrong{after: func(_ *emu.Engine, _ *dataplane.Packet, v *dataplane.Verdict) {
			if v.Action < 0 {
				v.Action--
			}
		}}, "return code"},
		{"target", "pod-to-pod-local", wrong{after: func(_ *emu.Engine, _ *dataplane.Packet, v *dataplane.Verdict) { v.Ifindex++ }}, "redirect"},
		{"peer", "pod-to-pod-local", wrong{after: func(_ *emu.Engine, _ *dataplane.Packet, v *dataplane.Verdict) { v.Flags = dataplane.RedirectPeer }}, "redirect"},
		{"no peer", "host-routing", wrong{after: func(_ *emu.Engine, _ *dataplane.Packet, v *dataplane.Verdict) { v.Flags = 0 }}, "redirect"},
		{"ingress", "pod-to-pod-local", wrong{after: func(_ *emu.Engine, _ *dataplane.Packet, v *dataplane.Verdict) { v.Flags = dataplane.RedirectIngress }}, "redirect"},
		{"first byte", "arp", wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) { p.Data[0] ^= 1 }}, "frame"},
		{"last byte", "encap", wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) { p.Data[len(p.Data)-1] ^= 1 }}, "frame"},
		{"length", "encap", wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) { p.Data = append(p.Data, 0) }}, "frame"},
		{"mark", "external", wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) { p.Mark ^= 1 << 16 }}, "mark"},
		{"tc_index", "encap", wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) { p.TCIndex = 1 }}, "tc_index"},
		{"packet type", "endpoint-routes", wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) { p.PktType ^= 3 }}, "packet type"},
		{"VNI", "encap", wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) { p.TunnelOut.ID++ }}, "tunnel key"},
		{"no key", "encap", wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) { p.TunnelOut.Present = false }}, "tunnel key"},
		{"outer address", "encap", wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) { p.TunnelOut.Remote[3]++ }}, "tunnel key"},
		{"outer TTL", "encap", wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) { p.TunnelOut.TTL-- }}, "tunnel key"},
		{"a draw too many", "encap", wrong{before: func(_ *dataplane.Packet, env *dataplane.Env) { env.NextRand() }}, "random numbers"},
		{"no draws", "service", wrong{before: func(_ *dataplane.Packet, env *dataplane.Env) { env.Drawn-- }}, "random numbers"},
		{"clock", "conntrack", wrong{before: func(_ *dataplane.Packet, env *dataplane.Env) { env.KtimeNS += 1e9 }}, "map changes"},
		{"entry changed", "conntrack", wrong{after: func(e *emu.Engine, _ *dataplane.Packet, _ *dataplane.Verdict) {
			for k := range e.Maps().CT4.All() {
				e.Maps().CT4.Ref(k).Flags ^= maps.CTDSR
				return
			}
		}}, "map changes"},
		{"entry too many", "encap", wrong{after: func(e *emu.Engine, _ *dataplane.Packet, _ *dataplane.Verdict) {
			_ = e.Maps().CT4.Set(&key, &maps.CTEntry{}, maps.Any)
		}}, "map changes"},
		{"entry too few", "encap", wrong{after: func(e *emu.Engine, _ *dataplane.Packet, _ *dataplane.Verdict) {
			for k := range e.Maps().CT4.All() {
				_ = e.Maps().CT4.Remove(k)
			}
		}}, "map changes"},
		{"agent's map written", "encap", wrong{after: func(e *emu.Engine, _ *dataplane.Packet, _ *dataplane.Verdict) {
			k := maps.NewEndpointKey([4]byte{9, 9, 9, 9})
			_ = e.Maps().LXC.Set(&k, &maps.EndpointInfo{}, maps.Any)
		}}, "map changes"},
		{"metric", "encap", wrong{after: func(e *emu.Engine, _ *dataplane.Packet, _ *dataplane.Verdict) {
			for k := range e.Maps().Metrics.All() {
				e.Maps().Metrics.Ref(k).Count++
			}
		}}, "metrics"},
		{"metric bytes", "encap", wrong{after: func(e *emu.Engine, _ *dataplane.Packet, _ *dataplane.Verdict) {
			for k := range e.Maps().Metrics.All() {
				e.Maps().Metrics.Ref(k).Bytes++
			}
		}}, "metrics"},
		{"metric direction", "encap", wrong{after: func(e *emu.Engine, _ *dataplane.Packet, _ *dataplane.Verdict) {
			k := maps.MetricsKey{Reason: 0, Dir: maps.MetricService}
			_ = e.Maps().Metrics.Set(&k, &maps.MetricsValue{Count: 1}, maps.Any)
		}}, "metrics"},
		{"policy counter", "encap", wrong{after: func(e *emu.Engine, _ *dataplane.Packet, _ *dataplane.Verdict) {
			e.Maps().Policy(1272).Ref(&maps.PolicyKey{Egress: maps.PolicyEgress}).Packets++
		}}, "policy counters"},
		{"policy entry", "encap", wrong{after: func(e *emu.Engine, _ *dataplane.Packet, _ *dataplane.Verdict) {
			e.Maps().Policy(1272).Ref(&maps.PolicyKey{Egress: maps.PolicyEgress}).Deny = 1
		}}, "policy counters"},
		{"no events", "encap", wrong{before: func(p *dataplane.Packet, _ *dataplane.Env) { p.Events = nil }}, "event 0"},
		{"event byte", "encap", wrong{before: func(p *dataplane.Packet, _ *dataplane.Env) { p.Hash = 1 }}, "event 0"},
		{"event too many", "encap", wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) {
			p.Events.Drop(trace.Drop{}, nil, 0)
		}}, "event 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := conformance.Replay(load(t, tt.group), newWrong(tt.w))
			if err != nil {
				t.Fatal(err)
			}
			fields := map[string]int{}
			for _, d := range r.Differences {
				fields[d.Field]++
				if d.Got == d.Want || d.Group != tt.group || d.Scenario == "" || d.Desc == "" {
					t.Errorf("no proper difference: %+v", d)
				}
			}
			if r.Differing == 0 || fields[tt.field] == 0 {
				t.Errorf("%s; differences by field %v, want some in %q", r, fields, tt.field)
			}
		})
	}
}

// TestScratchIsNotCompared: cb and queue mapping are no part of the contract.
func TestScratchIsNotCompared(t *testing.T) {
	t.Parallel()
	r, err := conformance.Replay(load(t, "encap"), newWrong(wrong{after: func(_ *emu.Engine, p *dataplane.Packet, _ *dataplane.Verdict) {
		p.CB, p.QueueMapping = [5]uint32{1, 2, 3, 4, 5}, 9
	}}))
	if err != nil || r.Differing != 0 || r.Steps == 0 {
		t.Errorf("%s, error %v, want no difference", r, err)
	}
}

// TestBlindEngine: what an engine cannot observe is counted, not compared.
func TestBlindEngine(t *testing.T) {
	t.Parallel()
	r, err := conformance.Replay(load(t, "encap"), func() (dataplane.Runner, error) {
		return &wrong{
			Engine: emu.New(maps.NewSet(maps.Sizes{})), caps: dataplane.Caps{},
			before: func(p *dataplane.Packet, _ *dataplane.Env) { p.Events = nil },
			after: func(_ *emu.Engine, p *dataplane.Packet, v *dataplane.Verdict) {
				v.Ifindex, p.PktType, p.TunnelOut = 0, 3-p.PktType, dataplane.TunnelKey{}
			},
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range r.Differences {
		t.Error(d)
	}
	want := map[string]int{"redirect": r.Steps, "packet type": r.Steps, "tunnel key": r.Steps, "events": r.Steps}
	if d := cmp.Diff(want, r.NotCompared); d != "" {
		t.Errorf("not compared (-want +got):\n%s", d)
	}
}

var errBroken = errors.New("broken")

func TestReplayErrors(t *testing.T) {
	t.Parallel()
	good := newWrong(wrong{})
	for _, tt := range []struct {
		name   string
		engine func() (dataplane.Runner, error)
		change func(v *conformance.Vectors)
		want   string
	}{
		{"no engine", func() (dataplane.Runner, error) { return nil, errBroken }, nil, "encap/"},
		{"engine fails", newWrong(wrong{err: errBroken}), nil, "step 0: broken"},
		{"unknown configuration", good, func(v *conformance.Vectors) { v.Groups[0].Config = "fast" }, `config "fast"`},
		{"unknown hook", good, func(v *conformance.Vectors) { v.Groups[0].Scenarios[0].Steps[0].Hook = "from-moon" }, `hook "from-moon"`},
		{"unknown device", good, func(v *conformance.Vectors) { v.Groups[0].Scenarios[0].Steps[0].Dev = "lxc9" }, `device "lxc9"`},
		{"unknown map", good, func(v *conformance.Vectors) { v.Groups[0].Scenarios[0].Add = []conformance.Entry{{Map: "cilium_moon"}} }, "cilium_moon"},
		{"unknown map to delete from", good, func(v *conformance.Vectors) { v.Groups[0].Scenarios[0].Del = []conformance.Entry{{Map: "cilium_moon"}} }, "cilium_moon"},
		{"bad entry", good, func(v *conformance.Vectors) {
			v.Groups[0].Scenarios[0].Add = []conformance.Entry{{Map: "cilium_lxc", Key: []byte{1}}}
		}, "update cilium_lxc 01"},
		{"bad key to delete", good, func(v *conformance.Vectors) {
			v.Groups[0].Scenarios[0].Steps[0].Del = []conformance.Entry{{Map: "cilium_lxc", Key: make([]byte, 3)}}
		}, "delete cilium_lxc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := load(t, "encap")
			if tt.change != nil {
				tt.change(v)
			}
			if _, err := conformance.Replay(v, tt.engine); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestDifferenceString(t *testing.T) {
	t.Parallel()
	d := conformance.Difference{Group: "g", Scenario: "s", Step: 2, Desc: "from-host@cilium_host x", Field: "mark", Got: "1", Want: "2"}
	const want = "g/s step 2 (from-host@cilium_host x): mark\n  got  1\n  want 2"
	if got := d.String(); got != want {
		t.Errorf("difference is %q, want %q", got, want)
	}
	r := conformance.Report{Steps: 5, Differing: 1}
	if got, want := r.String(), "5 steps replayed, 1 differ"; got != want {
		t.Errorf("report is %q, want %q", got, want)
	}
}
