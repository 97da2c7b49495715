package dissect

import (
	"bytes"
	"fmt"
	"strings"
)

// Change is a field that differs between two frames. Before is empty if only the
// second frame has the field, After if only the first has it.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// String is the change as a trace shows it: "ip.ttl 64 → 63", "+ vxlan.vni 13789",
// "- data 4 bytes: 01020304".
func (c Change) String() string {
	switch {
	case c.Before == "":
		return "+ " + c.Field + " " + c.After
	case c.After == "":
		return "- " + c.Field + " " + c.Before
	}
	return c.Field + " " + c.Before + " → " + c.After
}

// Diff lists what a rewrite did to a frame, field by field in the order of the
// bytes; it is empty only if the frames are equal. Where the second frame carries
// the first in a VXLAN packet, or the reverse, inner fields are compared under
// their names there ("inner.ip.ttl") and the outer ones come or go.
func Diff(before, after []byte) []Change {
	if bytes.Equal(before, after) {
		return nil
	}
	a, b := walk(before), walk(after)
	switch in, out := isTunnelled(a), isTunnelled(b); {
	case !in && out:
		nestAll(a)
	case in && !out:
		nestAll(b)
	}
	old := make(map[string]field, len(a))
	for _, f := range a {
		old[f.Name] = f
	}
	kept := make(map[string]bool, len(b))
	var gone, changes []Change
	for _, f := range b {
		o, ok := old[f.Name]
		kept[f.Name] = ok
		if !ok {
			changes = append(changes, Change{Field: f.Name, After: f.Value})
		} else if c, differs := compare(o, f, before, after); differs {
			changes = append(changes, c)
		}
	}
	for _, f := range a {
		if !kept[f.Name] {
			gone = append(gone, Change{Field: f.Name, Before: f.Value})
		}
	}
	return append(gone, changes...)
}

const innerPrefix = "inner."

func isTunnelled(fields []field) bool {
	for _, f := range fields {
		if strings.HasPrefix(f.Name, innerPrefix) {
			return true
		}
	}
	return false
}

// nestAll names the fields of a plain frame as those of an inner one.
func nestAll(fields []field) {
	for i := range fields {
		fields[i].Name = innerPrefix + fields[i].Name
	}
}

// compare tells whether a field differs and how. Of a long payload it shows the
// bytes from the first difference on.
func compare(a, b field, before, after []byte) (Change, bool) {
	c := Change{Field: a.Name, Before: a.Value, After: b.Value}
	if !a.opaque {
		return c, a.Value != b.Value
	}
	x, y := before[a.Offset:a.Offset+a.Len], after[b.Offset:b.Offset+b.Len]
	if bytes.Equal(x, y) {
		return c, false
	}
	if c.Before == c.After {
		at, n := 0, min(len(x), len(y))
		for at < n && x[at] == y[at] {
			at++
		}
		c.Before, c.After = bytesText(x, at), bytesText(y, at)
	}
	return c, true
}

// bytesText shows some bytes of b from at on.
func bytesText(b []byte, at int) string {
	return fmt.Sprintf("byte %d of %d: %x", at, len(b), b[at:min(at+8, len(b))])
}
