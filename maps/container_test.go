package maps

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// trieKey is the key of a small trie: 32 bits of address.
type trieKey struct {
	Len uint32
	IP  [4]byte
}

// containers makes one of each kind with few entries, keys of four bytes (eight for the trie) and values of four.
func containers(tb testing.TB, entries uint32) map[string]Store {
	tb.Helper()
	out := make(map[string]Store)
	add := func(s Store, err error) {
		if err != nil {
			tb.Fatal(err)
		}
		out[s.Spec().Type.String()] = s
	}
	z := Spec{Name: "test", MaxEntries: entries}
	percpu, trie := z, z
	percpu.Type, trie.Flags = TypePerCPUHash, FlagNoPrealloc
	h, err := NewHash[uint32, uint32](z)
	add(h, err)
	h, err = NewHash[uint32, uint32](percpu)
	add(h, err)
	l, err := NewLRU[uint32, uint32](z)
	add(l, err)
	p, err := NewLPM[trieKey, uint32](trie)
	add(p, err)
	a, err := NewArray[uint32](z)
	add(a, err)
	c, err := NewPerCPUArray[uint32](z)
	add(c, err)
	g, err := NewProgArray(z)
	add(g, err)
	return out
}

// TestKernelSemantics holds each container against the errors that Linux 6.18 returns for the same calls.
func TestKernelSemantics(t *testing.T) {
	t.Parallel()
	type call struct {
		op   string // update, delete, lookup
		key  any
		val  uint32
		flag UpdateFlag
		want error
	}
	p := func(n uint32, ip ...byte) trieKey { return trieKey{n, [4]byte(ip)} }
	u := func(n uint32) uint32 { return n }
	tests := []struct {
		name  string
		typ   string
		calls []call // on a map of two entries
	}{
		{"hash flags and limit", "hash", []call{
			{"lookup", u(1), 0, 0, ErrKeyNotExist},
			{"update", u(1), 7, Exist, ErrKeyNotExist},
			{"update", u(1), 7, NoExist, nil},
			{"update", u(1), 8, NoExist, ErrKeyExist},
			{"lookup", u(1), 7, 0, nil},
			{"update", u(1), 9, Exist, nil},
			{"update", u(2), 1, Any, nil},
			{"update", u(3), 1, Any, ErrFull},
			{"update", u(3), 1, NoExist, ErrFull},
			{"update", u(3), 1, Exist, ErrKeyNotExist},
			{"update", u(1), 10, Any, nil},
			{"update", u(1), 10, 3, ErrInvalid},
			{"lookup", u(1), 10, 0, nil},
			{"delete", u(3), 0, 0, ErrKeyNotExist},
			{"delete", u(1), 0, 0, nil},
			{"delete", u(1), 0, 0, ErrKeyNotExist},
			{"update", u(3), 1, Any, nil},
		}},
		{"lru evicts", "lru_hash", []call{
			{"update", u(1), 1, Exist, ErrKeyNotExist},
			{"update", u(1), 1, Any, nil},
			{"update", u(2), 2, Any, nil},
			{"update", u(2), 2, NoExist, ErrKeyExist},
			{"update", u(2), 2, 3, ErrInvalid},
			{"lookup", u(1), 1, 0, nil}, // the syscall does not count as use
			{"update", u(3), 3, Any, nil},
			{"lookup", u(1), 0, 0, ErrKeyNotExist},
			{"update", u(2), 5, Any, nil},
			{"update", u(4), 4, NoExist, nil},
			{"lookup", u(3), 0, 0, ErrKeyNotExist},
			{"lookup", u(2), 5, 0, nil},
			{"update", u(9), 9, Exist, ErrKeyNotExist},
			{"delete", u(9), 0, 0, ErrKeyNotExist},
		}},
		{"trie prefixes", "lpm_trie", []call{
			{"update", p(33, 1, 2, 3, 4), 1, Any, ErrInvalid},
			{"lookup", p(33, 1, 2, 3, 4), 0, 0, ErrKeyNotExist},
			{"delete", p(33, 1, 2, 3, 4), 0, 0, ErrInvalid},
			{"update", p(8, 10, 2, 3, 4), 1, Any, nil},
			{"lookup", p(8, 10, 0, 0, 0), 1, 0, nil},
			{"lookup", p(32, 10, 9, 9, 9), 1, 0, nil},
			{"lookup", p(7, 10, 0, 0, 0), 0, 0, ErrKeyNotExist},
			{"update", p(8, 10, 9, 9, 9), 2, NoExist, ErrKeyExist},
			{"update", p(9, 10, 0, 0, 0), 2, Exist, ErrKeyNotExist},
			{"update", p(9, 10, 0, 0, 0), 2, 3, ErrInvalid},
			{"update", p(0, 9, 9, 9, 9), 5, Any, nil},
			{"update", p(24, 9, 9, 9, 9), 6, Any, ErrNoSpace},
			{"update", p(24, 9, 9, 9, 9), 6, Exist, ErrKeyNotExist},
			{"update", p(8, 10, 7, 7, 7), 3, Any, nil},
			{"update", p(8, 10, 7, 7, 7), 3, NoExist, ErrKeyExist},
			{"lookup", p(32, 10, 1, 1, 1), 3, 0, nil},
			{"lookup", p(32, 11, 1, 1, 1), 5, 0, nil},
			{"lookup", p(0, 1, 1, 1, 1), 5, 0, nil},
			{"delete", p(12, 10, 2, 3, 4), 0, 0, ErrKeyNotExist},
			{"delete", p(8, 10, 200, 0, 0), 0, 0, nil},
			{"delete", p(8, 10, 2, 3, 4), 0, 0, ErrKeyNotExist},
			{"lookup", p(32, 10, 1, 1, 1), 5, 0, nil},
			{"delete", p(0, 1, 2, 3, 4), 0, 0, nil},
			{"lookup", p(32, 10, 1, 1, 1), 0, 0, ErrKeyNotExist},
		}},
		{"trie nested", "lpm_trie", []call{
			{"update", p(32, 10, 1, 2, 3), 1, Any, nil},
			{"update", p(16, 10, 1, 0, 0), 2, Any, nil},
			{"lookup", p(32, 10, 1, 2, 3), 1, 0, nil},
			{"lookup", p(31, 10, 1, 2, 3), 2, 0, nil},
			{"lookup", p(32, 10, 1, 2, 2), 2, 0, nil},
			{"delete", p(16, 10, 1, 255, 255), 0, 0, nil},
			{"lookup", p(31, 10, 1, 2, 3), 0, 0, ErrKeyNotExist},
			{"lookup", p(32, 10, 1, 2, 3), 1, 0, nil},
		}},
		{"array", "array", []call{
			{"lookup", u(0), 0, 0, nil},
			{"lookup", u(2), 0, 0, ErrKeyNotExist},
			{"update", u(2), 1, Any, ErrFull},
			{"update", u(2), 1, NoExist, ErrFull},
			{"update", u(0), 1, NoExist, ErrKeyExist},
			{"update", u(0), 1, 3, ErrInvalid},
			{"update", u(2), 1, 3, ErrInvalid},
			{"update", u(0), 4, Exist, nil},
			{"update", u(1), 5, Any, nil},
			{"lookup", u(0), 4, 0, nil},
			{"delete", u(0), 0, 0, ErrInvalid},
			{"delete", u(2), 0, 0, ErrInvalid},
		}},
		{"per-CPU array", "percpu_array", []call{
			{"lookup", u(1), 0, 0, nil},
			{"update", u(1), 6, Any, nil},
			{"lookup", u(1), 6, 0, nil},
			{"delete", u(1), 0, 0, ErrInvalid},
			{"update", u(0), 1, NoExist, ErrKeyExist},
			{"update", u(2), 1, Any, ErrFull},
		}},
		{"program array", "prog_array", []call{
			{"lookup", u(0), 0, 0, ErrKeyNotExist},
			{"lookup", u(2), 0, 0, ErrKeyNotExist},
			{"delete", u(0), 0, 0, ErrKeyNotExist},
			{"delete", u(2), 0, 0, ErrFull},
			{"update", u(0), 3, NoExist, ErrInvalid},
			{"update", u(0), 3, Exist, ErrInvalid},
			{"update", u(2), 3, Any, ErrFull},
			{"update", u(0), 0, Any, ErrInvalid}, // the kernel says EBADF
			{"update", u(0), 3, Any, nil},
			{"update", u(0), 4, Any, nil},
			{"lookup", u(0), 4, 0, nil},
			{"delete", u(0), 0, 0, nil},
			{"lookup", u(0), 0, 0, ErrKeyNotExist},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := containers(t, 2)[tt.typ]
			for i, c := range tt.calls {
				key := make([]byte, 0)
				switch k := c.key.(type) {
				case uint32:
					key = raw(k)
				case trieKey:
					key = raw(k)
				}
				value := raw(c.val)
				var err error
				switch c.op {
				case "update":
					err = s.Update(key, value, c.flag)
				case "delete":
					err = s.Delete(key)
				case "lookup":
					got := make([]byte, 4)
					if err = s.Lookup(key, got); err == nil && le32(got) != c.val {
						t.Errorf("call %d: lookup %v = %d, want %d", i, c.key, le32(got), c.val)
					}
				}
				if !sameErr(err, c.want) {
					t.Errorf("call %d: %s %v flag %d: error %v, want %v", i, c.op, c.key, c.flag, err, c.want)
				}
			}
		})
	}
}

