package maps

import "testing"

// TestAllocs checks that steady use allocates nothing. It must not run beside other tests.
func TestAllocs(t *testing.T) {
	const n = 500
	s := NewSet(Sizes{CT4: n, IPCache: 2 * n, LXC: 2 * n})
	ct, ip, ep := make([]CTKey, 2*n), make([]IPCacheKey, n), make([]EndpointKey, n)
	for i := range ct {
		ct[i] = ctKeyOf(i)
	}
	for i := range n {
		ip[i] = NewIPCacheKey([4]byte{10, 1, byte(i >> 8), byte(i)}, 32-uint8(i%3)*8)
		ep[i] = NewEndpointKey([4]byte{10, 2, byte(i >> 8), byte(i)})
		must(t, s.CT4.Set(&ct[i], &CTEntry{}, Any))
		must(t, s.IPCache.Set(&ip[i], &RemoteEndpointInfo{}, Any))
		must(t, s.LXC.Set(&ep[i], &EndpointInfo{}, Any))
	}
	policy := s.AddPolicy(7)
	must(t, policy.Set(&PolicyKey{}, &PolicyEntry{}, Any))
	must(t, s.PolicyCall.Set(7, 3))
	i := 0
	next := func() int { i = (i + 1) % n; return i }
	tests := []struct {
		name string
		run  func()
	}{
		{"ref in a hash", func() { s.LXC.Ref(&ep[next()]).Flags++ }},
		{"miss in a hash", func() { s.LXC.Ref(&EndpointKey{IP: [4]byte{byte(next())}}) }},
		{"set in a hash", func() { _ = s.LXC.Set(&ep[next()], &EndpointInfo{}, Exist) }},
		{"delete and insert in a hash", func() { k := &ep[next()]; _ = s.LXC.Remove(k); _ = s.LXC.Set(k, &EndpointInfo{}, NoExist) }},
		{"ref in an LRU", func() { s.CT4.Ref(&ct[next()]) }},
		{"set in an LRU", func() { _ = s.CT4.Set(&ct[next()], &CTEntry{}, Any) }},
		{"delete and insert in an LRU", func() { k := &ct[next()]; _ = s.CT4.Remove(k); _ = s.CT4.Set(k, &CTEntry{}, NoExist) }},
		{"evict", func() { _ = s.CT4.Set(&ct[n+next()], &CTEntry{}, Any); _ = s.CT4.Set(&ct[next()], &CTEntry{}, Any) }},
		{"ref in a trie", func() { s.IPCache.Ref(&ip[next()]) }},
		{"miss in a trie", func() { k := NewIPCacheKey([4]byte{172, 16, 0, byte(next())}, 32); s.IPCache.Ref(&k) }},
		{"delete and insert in a trie", func() {
			k := &ip[next()]
			_ = s.IPCache.Remove(k)
			_ = s.IPCache.Set(k, &RemoteEndpointInfo{}, NoExist)
		}},
		{"policy", func() { s.Policy(7).Ref(&PolicyKey{}).Packets++ }},
		{"program", func() { s.PolicyCall.Prog(7) }},
		{"buffer", func() { s.TailCallBuffer.Ref(0).Monitor = 1 }},
	}
	var j Journal
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := testing.AllocsPerRun(2*n, tt.run); got != 0 {
				t.Errorf("%g allocations without a journal", got)
			}
			for _, end := range []func(){j.Reset, func() { _ = j.Rollback() }} {
				s.Record(&j)
				round := func() { tt.run(); end() }
				for range 4 * n { // let the journal's own tables reach their size
					round()
				}
				if got := testing.AllocsPerRun(2*n, round); got != 0 {
					t.Errorf("%g allocations with a journal that is ended for each packet", got)
				}
			}
			s.Record(nil)
		})
	}
}
