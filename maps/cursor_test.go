package maps

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestCursorUnderChange lists a map in slices while entries come and go in between, and in the callback. Entries that stay
// are listed exactly once, and the listing ends.
func TestCursorUnderChange(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 3))
			const n = 300
			m, err := NewHash[uint32, uint32](Spec{Name: "test", MaxEntries: 1 << 20})
			must(t, err)
			v := uint32(0)
			for k := range uint32(2 * n) {
				must(t, m.Set(&k, &v, NoExist)) // even ones stay, odd ones go
			}
			seen := make(map[uint32]int)
			fresh := uint32(1 << 16)
			limit := 1 + r.IntN(40)
			slices := 0
			for c := (Cursor{}); !c.Done(); slices++ {
				count := 0
				must(t, m.Range(&c, limit, func(key, value []byte) bool {
					count++
					seen[le32(key)]++
					must(t, m.Update(key, value, Exist))
					fresh++
					must(t, m.Set(&fresh, &v, NoExist))
					if le32(key)%2 == 1 {
						must(t, m.Delete(key))
					}
					return r.IntN(20) != 0
				}))
				if count > limit {
					t.Fatalf("%d entries in a slice of %d", count, limit)
				}
				if slices > 20*n {
					t.Fatal("the listing does not end")
				}
				for range r.IntN(20) {
					k := 2*r.Uint32N(n) + 1
					_ = m.Remove(&k)
					fresh++
					must(t, m.Set(&fresh, &v, NoExist))
				}
			}
			for k := uint32(0); k < 2*n; k += 2 {
				if seen[k] != 1 {
					t.Errorf("entry %d was listed %d times", k, seen[k])
				}
			}
			m.check(t)
		})
	}
}

// TestCursorSlicesAreShort empties a large map and checks that a slice does not walk over all of it.
func TestCursorSlicesAreShort(t *testing.T) {
	t.Parallel()
	m, err := NewHash[uint32, uint32](Spec{Name: "test", MaxEntries: 10000})
	must(t, err)
	for k := range uint32(10000) {
		must(t, m.Set(&k, &k, NoExist))
	}
	for k := range uint32(9999) {
		must(t, m.Remove(&k))
	}
	var c Cursor
	found, slices := 0, 0
	for ; !c.Done(); slices++ {
		before := c.next
		must(t, m.Range(&c, 10, func(_, _ []byte) bool { found++; return true }))
		n := 0
		for i := before; i < c.next; i = m.after(i) {
			n++
		}
		if n > 10*slotsPerEntry {
			t.Errorf("a slice of 10 looked at %d slots", n)
		}
	}
	if found != 1 || slices > 10000/(10*slotsPerEntry)+1 {
		t.Errorf("found %d entries in %d slices", found, slices)
	}
}

// TestCursorResume checks the place that other stores keep in a cursor.
func TestCursorResume(t *testing.T) {
	t.Parallel()
	var c Cursor
	if c.Resume() != nil || c.Done() {
		t.Error("a new cursor is somewhere")
	}
	key := []byte{1, 2}
	c.SetResume(key, false)
	key[0] = 9
	if got := c.Resume(); len(got) != 2 || got[0] != 1 || c.Done() {
		t.Errorf("resume at %v", got)
	}
	c.SetResume(nil, true)
	if !c.Done() {
		t.Error("not done")
	}
}

// TestAllUnderChange deletes every entry while all are listed.
func TestAllUnderChange(t *testing.T) {
	t.Parallel()
	s := NewSet(Sizes{})
	for i := range 100 {
		k := ctKeyOf(i)
		must(t, s.CT4.Set(&k, &CTEntry{RxBytes: uint64(i)}, NoExist))
	}
	n := 0
	for k, v := range s.CT4.All() {
		if v.RxBytes != uint64(n) {
			t.Errorf("entry %d out of order: %d", n, v.RxBytes)
		}
		n++
		must(t, s.CT4.Remove(k))
		if n == 50 {
			break
		}
	}
	if n != 50 || s.CT4.Len() != 50 {
		t.Errorf("%d listed, %d left", n, s.CT4.Len())
	}
}

// TestRefSurvivesInserts holds pointers from Ref while a map grows from empty to large.
func TestRefSurvivesInserts(t *testing.T) {
	t.Parallel()
	s := NewSet(Sizes{})
	const n = 20000
	refs := make([]*CTEntry, n)
	for i := range n {
		k := ctKeyOf(i)
		must(t, s.CT4.Set(&k, &CTEntry{}, NoExist))
		refs[i] = s.CT4.Ref(&k)
		refs[i].RxBytes = uint64(i)
	}
	for i := range n {
		k := ctKeyOf(i)
		if got := s.CT4.Ref(&k); got != refs[i] || got.RxBytes != uint64(i) {
			t.Fatalf("entry %d has moved", i)
		}
	}
	s.CT4.check(t)
}
