package maps

import (
	"math/rand/v2"
	"testing"
)

// TestPolicyClasses: a map has the class of each of its keys, whatever happens to it, and no class of which there is no key.
func TestPolicyClasses(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	s := NewSet(Sizes{})
	m := s.AddPolicy(1)
	word := func() PolicyWord {
		var port [2]byte
		var id uint32
		var proto uint8
		if r.IntN(2) == 0 {
			id = r.Uint32N(3) << (8 * r.Uint32N(3))
		}
		if r.IntN(2) == 0 {
			port[r.IntN(2)], proto = byte(r.Uint32N(2)), uint8(r.Uint32N(2))*6
		}
		return NewPolicyWord(id, port, proto, uint8(r.Uint32N(2)))
	}
	var j Journal
	recording := false
	lacked := 0
	for range 20000 {
		w := word()
		k := w.Key()
		switch r.IntN(8) {
		case 0:
			must(t, m.Set(&k, &PolicyEntry{}, Any))
		case 1, 2:
			_ = m.Remove(&k)
		case 3:
			if recording = !recording; recording {
				s.Record(&j)
			} else {
				must(t, j.Rollback())
				s.Record(nil)
			}
		}
		want := PolicyClasses(0)
		for k := range m.All() {
			want |= 1 << policyClass(k)
		}
		if got := PolicyClassesOf(m); got != want {
			t.Fatalf("classes %08b, want %08b", got, want)
		}
		if w := word(); !PolicyClassesOf(m).Have(w) {
			lacked++
			if k := w.Key(); m.Ref(&k) != nil {
				t.Fatalf("%v is there, and its class is not", k)
			}
		}
	}
	if lacked < 100 {
		t.Errorf("a class was missing %d times only", lacked)
	}
}

// TestPolicyWord: what a word leaves open is what its key leaves open.
func TestPolicyWord(t *testing.T) {
	t.Parallel()
	w := NewPolicyWord(0x01020304, [2]byte{5, 6}, 7, 1)
	for _, tt := range []struct {
		name      string
		got, want PolicyKey
	}{
		{"all", w.Key(), PolicyKey{0x01020304, [2]byte{5, 6}, 7, 1}},
		{"any identity", w.AnyIdentity().Key(), PolicyKey{0, [2]byte{5, 6}, 7, 1}},
		{"any port", w.AnyPort().Key(), PolicyKey{0x01020304, [2]byte{}, 0, 1}},
		{"neither", w.AnyPort().AnyIdentity().Key(), PolicyKey{0, [2]byte{}, 0, 1}},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, tt.got, tt.want)
		}
	}
}
