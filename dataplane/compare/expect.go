package compare

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/dissect"
)

// Expectation is what a scenario says must come of a packet, on both sides.
type Expectation struct {
	Line  int
	Field string // a verdict, mark, vni, events, or a field of the frame such as ip.ttl
	Value string
}

// String is the expectation as the scenario has it.
func (e *Expectation) String() string { return strings.TrimSpace(e.Field + " " + e.Value) }

// Words of expectations that are no field of a frame.
const (
	expectOK       = "ok"
	expectDrop     = "drop"
	expectRedirect = "redirect"
	expectUnspec   = "unspec"
	expectMark     = "mark"
	expectVNI      = "vni"
	expectEvents   = "events"
)

// check says what came instead, "" if the outcome is as expected.
func (e *Expectation) check(w *World, o *Outcome) string {
	v := &o.Verdict
	switch e.Field {
	case expectOK, expectUnspec, expectDrop, expectRedirect:
		return e.checkVerdict(w, v)
	case expectMark:
		want, _ := strconv.ParseUint(e.Value, 0, 32) // parsed before
		if uint32(want) != o.Mark {
			return fmt.Sprintf("mark %#x", o.Mark)
		}
	case expectVNI:
		if !o.Tunnel.Present || fmt.Sprint(o.Tunnel.ID) != e.Value {
			return "tunnel key " + tunnelText(&o.Tunnel)
		}
	case expectEvents:
		if fmt.Sprint(len(o.Events)) != e.Value {
			return fmt.Sprintf("%d notifications", len(o.Events))
		}
	default:
		for _, f := range dissect.Fields(o.Frame) {
			if f.Name == e.Field {
				if f.Value != e.Value {
					return e.Field + " " + f.Value
				}
				return ""
			}
		}
		return "a frame without " + e.Field
	}
	return ""
}

func (e *Expectation) checkVerdict(w *World, v *dataplane.Verdict) string {
	got := v.Kind().String()
	switch v.Kind() {
	case dataplane.Dropped:
		if v.Drop != 0 {
			got += " " + fmt.Sprint(v.Drop.Reason()) + " (" + code.Reason(v.Drop.Reason()) + ")"
		}
	case dataplane.Redirected:
		if d := w.DeviceAt(v.Ifindex); d != nil {
			got += " " + d.Name
		}
	default: // says all
	}
	if v.Kind().String() != e.Field {
		return got
	}
	switch {
	case e.Value == "":
		return ""
	case v.Kind() == dataplane.Dropped && v.Drop != 0 && fmt.Sprint(v.Drop.Reason()) != e.Value:
		return got
	case v.Kind() == dataplane.Redirected && v.Ifindex != 0:
		if d, err := w.device(e.Value); err != nil || d.Ifindex != v.Ifindex {
			return got
		}
	}
	return ""
}
