package maps

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// picture is everything of a set that a rollback must bring back: entries and LRU order by map name.
type picture map[string]mapPicture

type mapPicture struct {
	Entries map[string]string
	Order   []string
}

func takePicture(tb testing.TB, s *Set) picture {
	tb.Helper()
	out := make(picture)
	for _, name := range s.Names() {
		m, err := s.Lookup(name)
		if err != nil {
			tb.Fatal(err)
		}
		p := mapPicture{Entries: storeContent(tb, m, 0)}
		if c, ok := m.(interface{ check(testing.TB) []string }); ok {
			p.Order = c.check(tb)
		}
		out[name] = p
	}
	return out
}

// diffPictures lists what changed between two pictures, as Journal.Diff should.
func diffPictures(a, b picture) []Delta {
	var out []Delta
	names := make(map[string]bool)
	for n := range a {
		names[n] = true
	}
	for n := range b {
		names[n] = true
	}
	for n := range names {
		was, now := a[n].Entries, b[n].Entries
		for k, v := range was {
			w, ok := now[k]
			switch {
			case !ok:
				out = append(out, Delta{Map: n, Op: Del, Key: []byte(k), Old: []byte(v)})
			case v != w:
				out = append(out, Delta{Map: n, Op: Change, Key: []byte(k), Old: []byte(v), New: []byte(w)})
			}
		}
		for k, v := range now {
			if _, ok := was[k]; !ok {
				out = append(out, Delta{Map: n, Op: Add, Key: []byte(k), New: []byte(v)})
			}
		}
	}
	slices.SortFunc(out, func(a, b Delta) int {
		if a.Map != b.Map {
			return bytes.Compare([]byte(a.Map), []byte(b.Map))
		}
		return bytes.Compare(a.Key, b.Key)
	})
	return out
}

// smallSizes makes maps fill up and evict quickly.
func smallSizes() Sizes {
	return Sizes{
		LXC: 9, IPCache: 12, Tunnel: 4, CT4: 6, CTAny4: 3, Frags: 2, Services: 9, Backends: 9, RevNAT: 9, Metrics: 5, Policy: 7, PolicyCall: 600,
	}
}

// disturb does one random operation on a set, through the methods a program and an agent use. Prefixes are always normal, so that
// the bytes of a key name the entry.
func disturb(r *rand.Rand, s *Set) {
	b := byte(r.UintN(10))
	f := UpdateFlag(r.UintN(3))
	ip := [4]byte{10, 0, b, 0}
	switch r.UintN(16) {
	case 0, 1, 2:
		_ = s.CT4.Set(&CTKey{DAddr: ip}, &CTEntry{RxBytes: r.Uint64N(4)}, f)
	case 3, 4:
		if e := s.CT4.Ref(&CTKey{DAddr: ip}); e != nil && r.UintN(2) == 0 {
			e.RxPackets++
		}
	case 5:
		_ = s.CT4.Remove(&CTKey{DAddr: ip})
	case 6:
		_ = s.CTAny4.Set(&CTKey{DAddr: ip}, &CTEntry{}, Any)
		_ = s.Frags.Set(&FragKey{DAddr: ip}, &FragPorts{SPort: [2]byte{b}}, f)
	case 7:
		k := NewIPCacheKey(ip, 24)
		if r.UintN(2) == 0 {
			k = NewIPCacheKey([4]byte{10, 0, b & 8, 0}, 21)
		}
		if r.UintN(3) == 0 {
			_ = s.IPCache.Remove(&k)
		} else {
			_ = s.IPCache.Set(&k, &RemoteEndpointInfo{SecLabel: r.Uint32N(3)}, f)
		}
	case 8:
		k := NewIPCacheKey(ip, 32)
		if e := s.IPCache.Ref(&k); e != nil {
			e.NodeID++
		}
	case 9:
		k := MetricsKey{Reason: b, Dir: MetricEgress}
		if e := s.Metrics.Ref(&k); e != nil {
			e.Count++
		} else {
			_ = s.Metrics.Set(&k, &MetricsValue{Count: 1}, NoExist)
		}
	case 10:
		s.TailCallBuffer.Ref(0).Monitor = r.Uint32N(3)
	case 11:
		if _, ok := s.PolicyCall.Prog(uint32(b) * 60); ok && r.UintN(2) == 0 {
			_ = s.PolicyCall.Remove(uint32(b) * 60)
		} else {
			_ = s.PolicyCall.Set(uint32(b)*60, 1+r.Uint32N(3))
		}
	case 12:
		m := s.AddPolicy(uint16(b & 3))
		_ = m.Set(&PolicyKey{SecLabel: r.Uint32N(9)}, &PolicyEntry{Packets: r.Uint64N(2)}, f)
	case 13:
		if m := s.Policy(uint16(b & 3)); m != nil {
			if e := m.Ref(&PolicyKey{SecLabel: r.Uint32N(9)}); e != nil {
				e.Packets++
			}
			_ = m.Remove(&PolicyKey{SecLabel: r.Uint32N(9)})
		}
	case 14:
		if r.UintN(3) == 0 {
			s.RemovePolicy(uint16(b & 3))
			s.RemoveCalls(CallsName(uint16(b & 1)))
		}
	default:
		_ = s.AddCalls(CallsName(uint16(b&1))).Set(uint32(b), 1+r.Uint32N(2))
	}
}

