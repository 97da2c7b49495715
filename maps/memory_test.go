package maps

import (
	"strings"
	"testing"
	"text/tabwriter"
	"unsafe"
)

// kernelCost is what a map takes in the kernel, in bytes: for each entry, and for the map as a whole at max_entries.
type kernelCost struct {
	entry float64
	fixed float64
}

// kernelBytes computes the memory of a kernel map, from the sizes of the kernel's structs and its own accounting
// (htab_map_mem_usage, trie_mem_usage, array_map_mem_usage in kernel/bpf). It is computed, not measured; TestPrivilegedKernelMemory
// compares part of it with what the running kernel (6.18) reports.
//
//	hash element      struct htab_elem 48 + key and value, each rounded up to 8; + 8 (list node of the allocator) without preallocation
//	LRU element       the same 48, which hold the LRU node; always preallocated, max_entries of them
//	per-CPU element   key and an 8-byte pointer instead of the value; + 16 and the value on each CPU, here one
//	bucket            16 bytes each, as many as max_entries rounded up to a power of two
//	trie node         struct lpm_trie_node 24 (40 in older kernels) + the key's data and the value; nothing else
//	array             the value rounded up to 8 for each index
func kernelBytes(z Spec) kernelCost {
	up := func(n uint32) float64 { return float64((n + 7) &^ 7) }
	buckets := 1.0
	for buckets < float64(z.MaxEntries) {
		buckets *= 2
	}
	switch z.Type {
	case TypeHash:
		return kernelCost{entry: 48 + up(z.KeySize) + up(z.ValueSize) + 8, fixed: 16 * buckets}
	case TypePerCPUHash:
		return kernelCost{entry: 48 + up(z.KeySize) + 8 + 8 + 16 + up(z.ValueSize), fixed: 16 * buckets}
	case TypeLRUHash:
		return kernelCost{fixed: 16*buckets + float64(z.MaxEntries)*(48+up(z.KeySize)+up(z.ValueSize))}
	case TypeLPMTrie:
		return kernelCost{entry: 24 + float64(z.KeySize-4) + float64(z.ValueSize)}
	}
	return kernelCost{fixed: float64(z.MaxEntries) * up(z.ValueSize)}
}

// bytesOf returns the memory that a table holds.
func bytesOf[K comparable, V any](t *table[K, V]) float64 {
	var e entry[K, V]
	n := float64(0)
	for _, c := range t.chunks {
		n += float64(len(c)) * float64(unsafe.Sizeof(e))
	}
	n += float64(len(t.index.segs)) * float64(unsafe.Sizeof(segment{}))
	for _, s := range t.index.segs {
		n += float64(len(s.slots)) * 8
	}
	return n
}

// TestBytesPerEntry fills each map of a node, logs bytes per entry here and in the kernel, and holds ours to a bound: twice the
// kernel's. Run it with -v for the figures.
func TestBytesPerEntry(t *testing.T) {
	t.Parallel()
	s := NewSet(Sizes{})
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 5, 0, 3, ' ', 0)
	line := func(cells ...any) {
		for _, c := range cells {
			_, _ = w.Write([]byte(sprint(c) + "\t"))
		}
		_, _ = w.Write([]byte("\n"))
	}
	line("map", "type", "entries", "empty", "bytes/entry", "kernel bytes/entry (computed)")
	measure(t, line, &s.LXC.table)
	measure(t, line, &s.IPCache.table)
	measure(t, line, &s.Tunnel.table)
	measure(t, line, &s.CT4.table)
	measure(t, line, &s.CTAny4.table)
	measure(t, line, &s.Frags.table)
	measure(t, line, &s.Services.table)
	measure(t, line, &s.Backends.table)
	measure(t, line, &s.RevNAT.table)
	measure(t, line, &s.Metrics.table)
	measure(t, line, &s.AddPolicy(1).table)
	_ = w.Flush()
	t.Logf("\n%s", &b)
}

// measure fills a table to half of its size and to the whole, and writes a line for each.
func measure[K comparable, V any](t *testing.T, line func(cells ...any), m *table[K, V]) {
	t.Helper()
	empty := bytesOf(m)
	var v V
	n := uint32(0)
	for _, want := range []uint32{m.spec.MaxEntries / 2, m.spec.MaxEntries} {
		for ; n < want; n++ {
			var k K
			key := view(&k)
			at := 0
			if m.lens != nil {
				key[0], at = byte(m.lens.longest), 4
			}
			for i := 0; i < 3 && at+i < len(key); i++ {
				key[at+i] = byte(n >> (8 * i))
			}
			slot, e := m.lookup(&k)
			must(t, m.set(slot, e, &k, &v, NoExist))
		}
		z := kernelBytes(m.spec)
		ours, theirs := bytesOf(m)/float64(n), z.entry+z.fixed/float64(n)
		line(m.spec.Name, m.spec.Type, n, empty, ours, theirs)
		if ours > 2*theirs {
			t.Errorf("%s: %.0f bytes for an entry, the kernel takes %.0f", m.spec.Name, ours, theirs)
		}
	}
}
