package compare_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/dataplane/compare/generate"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// wrong is an engine that does one thing otherwise than the emulator. Its maps are
// behind maps.Store, as those of an engine whose maps are the kernel's, unless it is
// said to be journalled.
type wrong struct {
	*emu.Engine
	after func(h dataplane.Hook, p *dataplane.Packet, v *dataplane.Verdict, set *maps.Set)
	caps  dataplane.Caps
}

func (w *wrong) Caps() dataplane.Caps { return w.caps }

// Maps hides the emulator's method of that name: comparisons must do without a journal.
func (w *wrong) Maps() {}

func (w *wrong) Run(h dataplane.Hook, p *dataplane.Packet, env *dataplane.Env) (dataplane.Verdict, error) {
	set := w.Engine.Maps()
	v, err := w.Engine.Run(h, p, env)
	w.after(h, p, &v, set)
	return v, err
}

func newWrong(caps dataplane.Caps, after func(dataplane.Hook, *dataplane.Packet, *dataplane.Verdict, *maps.Set)) compare.Engine {
	return compare.Engine{Name: "wrong", Source: "for a test", New: func() (dataplane.Runner, error) {
		return &wrong{Engine: emu.New(maps.NewSet(maps.Sizes{})), after: after, caps: caps}, nil
	}}
}

// everything is what a virtual machine can observe, but for its steps.
func everything() dataplane.Caps {
	return dataplane.Caps{RedirectTarget: true, TunnelKey: true, PktType: true, Events: true}
}

// TestFindsWrong has an engine for each kind of thing that is compared, and wants it
// found, named and shrunk.
func TestFindsWrong(t *testing.T) {
	t.Parallel()
	deliver := func(h dataplane.Hook, v *dataplane.Verdict) bool {
		return h.Prog == dataplane.FromContainer && v.Action == code.Redirect
	}
	for _, tt := range []struct {
		name  string
		after func(h dataplane.Hook, p *dataplane.Packet, v *dataplane.Verdict, set *maps.Set)
		class compare.Class
		stage string
		field string
	}{
		{"verdict", func(_ dataplane.Hook, _ *dataplane.Packet, v *dataplane.Verdict, _ *maps.Set) {
			if v.Drop == code.DropInvalidSIP {
				*v = dataplane.Verdict{Action: code.OK}
			}
		}, compare.ClassVerdict, "__tail_handle_ipv4", "return code"},
		{"reason", func(_ dataplane.Hook, _ *dataplane.Packet, v *dataplane.Verdict, _ *maps.Set) {
			if v.Drop == code.DropNoService {
				v.Drop = code.DropInvalid
			}
		}, compare.ClassVerdict, "lb4_local", "drop reason"},
		{"target", func(h dataplane.Hook, _ *dataplane.Packet, v *dataplane.Verdict, _ *maps.Set) {
			if deliver(h, v) && v.Ifindex != h.Ifindex && v.Ifindex > 5 && v.Flags == 0 {
				v.Flags = dataplane.RedirectPeer
			}
		}, compare.ClassVerdict, "redirect_ep", "redirect flags"},
		{"TTL", func(h dataplane.Hook, p *dataplane.Packet, v *dataplane.Verdict, _ *maps.Set) {
			if ip := p.IPv4(); deliver(h, v) && ip != nil && ip.TTL() == 63 {
				ip.SetTTL(62)
			}
		}, compare.ClassBytes, "ipv4_local_delivery", "frame ip.ttl"},
		{"lifetime", func(_ dataplane.Hook, _ *dataplane.Packet, _ *dataplane.Verdict, set *maps.Set) {
			for c := (maps.Cursor{}); !c.Done(); {
				_ = set.CT4.Range(&c, 0, func(k, v []byte) bool {
					var e maps.CTEntry
					copy(maps.Bytes(&e), v)
					// An entry of more packets has had its lifetime from a lookup.
					if e.Lifetime%2 == 0 && e.RxPackets+e.TxPackets == 1 {
						w := bytes.Clone(v)
						w[32]++
						_ = set.CT4.Update(k, w, maps.Any)
					}
					return true
				})
			}
		}, compare.ClassState, "ct_create4", "Lifetime"},
		{"entry of its own", func(h dataplane.Hook, p *dataplane.Packet, _ *dataplane.Verdict, set *maps.Set) {
			if h.Prog == dataplane.ToOverlay {
				k := maps.CTKey{Proto: header.ProtoUDP}
				_ = set.CTAny4.Set(&k, &maps.CTEntry{}, maps.Any)
			}
			_ = p
		}, compare.ClassState, "to_overlay", "cilium_ct_any4_global"},
		{"notification", func(h dataplane.Hook, p *dataplane.Packet, v *dataplane.Verdict, _ *maps.Set) {
			if h.Prog == dataplane.FromHost && v.Drop == code.DropUnroutable {
				p.Events.Trace(trace.Trace{}, p.Data, 0)
			}
		}, compare.ClassEvent, "tail_handle_ipv4", "notification"},
		{"mark", func(h dataplane.Hook, p *dataplane.Packet, v *dataplane.Verdict, _ *maps.Set) {
			if h.Prog == dataplane.FromContainer && v.Action == code.OK && p.Mark != 0 {
				p.Mark ^= 1 << 20
			}
		}, compare.ClassBytes, "handle_ipv4_from_lxc", "mark"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := compare.Run(context.Background(), &compare.Options{
				Left: emulated(), Right: newWrong(everything(), tt.after), Workers: 1, Shrink: 300, Distinct: 1,
			}, generate.Feed(&generate.Options{Seed: 7, Packets: 20000}))
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			_ = r.WriteText(&text)
			t.Log(text.String())
			if len(r.Differences) == 0 {
				t.Fatal("not found")
			}
			d := r.Differences[0]
			if d.Class != tt.class || d.Stage.Func != tt.stage || !hasField(d, tt.field) {
				t.Errorf("found %s in %s, want %s in %s with field %s", d.Class, d.Stage, tt.class, tt.stage, tt.field)
			}
			if !d.Shrunk || d.Packets > 3 {
				t.Errorf("shrunk %t to %d packets, want at most 3", d.Shrunk, d.Packets)
			}
			playAgain(t, d, tt.after)
		})
	}
}

func hasField(d *compare.Difference, part string) bool {
	for _, f := range d.Fields {
		if bytes.Contains([]byte(f.Field), []byte(part)) {
			return true
		}
	}
	return false
}

// playAgain writes the reproduction, reads it and wants the same difference of it.
func playAgain(t *testing.T, d *compare.Difference, after func(dataplane.Hook, *dataplane.Packet, *dataplane.Verdict, *maps.Set)) {
	t.Helper()
	var text bytes.Buffer
	if err := d.Repro.Write(&text); err != nil {
		t.Fatal(err)
	}
	s, err := compare.Parse("again.txtar", text.Bytes(), nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text.String())
	}
	t.Log(text.String())
	r, err := compare.Run(context.Background(), &compare.Options{Left: emulated(), Right: newWrong(everything(), after)}, compare.FeedOf("again.txtar", s))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Differences) == 0 || r.Differences[len(r.Differences)-1].Class != d.Class {
		t.Errorf("the written scenario shows %d differences, want one of class %s", len(r.Differences), d.Class)
	}
	var twice bytes.Buffer
	if err := s.Write(&twice); err != nil || !bytes.Equal(text.Bytes()[bytes.IndexByte(text.Bytes(), 'n'):], twice.Bytes()[bytes.IndexByte(twice.Bytes(), 'n'):]) {
		t.Errorf("written again (%v) it is another text:\n%s", err, twice.String())
	}
}