// TestJournalProperties records random changes and checks that Diff lists exactly them and that Rollback undoes them all, also
// with a second journal stacked on the first.
func TestJournalProperties(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 2))
			s := NewSet(smallSizes())
			var first, second Journal
			for range 4 {
				for range r.IntN(60) {
					disturb(r, s)
				}
				before := takePicture(t, s)
				s.Record(&first)
				for range r.IntN(60) {
					disturb(r, s)
				}
				between := takePicture(t, s)
				if d := cmp.Diff(diffPictures(before, between), first.Diff()); d != "" {
					t.Fatalf("first diff (-want +got):\n%s", d)
				}
				s.Record(&second)
				for range r.IntN(60) {
					disturb(r, s)
				}
				if d := cmp.Diff(diffPictures(between, takePicture(t, s)), second.Diff()); d != "" {
					t.Fatalf("second diff (-want +got):\n%s", d)
				}
				if second.Touched() > 0 && !errors.Is(first.Rollback(), ErrOutOfOrder) {
					t.Fatal("a journal was rolled back below another one")
				}
				back(t, s, &second, between)
				if r.IntN(2) == 0 {
					back(t, s, &first, before)
				} else {
					first.Reset()
				}
				second.Reset()
				if r.IntN(2) == 0 {
					s.Record(nil)
				}
			}
			s.Record(nil)
			first.Reset()
			second.Reset()
			checkNothingKept(t, s)
		})
	}
}

// back rolls a journal back and compares the set with how it was.
func back(t *testing.T, s *Set, j *Journal, want picture) {
	t.Helper()
	if err := j.Rollback(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, takePicture(t, s)); d != "" {
		t.Fatalf("after rollback (-want +got):\n%s", d)
	}
	if d := j.Diff(); len(d) != 0 {
		t.Fatalf("diff after rollback: %v", d)
	}
}

// checkNothingKept checks that journals which were reset hold no slots back.
func checkNothingKept(t *testing.T, s *Set) {
	t.Helper()
	for i := uint32(0); i < s.CT4.used; i = s.CT4.after(i) {
		if m := s.CT4.at(i).mark; m != 0 && m&liveBit == 0 {
			t.Errorf("slot %d is still kept by record %d", i, m)
		}
	}
}

// TestJournalEviction undoes an eviction: the evicted entry comes back to the old end of the order.
func TestJournalEviction(t *testing.T) {
	t.Parallel()
	s := NewSet(Sizes{CT4: 3})
	key := func(n byte) *CTKey { return &CTKey{DAddr: [4]byte{n}} }
	for n := range byte(3) {
		if err := s.CT4.Set(key(n), &CTEntry{RxPackets: uint64(n)}, Any); err != nil {
			t.Fatal(err)
		}
	}
	old := s.CT4.Ref(key(0)) // order is now 0 2 1
	var j Journal
	s.Record(&j)
	s.CT4.Ref(key(2))
	if err := s.CT4.Set(key(7), &CTEntry{}, NoExist); err != nil { // evicts 1
		t.Fatal(err)
	}
	if err := s.CT4.Set(key(1), &CTEntry{RxPackets: 9}, NoExist); err != nil { // evicts 0
		t.Fatal(err)
	}
	var ops []string
	for _, d := range j.Diff() {
		ops = append(ops, fmt.Sprintf("%s %s %d", d.Map, d.Op, d.Key[0]))
	}
	if d := cmp.Diff([]string{"cilium_ct4_global del 0", "cilium_ct4_global set 1", "cilium_ct4_global add 7"}, ops); d != "" {
		t.Errorf("diff (-want +got):\n%s", d)
	}
	if err := j.Rollback(); err != nil {
		t.Fatal(err)
	}
	want := []string{string(raw(*key(0))), string(raw(*key(2))), string(raw(*key(1)))}
	if d := cmp.Diff(want, s.CT4.check(t)); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
	if got := s.CT4.Ref(key(0)); got != old {
		t.Error("the entry is not where pointers from before found it")
	}
}

// TestJournalGoesOn checks that a journal which recorded through a rollback or a reset remembers from there.
func TestJournalGoesOn(t *testing.T) {
	t.Parallel()
	s := NewSet(smallSizes())
	var j Journal
	k := CTKey{Proto: 6}
	s.Record(&j)
	for round := range uint64(3) {
		if err := s.CT4.Set(&k, &CTEntry{RxBytes: round}, Any); err != nil {
			t.Fatal(err)
		}
		if n := len(j.Diff()); n != 1 {
			t.Errorf("round %d: %d changes, want 1", round, n)
		}
		if round == 1 {
			j.Reset()
		} else if err := j.Rollback(); err != nil {
			t.Fatal(err)
		}
		if n := len(j.Diff()); n != 0 {
			t.Errorf("round %d: %d changes left", round, n)
		}
	}
	if e := s.CT4.Ref(&k); e == nil || e.RxBytes != 1 {
		t.Errorf("entry is %v, want the one that was kept", e)
	}
}

