package maps

import (
	"math/rand/v2"
	"testing"
)

// TestMemos: whatever happens to a map, what is recalled is what a lookup would find.
func TestMemos(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	s := NewSet(Sizes{})
	var memos Memos[EndpointInfo]
	var j Journal
	recording := false
	recalled := 0
	for range 50000 {
		n := r.Uint32N(100) // more than there are places
		k := NewEndpointKey([4]byte{10, 0, 0, byte(n)})
		switch r.IntN(12) {
		case 0:
			must(t, s.LXC.Set(&k, &EndpointInfo{Ifindex: r.Uint32()}, Any))
		case 1:
			_ = s.LXC.Remove(&k)
		case 2:
			if recording = !recording; recording {
				s.Record(&j)
			} else {
				must(t, j.Rollback())
				s.Record(nil)
			}
		default:
			v, ok := s.LXC.Recall(&memos, uint64(n))
			want := s.LXC.Ref(&k)
			if ok && v != want {
				t.Fatalf("recalled %v, a lookup finds %v", v, want)
			}
			if ok && recording {
				t.Fatal("recalled behind a journal's back")
			}
			if ok {
				recalled++
			}
			if got := s.LXC.Remember(&memos, uint64(n), want); got != want {
				t.Fatalf("Remember returned %v, want %v", got, want)
			}
		}
	}
	if recalled < 1000 {
		t.Errorf("recalled %d times only", recalled)
	}
}