// TestWrongSizes checks that bytes of a wrong length are refused and never read past.
func TestWrongSizes(t *testing.T) {
	t.Parallel()
	for name, s := range containers(t, 4) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := s.Spec()
			for n := range z.KeySize + 3 {
				key := make([]byte, n)
				for m := range z.ValueSize + 3 {
					value := make([]byte, m)
					if n == z.KeySize && m == z.ValueSize {
						continue
					}
					if err := s.Update(key, value, Any); !errors.Is(err, ErrInvalid) {
						t.Errorf("update with %d and %d bytes: %v", n, m, err)
					}
					if err := s.Lookup(key, value); !errors.Is(err, ErrInvalid) {
						t.Errorf("lookup with %d and %d bytes: %v", n, m, err)
					}
				}
				if n != z.KeySize {
					if err := s.Delete(key); !errors.Is(err, ErrInvalid) {
						t.Errorf("delete with %d bytes: %v", n, err)
					}
				}
			}
		})
	}
}

// TestNewRefuses lists specs that no map can have.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	type padded struct {
		A uint8
		B uint32
	}
	type tail struct {
		A uint32
		B uint8
	}
	ok := Spec{Name: "x", MaxEntries: 1}
	with := func(f func(*Spec)) Spec { s := ok; f(&s); return s }
	tests := []struct {
		name string
		err  func() error
	}{
		{"no entries", func() error { _, err := NewHash[uint32, uint32](Spec{}); return err }},
		{"too many entries", func() error { _, err := NewHash[uint32, uint32](Spec{MaxEntries: maxSlots + 1}); return err }},
		{"key size", func() error { _, err := NewHash[uint32, uint32](with(func(s *Spec) { s.KeySize = 8 })); return err }},
		{"value size", func() error { _, err := NewLRU[uint32, uint32](with(func(s *Spec) { s.ValueSize = 8 })); return err }},
		{"type", func() error {
			_, err := NewHash[uint32, uint32](with(func(s *Spec) { s.Type = TypeArray }))
			return err
		}},
		{"padding inside", func() error { _, err := NewHash[padded, uint32](ok); return err }},
		{"padding behind", func() error { _, err := NewHash[uint32, tail](ok); return err }},
		{"pointer", func() error { _, err := NewHash[uint32, *int](ok); return err }},
		{"string key", func() error { _, err := NewHash[string, uint32](ok); return err }},
		{"no bytes", func() error { _, err := NewHash[struct{}, uint32](ok); return err }},
		{"trie without flag", func() error { _, err := NewLPM[trieKey, uint32](ok); return err }},
		{"trie without data", func() error { _, err := NewLPM[uint32, uint32](with(func(s *Spec) { s.Flags = 1 })); return err }},
		{"array value", func() error { _, err := NewArray[bool](ok); return err }},
		{"per-CPU array value", func() error { _, err := NewPerCPUArray[float64](ok); return err }},
		{"program array", func() error { _, err := NewProgArray(Spec{}); return err }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := tt.err(); !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v, want ErrInvalid", err)
			}
		})
	}
}