// TestJournalRefuses lists the uses of a journal that cannot work, and that they change nothing.
func TestJournalRefuses(t *testing.T) {
	t.Parallel()
	k, v := CTKey{Proto: 6}, CTEntry{}
	recorded := func() (*Set, *Journal) {
		s, j := NewSet(smallSizes()), &Journal{}
		s.Record(j)
		_ = s.CT4.Set(&k, &v, Any)
		return s, j
	}
	tests := []struct {
		name string
		run  func() (*Set, error)
	}{
		{"never recorded", func() (*Set, error) { return NewSet(Sizes{}), new(Journal).Rollback() }},
		{"changed since without a journal", func() (*Set, error) {
			s, j := recorded()
			s.Record(nil)
			_ = s.CT4.Remove(&k)
			return s, j.Rollback()
		}},
		{"kept by a later reset", func() (*Set, error) {
			s, j := recorded()
			var later Journal
			s.Record(&later)
			_ = s.CT4.Remove(&k)
			later.Reset()
			return s, j.Rollback()
		}},
		{"a later journal stopped", func() (*Set, error) {
			s, j := recorded()
			var later Journal
			s.Record(&later)
			_ = s.CT4.Remove(&k)
			s.Record(nil)
			return s, j.Rollback()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := tt.run()
			if !errors.Is(err, ErrOutOfOrder) {
				t.Errorf("error %v, want ErrOutOfOrder", err)
			}
			s.CT4.check(t)
			if s.CT4.Len() != 0 {
				t.Errorf("%d entries, want 0", s.CT4.Len())
			}
		})
	}
}

// TestJournalOfAnotherSet checks that recording a second set takes the journal away from the first.
func TestJournalOfAnotherSet(t *testing.T) {
	t.Parallel()
	a, b := NewSet(smallSizes()), NewSet(smallSizes())
	var j Journal
	a.Record(&j)
	b.Record(&j)
	if err := a.CT4.Set(&CTKey{}, &CTEntry{}, Any); err != nil {
		t.Fatal(err)
	}
	if len(j.Diff()) != 0 || a.Recording() != nil || b.Recording() != &j {
		t.Error("the first set still records")
	}
}

// TestJournalPrefix updates a prefix under another spelling: one change, which shows the new key.
func TestJournalPrefix(t *testing.T) {
	t.Parallel()
	s := NewSet(smallSizes())
	k := NewIPCacheKey([4]byte{10, 1, 2, 3}, 8)
	if err := s.IPCache.Set(&k, &RemoteEndpointInfo{SecLabel: 1}, Any); err != nil {
		t.Fatal(err)
	}
	before := takePicture(t, s)
	var j Journal
	s.Record(&j)
	other := NewIPCacheKey([4]byte{10, 9, 9, 9}, 8)
	if err := s.IPCache.Set(&other, &RemoteEndpointInfo{SecLabel: 1}, Exist); err != nil {
		t.Fatal(err)
	}
	d := j.Diff()
	if len(d) != 1 || d[0].Op != Change || !bytes.Equal(d[0].Key, raw(other)) {
		t.Errorf("diff %v", d)
	}
	if err := s.IPCache.Remove(&k); err != nil {
		t.Fatal(err)
	}
	if d := j.Diff(); len(d) != 1 || d[0].Op != Del || !bytes.Equal(d[0].Key, raw(k)) {
		t.Errorf("diff after removal %v", d)
	}
	back(t, s, &j, before)
}

// TestJournalCost checks that undoing one change in a large map looks at few entries: the pre-images are those touched.
func TestJournalCost(t *testing.T) {
	t.Parallel()
	s := NewSet(Sizes{})
	for i := range 20000 {
		k := CTKey{DAddr: [4]byte{byte(i), byte(i >> 8)}}
		if err := s.CT4.Set(&k, &CTEntry{}, NoExist); err != nil {
			t.Fatal(err)
		}
	}
	var j Journal
	s.Record(&j)
	k := CTKey{DAddr: [4]byte{1, 1}}
	for range 1000 {
		s.CT4.Ref(&k).RxPackets++
	}
	if n := len(s.CT4.rec.pre); n != 1 || j.Touched() != 1 {
		t.Errorf("%d pre-images in %d maps, want 1 in 1", n, j.Touched())
	}
}

func TestOpString(t *testing.T) {
	t.Parallel()
	for o, want := range map[Op]string{Add: "add", Change: "set", Del: "del", 9: "op 9"} {
		if got := o.String(); got != want {
			t.Errorf("%d: %q, want %q", uint8(o), got, want)
		}
	}
}
