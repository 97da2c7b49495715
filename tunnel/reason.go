package tunnel

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Reasons counts dropped datagrams by the reason. Its text forms name the reasons as the
// errors do, and leave out what did not happen.
type Reasons [7]uint64

// reasons are the errors that Reasons counts, in its order.
func reasons() [len(Reasons{})]error {
	return [...]error{ErrShort, ErrNoVNI, ErrReserved, ErrLength, ErrECN, ErrOuter, ErrOwnMAC}
}

// Of is how many datagrams were dropped for a reason.
func (r *Reasons) Of(reason error) uint64 {
	for i, err := range reasons() {
		if errors.Is(reason, err) {
			return r[i]
		}
	}
	return 0
}

// MarshalJSON writes an object of counts by reason.
func (r Reasons) MarshalJSON() ([]byte, error) {
	counts := map[string]uint64{}
	for i, err := range reasons() {
		if r[i] > 0 {
			counts[reasonText(err)] = r[i]
		}
	}
	return json.Marshal(counts)
}

// UnmarshalJSON reads what MarshalJSON writes. Other reasons are left out.
func (r *Reasons) UnmarshalJSON(b []byte) error {
	var counts map[string]uint64
	if err := json.Unmarshal(b, &counts); err != nil {
		return err
	}
	for i, err := range reasons() {
		r[i] = counts[reasonText(err)]
	}
	return nil
}

func reasonText(err error) string { return strings.TrimPrefix(err.Error(), "tunnel: ") }

// Drop counts a datagram that is not handed over, as the kernel's device does.
func (r *Receiver) Drop(reason error) {
	s := &r.Stats
	list := reasons()
	if i := slices.Index(list[:], reason); i >= 0 {
		s.RxReasons[i]++
	}
	switch {
	case errors.Is(reason, ErrReserved), errors.Is(reason, ErrECN):
		s.RxErrors++
		s.RxFrameErrors++
	case errors.Is(reason, ErrLength):
		s.RxErrors++
		s.RxLengthErrors++
	default:
		s.RxDropped++
	}
}