// TestAgainstModel runs random operations on each container and on the model.
func TestAgainstModel(t *testing.T) {
	t.Parallel()
	for _, entries := range []uint32{1, 5, 40, 700} {
		for name, s := range containers(t, entries) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				m := newModel(s.Spec())
				r := rand.New(rand.NewPCG(uint64(entries), 1))
				for range 6 * entries {
					step(t, s, m, r.Uint32N, entries)
				}
				compareWithModel(t, s, m)
			})
		}
	}
}

// step does one random operation on a container and on its model.
func step(tb testing.TB, s Store, m *model, pick func(n uint32) uint32, entries uint32) {
	tb.Helper()
	key := raw(pick(2*entries + 2))
	if s.Spec().Type == TypeLPMTrie {
		// Few different addresses, so that prefixes nest; host bits are set at random.
		key = raw(trieKey{pick(35), [4]byte{byte(pick(3)) << 6, byte(pick(2)) << 7, byte(pick(4)), byte(pick(3))}})
	}
	value, flag := raw(pick(1000)), UpdateFlag(pick(4))
	switch pick(8) {
	case 0, 1, 2, 3:
		got, want := s.Update(key, value, flag), m.update(key, value, flag)
		if !sameErr(got, want) {
			tb.Fatalf("update %x flag %d: error %v, want %v", key, flag, got, want)
		}
	case 4, 5:
		if got, want := s.Delete(key), m.delete(key); !sameErr(got, want) {
			tb.Fatalf("delete %x: error %v, want %v", key, got, want)
		}
	case 6:
		a, b := make([]byte, 4), make([]byte, 4)
		got, want := s.Lookup(key, a), m.lookup(key, b)
		if !sameErr(got, want) || string(a) != string(b) {
			tb.Fatalf("lookup %x: %x, error %v; want %x, error %v", key, a, got, b, want)
		}
	default:
		if l, ok := s.(*LRU[uint32, uint32]); ok {
			k := le32(key)
			l.Ref(&k)
			m.use(key)
		}
	}
}

// compareWithModel compares content and LRU order, and checks the container's own rules.
func compareWithModel(tb testing.TB, s Store, m *model) {
	tb.Helper()
	for _, limit := range []int{0, 1, 7} {
		if d := cmp.Diff(m.content(), storeContent(tb, s, limit)); d != "" {
			tb.Fatalf("content in slices of %d (-want +got):\n%s", limit, d)
		}
	}
	switch s := s.(type) {
	case *Hash[uint32, uint32]:
		s.check(tb)
	case *LPM[trieKey, uint32]:
		s.check(tb)
	case *LRU[uint32, uint32]:
		var want []string
		for _, e := range m.entries {
			want = append(want, string(e.key))
		}
		if d := cmp.Diff(want, s.check(tb)); d != "" {
			tb.Fatalf("LRU order (-want +got):\n%s", d)
		}
	}
}
