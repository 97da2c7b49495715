package tunnel_test

import (
	"encoding/json"
	"testing"

	"github.com/hooklab/hooklab/tunnel"
)

// TestReasons counts each reason by itself, in the counters of the device and in JSON.
func TestReasons(t *testing.T) {
	t.Parallel()
	var r tunnel.Receiver
	all := []error{
		tunnel.ErrShort, tunnel.ErrNoVNI, tunnel.ErrReserved, tunnel.ErrLength, tunnel.ErrECN, tunnel.ErrOuter, tunnel.ErrOwnMAC,
	}
	for i, err := range all {
		for range i + 1 {
			r.Drop(err)
		}
	}
	for i, err := range all {
		if got := r.Stats.RxReasons.Of(err); got != uint64(i+1) {
			t.Errorf("%v: %d, want %d", err, got, i+1)
		}
	}
	if s := r.Stats; s.RxErrors != 3+4+5 || s.RxFrameErrors != 3+5 || s.RxLengthErrors != 4 || s.RxDropped != 1+2+6+7 {
		t.Errorf("counters of the device: %+v", s)
	}
	b, err := json.Marshal(r.Stats)
	if err != nil {
		t.Fatal(err)
	}
	var back tunnel.Stats
	if err := json.Unmarshal(b, &back); err != nil || back != r.Stats {
		t.Errorf("%s reads as %+v, %v", b, back, err)
	}
	if b, err := json.Marshal(tunnel.Reasons{}); err != nil || string(b) != "{}" {
		t.Errorf("no drops: %s, %v", b, err)
	}
}
