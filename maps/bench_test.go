package maps

import (
	"fmt"
	"testing"
)

func sprint(v any) string {
	if f, ok := v.(float64); ok {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprint(v)
}

// sizes are the numbers of entries that lookups are measured at.
var sizes = [...]int{100, 10_000, 1_000_000}

// shuffled returns where in a map of n entries the i-th lookup goes: everywhere, in no order that a cache could guess. n has no factor
// in common with the step.
func shuffled(i, n int) int { return int(uint64(i) * 2654435761 % uint64(n)) }

func ctKeyOf(i int) CTKey {
	return CTKey{DAddr: [4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}, SPort: [2]byte{byte(i), byte(i >> 8)}, Proto: 6}
}

// BenchmarkLookup measures Ref by container, number of entries, and whether the key is there.
func BenchmarkLookup(b *testing.B) {
	for _, n := range sizes {
		z := Spec{Name: "bench", MaxEntries: uint32(n)}
		b.Run(fmt.Sprintf("Hash/%d", n), func(b *testing.B) {
			m, err := NewHash[CTKey, CTEntry](z)
			must(b, err)
			keys := fill(b, n, func(k *CTKey) error { return m.Set(k, &CTEntry{}, NoExist) })
			lookups(b, keys, m.Ref)
		})
		b.Run(fmt.Sprintf("Hash24/%d", n), func(b *testing.B) {
			m, err := NewHash[IPCacheKey, RemoteEndpointInfo](z)
			must(b, err)
			keys := make([]IPCacheKey, 2*n)
			for i := range keys {
				keys[i] = NewIPCacheKey([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}, 32)
				if i < n {
					must(b, m.Set(&keys[i], &RemoteEndpointInfo{}, NoExist))
				}
			}
			lookups(b, keys, m.Ref)
		})
		b.Run(fmt.Sprintf("LRU/%d", n), func(b *testing.B) {
			m, err := NewLRU[CTKey, CTEntry](z)
			must(b, err)
			keys := fill(b, n, func(k *CTKey) error { return m.Set(k, &CTEntry{}, NoExist) })
			lookups(b, keys, m.Ref)
		})
		b.Run(fmt.Sprintf("LPM/%d", n), func(b *testing.B) {
			z := z
			z.MaxEntries += 2
			z.Flags = FlagNoPrealloc
			m, err := NewLPM[IPCacheKey, RemoteEndpointInfo](z)
			must(b, err)
			// As on a node: addresses, one CIDR, and the world.
			for _, k := range []IPCacheKey{NewIPCacheKey([4]byte{}, 0), NewIPCacheKey([4]byte{93, 184, 216, 0}, 24)} {
				must(b, m.Set(&k, &RemoteEndpointInfo{}, Any))
			}
			keys := make([]IPCacheKey, 2*n)
			for i := range keys {
				keys[i] = NewIPCacheKey([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}, 32)
				if i < n {
					must(b, m.Set(&keys[i], &RemoteEndpointInfo{}, NoExist))
				}
			}
			lookups(b, keys, m.Ref) // a miss ends at 0.0.0.0/0
		})
	}
}

// fill sets n keys and returns these and as many that are not there.
func fill(b *testing.B, n int, set func(k *CTKey) error) []CTKey {
	b.Helper()
	keys := make([]CTKey, 2*n)
	for i := range keys {
		keys[i] = ctKeyOf(i)
		if i < n {
			must(b, set(&keys[i]))
		}
	}
	return keys
}

// lookups measures hits on the first half of keys and misses on the second.
func lookups[K comparable, V any](b *testing.B, keys []K, ref func(*K) *V) {
	b.Helper()
	n := len(keys) / 2
	for name, half := range map[string][]K{"hit": keys[:n], "miss": keys[n:]} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i, found := 0, 0
			for b.Loop() {
				if ref(&half[shuffled(i, n)]) != nil {
					found++
				}
				i++
			}
			if name == "hit" && found != i {
				b.Fatalf("found %d of %d", found, i)
			}
		})
	}
}

// BenchmarkSet measures updates of an existing entry, and deleting and inserting.
func BenchmarkSet(b *testing.B) {
	for _, n := range sizes {
		m, err := NewLRU[CTKey, CTEntry](Spec{Name: "bench", MaxEntries: uint32(n)})
		must(b, err)
		keys := fill(b, n, func(k *CTKey) error { return m.Set(k, &CTEntry{}, NoExist) })
		v := CTEntry{}
		b.Run(fmt.Sprintf("LRU/%d/existing", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := m.Set(&keys[shuffled(i, n)], &v, Exist); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("LRU/%d/delete and insert", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k := &keys[shuffled(i, n)]
				if err := m.Remove(k); err != nil {
					b.Fatal(err)
				}
				if err := m.Set(k, &v, NoExist); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("LRU/%d/evict", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := m.Set(&keys[i%len(keys)], &v, Any); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkJournal measures one packet's work on conntrack: two references of a flow and a rollback, against the same without one.
func BenchmarkJournal(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("recording=%t", on), func(b *testing.B) {
			s := NewSet(Sizes{})
			for i := range 10000 {
				k := ctKeyOf(i)
				must(b, s.CT4.Set(&k, &CTEntry{}, NoExist))
			}
			var j Journal
			if on {
				s.Record(&j)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k, l := ctKeyOf(shuffled(i, 10000)), ctKeyOf(shuffled(i+1, 10000))
				s.CT4.Ref(&k).RxPackets++
				s.CT4.Ref(&l).TxPackets++
				if on {
					if err := j.Rollback(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
