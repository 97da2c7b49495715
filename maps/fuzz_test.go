package maps

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tape turns fuzz input into choices. When it is used up every pick is 0, and as a rand.Source it goes on with any numbers, since
// math/rand waits for one that it likes.
type tape struct {
	b    []byte
	rest rand.PCG
}

// Uint64 implements rand.Source. It spends two bytes, and puts them high, from where math/rand takes its result.
func (t *tape) Uint64() uint64 {
	v := t.rest.Uint64()
	if len(t.b) < 2 {
		t.b = nil
		return v
	}
	v = v>>16 | uint64(binary.BigEndian.Uint16(t.b))<<48
	t.b = t.b[2:]
	return v
}

func (t *tape) pick(n uint32) uint32 {
	if len(t.b) == 0 {
		return 0
	}
	v := uint32(t.b[0])
	t.b = t.b[1:]
	return v % n
}

// FuzzStore runs the operations that the input spells on every container and on the model, some of them with keys and
// values of a wrong size.
func FuzzStore(f *testing.F) {
	f.Add([]byte{3}, []byte("\x01\x02\x03\x04\x05\x06\x07\x08\x09"))
	f.Add([]byte{0}, []byte("0000000011111111222222223333333344444444"))
	f.Add([]byte{9}, []byte("\x00\x00\x00\x00\x20\x01\x01\x03\x02\x05\x00\x00\x06\x21\x01\x01\x01\x01\x07\x00\x01\x04"))
	f.Fuzz(func(t *testing.T, head, ops []byte) {
		if len(head) == 0 || len(ops) > 2000 {
			return
		}
		entries := uint32(head[0])%9 + 1
		for _, s := range containers(t, entries) {
			m := newModel(s.Spec())
			for in := (&tape{b: ops}); len(in.b) > 0; {
				if in.pick(9) == 8 {
					odd := make([]byte, in.pick(12))
					if got, want := s.Update(odd, odd, Any), m.update(odd, odd, Any); !sameErr(got, want) {
						t.Fatalf("%s: update with %d bytes: %v, want %v", s.Spec().Type, len(odd), got, want)
					}
					if got, want := s.Delete(odd), m.delete(odd); !sameErr(got, want) {
						t.Fatalf("%s: delete with %d bytes: %v, want %v", s.Spec().Type, len(odd), got, want)
					}
					continue
				}
				step(t, s, m, in.pick, entries)
			}
			compareWithModel(t, s, m)
		}
	})
}

// FuzzJournal records the changes that the input spells and undoes them.
func FuzzJournal(f *testing.F) {
	f.Add(uint8(10), []byte("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"))
	f.Add(uint8(0), []byte("aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffff"))
	f.Fuzz(func(t *testing.T, prelude uint8, ops []byte) {
		if len(ops) > 600 {
			return
		}
		in := &tape{b: ops}
		r := rand.New(in)
		s := NewSet(smallSizes())
		for n := uint8(0); n < prelude && len(in.b) > 0; n++ {
			disturb(r, s)
		}
		before := takePicture(t, s)
		var j Journal
		s.Record(&j)
		for len(in.b) > 0 {
			disturb(r, s)
		}
		if d := cmp.Diff(diffPictures(before, takePicture(t, s)), j.Diff()); d != "" {
			t.Fatalf("diff (-want +got):\n%s", d)
		}
		back(t, s, &j, before)
		s.Record(nil)
		checkNothingKept(t, s)
	})
}
