package compare

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// Class is what kind of thing differs; the first that applies names a difference.
type Class string

// Classes.
const (
	ClassVerdict Class = "verdict" // what happens to the frame: return code, drop reason, redirect
	ClassBytes   Class = "bytes"   // the frame or its metadata
	ClassState   Class = "state"   // map entries
	ClassEvent   Class = "event"   // notifications
	ClassAccess  Class = "access"  // what was asked of maps and prog arrays on the way
)

// classes in their order.
func classes() []Class { return []Class{ClassVerdict, ClassBytes, ClassState, ClassEvent, ClassAccess} }

// Field is something that is compared after every packet.
type Field uint8

// Fields. Maps and events count once a packet, however many there are.
const (
	FieldReturn Field = iota
	FieldDrop
	FieldTarget
	FieldFlags
	FieldFrame
	FieldMark
	FieldTCIndex
	FieldPktType
	FieldTunnel
	FieldQueue
	FieldScratch
	FieldRandom
	FieldMaps
	FieldEvents
	FieldAccess
	FieldDropLine
	numFields
)

// String is the field's name in reports.
func (f Field) String() string {
	return [numFields]string{
		"return code", "drop reason", "redirect target", "redirect flags", "frame", "mark", "tc_index", "packet type",
		"tunnel key", "queue mapping", "cb", "random numbers", "map changes", "notifications", "map accesses", "source line of drop notifications",
	}[f]
}

// FieldDiff is one field that differs.
type FieldDiff struct {
	Class Class  `json:"class"`
	Field string `json:"field"`
	Left  string `json:"left"`
	Right string `json:"right"`

	kind   string  // the field without what differs from cluster to cluster
	field  Field   // and where a trace shows who is to blame:
	offset int     // of the first differing byte of the frame
	change *Change // the entry
	event  int     // index of the notification
	drop   code.Ret
}

// limits are what a comparison cannot see, and why.
type limits [numFields]string

// limitsOf are the fields that one of two engines cannot observe.
func limitsOf(left, right string, a, b dataplane.Caps) limits {
	var l limits
	for _, x := range []struct {
		field Field
		can   func(c *dataplane.Caps) bool
	}{
		{FieldTarget, func(c *dataplane.Caps) bool { return c.RedirectTarget }},
		{FieldFlags, func(c *dataplane.Caps) bool { return c.RedirectTarget }},
		{FieldTunnel, func(c *dataplane.Caps) bool { return c.TunnelKey }},
		{FieldPktType, func(c *dataplane.Caps) bool { return c.PktType }},
		{FieldEvents, func(c *dataplane.Caps) bool { return c.Events }},
		{FieldAccess, func(c *dataplane.Caps) bool { return c.Trace }},
	} {
		for _, e := range []struct {
			name string
			caps *dataplane.Caps
		}{{left, &a}, {right, &b}} {
			if l[x.field] == "" && !x.can(e.caps) {
				l[x.field] = e.name + " cannot observe it"
			}
		}
	}
	l[FieldDropLine] = "sources differ in their lines"
	return l
}

// tally counts what was compared.
type tally struct {
	compared, skipped [numFields]int
	why               [numFields]string
}

func (t *tally) add(o *tally) {
	for f := range numFields {
		t.compared[f] += o.compared[f]
		t.skipped[f] += o.skipped[f]
		if t.why[f] == "" {
			t.why[f] = o.why[f]
		}
	}
}

// contrast compares what came of one packet. It counts what it compares in t.
func contrast(l, r *Outcome, lim *limits, t *tally) []FieldDiff {
	c := contrasting{lim: lim, tally: t}
	c.verdict(l, r)
	c.packet(l, r)
	if c.sees(FieldMaps) {
		c.maps(l.Changes, r.Changes)
	}
	if c.sees(FieldEvents) {
		c.events(l, r)
	}
	c.accesses(l, r)
	return c.list
}

type contrasting struct {
	lim   *limits
	tally *tally
	list  []FieldDiff
}

// sees counts a field and tells whether it can be compared.
func (c *contrasting) sees(f Field) bool {
	if why := c.lim[f]; why != "" {
		c.tally.skipped[f]++
		c.tally.why[f] = why
		return false
	}
	c.tally.compared[f]++
	return true
}

// number compares a field that is a number.
func (c *contrasting) number(f Field, class Class, left, right int64, format string) {
	if c.sees(f) && left != right {
		c.list = append(c.list, FieldDiff{Class: class, Field: f.String(), kind: f.String(), field: f, Left: fmt.Sprintf(format, left), Right: fmt.Sprintf(format, right)})
	}
}

func (c *contrasting) verdict(l, r *Outcome) {
	a, b := &l.Verdict, &r.Verdict
	if c.sees(FieldReturn) && a.Action != b.Action {
		c.list = append(c.list, FieldDiff{
			Class: ClassVerdict, Field: FieldReturn.String(), field: FieldReturn, Left: retText(a), Right: retText(b), drop: reasonOf(a),
			kind: FieldReturn.String() + " " + retText(a) + " " + retText(b),
		})
	}
	if c.sees(FieldDrop) && a.Drop != b.Drop {
		c.list = append(c.list, FieldDiff{
			Class: ClassVerdict, Field: FieldDrop.String(), field: FieldDrop, Left: dropText(a.Drop), Right: dropText(b.Drop), drop: reasonOf(a),
			kind: FieldDrop.String() + " " + dropText(a.Drop) + " " + dropText(b.Drop),
		})
	}
	c.number(FieldTarget, ClassVerdict, int64(a.Ifindex), int64(b.Ifindex), "ifindex %d")
	c.number(FieldFlags, ClassVerdict, int64(a.Flags), int64(b.Flags), "%#x")
}

// reasonOf is the code that ended a packet's way, 0 if nothing did.
func reasonOf(v *dataplane.Verdict) code.Ret {
	if v.Drop != 0 {
		return v.Drop
	}
	if v.Action < 0 {
		return v.Action
	}
	return 0
}

func retText(v *dataplane.Verdict) string {
	return fmt.Sprintf("%d (%s)", int32(v.Action), v.Kind())
}

func dropText(r code.Ret) string {
	if r == 0 {
		return textNone
	}
	return r.String()
}

func (c *contrasting) packet(l, r *Outcome) {
	if c.sees(FieldFrame) && !bytes.Equal(l.Frame, r.Frame) {
		c.frame(l.Frame, r.Frame)
	}
	c.number(FieldMark, ClassBytes, int64(l.Mark), int64(r.Mark), "%#x")
	c.number(FieldTCIndex, ClassBytes, int64(l.TCIndex), int64(r.TCIndex), "%d")
	c.number(FieldPktType, ClassBytes, int64(l.PktType), int64(r.PktType), "%d")
	c.number(FieldQueue, ClassBytes, int64(l.QueueMapping), int64(r.QueueMapping), "%d")
	if c.sees(FieldScratch) && l.CB != r.CB {
		c.scratch(l, r)
	}
	if c.sees(FieldTunnel) && l.Tunnel != r.Tunnel {
		c.list = append(c.list, FieldDiff{
			Class: ClassBytes, Field: FieldTunnel.String(), kind: FieldTunnel.String(), field: FieldTunnel, Left: tunnelText(&l.Tunnel), Right: tunnelText(&r.Tunnel),
		})
	}
	c.number(FieldRandom, ClassState, int64(l.Draws), int64(r.Draws), "%d drawn")
}

// frame names the fields in which two frames differ.
func (c *contrasting) frame(l, r []byte) {
	at := 0
	for at < min(len(l), len(r)) && l[at] == r[at] {
		at++
	}
	for _, d := range dissect.Diff(l, r) {
		left, right := d.Before, d.After
		if left == "" {
			left = textNone
		}
		if right == "" {
			right = textNone
		}
		c.list = append(c.list, FieldDiff{Class: ClassBytes, Field: "frame " + d.Field, kind: "frame " + d.Field, field: FieldFrame, Left: left, Right: right, offset: at})
	}
	if len(c.list) == 0 || c.list[len(c.list)-1].field != FieldFrame {
		c.list = append(c.list, FieldDiff{
			Class: ClassBytes, Field: fmt.Sprintf("frame byte %d", at), kind: "frame bytes", field: FieldFrame,
			Left: hex.EncodeToString(l[at:min(at+8, len(l))]), Right: hex.EncodeToString(r[at:min(at+8, len(r))]), offset: at,
		})
	}
}

// scratch compares what the programs left in skb->cb but for the source line that a drop
// leaves there. Without a trace nobody knows whether it is one.
func (c *contrasting) scratch(l, r *Outcome) {
	for i := range l.CB {
		a, b := l.CB[i], r.CB[i]
		if i == len(l.CB)-1 && (l.trace == nil && r.trace == nil || l.hasDropLine() || r.hasDropLine()) {
			a, b = a&0xffff, b&0xffff
		}
		if a != b {
			name := fmt.Sprintf("cb[%d]", i)
			c.list = append(c.list, FieldDiff{Class: ClassBytes, Field: name, kind: name, field: FieldScratch, Left: fmt.Sprintf("%#x", a), Right: fmt.Sprintf("%#x", b)})
		}
	}
}

// hasDropLine says that send_drop_notify left a source line in cb[4], as far as this
// side's trace tells.
func (o *Outcome) hasDropLine() bool {
	return o.trace != nil && slices.ContainsFunc(o.trace.Steps(), func(s trace.Step) bool { return s.Kind == trace.KindEnter && s.Func == trace.SendDropNotify })
}

func tunnelText(k *dataplane.TunnelKey) string {
	if !k.Present {
		return textNone
	}
	return fmt.Sprintf("VNI %d to %s, TTL %d, TOS %d", k.ID, netip.AddrFrom4(k.Remote), k.TTL, k.TOS)
}

// maps compares changes, which both sides list by map and key. An entry that only one
// side lists, the other did not change.
func (c *contrasting) maps(l, r []Change) {
	for i, j := 0, 0; i < len(l) || j < len(r); {
		var order int
		switch {
		case i == len(l):
			order = 1
		case j == len(r):
			order = -1
		default:
			if order = strings.Compare(l[i].Map, r[j].Map); order == 0 {
				order = bytes.Compare(l[i].Key, r[j].Key)
			}
		}
		switch {
		case order < 0:
			c.entry(&l[i], textUnchanged, nil)
			i++
		case order > 0:
			c.entry(&r[j], "", nil)
			j++
		default:
			if !bytes.Equal(l[i].New, r[j].New) || (l[i].New == nil) != (r[j].New == nil) {
				c.entry(&l[i], "", &r[j])
			}
			i++
			j++
		}
	}
}

// textUnchanged is said of an entry that only the other side changed.
const textUnchanged = "unchanged"

// entry notes an entry that differs: one that only the left side changed (right is
// textUnchanged), one that only the right side did, or one that both did.
func (c *contrasting) entry(e *Change, right string, other *Change) {
	name, kind := e.Map+" "+keyText(e.Map, e.Key), mapKind(e.Map)
	switch {
	case other != nil && e.New != nil && other.New != nil:
		for _, d := range valueFields(e.Map, e.New, other.New) {
			c.list = append(c.list, FieldDiff{
				Class: ClassState, Field: name + " " + d.Field, kind: kind + " " + d.Field, field: FieldMaps, Left: d.Left, Right: d.Right, change: e,
			})
		}
	case other != nil:
		c.list = append(c.list, FieldDiff{
			Class: ClassState, Field: name, kind: kind, field: FieldMaps, Left: valueText(e.Map, e.New), Right: valueText(e.Map, other.New), change: e,
		})
	case right != "":
		c.list = append(c.list, FieldDiff{Class: ClassState, Field: name, kind: kind, field: FieldMaps, Left: valueText(e.Map, e.New), Right: right, change: e})
	default:
		c.list = append(c.list, FieldDiff{Class: ClassState, Field: name, kind: kind, field: FieldMaps, Left: textUnchanged, Right: valueText(e.Map, e.New), change: e})
	}
}

// mapKind is a map's name without the endpoint's number.
func mapKind(name string) string {
	if strings.HasPrefix(name, "cilium_policy_") {
		return "cilium_policy"
	}
	return name
}

// events compares notifications byte for byte but for the source line of drops.
func (c *contrasting) events(l, r *Outcome) {
	for i := range max(len(l.Events), len(r.Events)) {
		var a, b []byte
		if i < len(l.Events) {
			a = l.Events[i]
		}
		if i < len(r.Events) {
			b = r.Events[i]
		}
		drop := len(a) > 0 && a[0] == trace.TypeDrop
		if drop {
			c.sees(FieldDropLine)
		}
		if !bytes.Equal(blankLine(a), blankLine(b)) {
			c.event(i, a, b)
		}
	}
	if l.LostEvents != r.LostEvents {
		c.list = append(c.list, FieldDiff{
			Class: ClassEvent, Field: "lost notifications", kind: "lost notifications", field: FieldEvents, Left: fmt.Sprint(l.LostEvents), Right: fmt.Sprint(r.LostEvents), event: -1,
		})
	}
}

// blankLine is a notification without the source line of a drop.
func blankLine(b []byte) []byte {
	const line = 28
	if len(b) < trace.DropSize || b[0] != trace.TypeDrop || b[line] == 0 && b[line+1] == 0 {
		return b
	}
	c := bytes.Clone(b)
	c[line], c[line+1] = 0, 0
	return c
}

// event notes a notification that differs, field by field where both sides have one of
// the same kind.
func (c *contrasting) event(i int, a, b []byte) {
	name := fmt.Sprintf("notification %d", i+1)
	x, capA, errA := decodeEvent(a)
	y, capB, errB := decodeEvent(b)
	if errA != nil || errB != nil || a[0] != b[0] {
		c.list = append(c.list, FieldDiff{Class: ClassEvent, Field: name, kind: kindOfEvents(a, b), field: FieldEvents, Left: eventText(a), Right: eventText(b), event: i})
		return
	}
	name += " (" + eventKind(a) + ")"
	found := false
	for _, d := range structFields(x, y) {
		if d.Field != "Line" {
			c.list = append(c.list, FieldDiff{Class: ClassEvent, Field: name + " " + d.Field, kind: eventKind(a) + " " + d.Field, field: FieldEvents, Left: d.Left, Right: d.Right, event: i})
			found = true
		}
	}
	if !bytes.Equal(capA, capB) {
		for _, d := range dissect.Diff(capA, capB) {
			c.list = append(c.list, FieldDiff{
				Class: ClassEvent, Field: name + " captured " + d.Field, kind: eventKind(a) + " captured " + d.Field, field: FieldEvents, Left: d.Before, Right: d.After, event: i,
			})
			found = true
		}
	}
	if !found {
		c.list = append(c.list, FieldDiff{
			Class: ClassEvent, Field: name + " bytes", kind: eventKind(a) + " bytes", field: FieldEvents, Left: hex.EncodeToString(a), Right: hex.EncodeToString(b), event: i,
		})
	}
}

func decodeEvent(b []byte) (any, []byte, error) {
	if len(b) == 0 {
		return nil, nil, trace.ErrShort
	}
	return trace.DecodeNotification(b)
}

// eventKind is a notification's kind with what it is about.
func eventKind(b []byte) string {
	switch n, _, err := trace.DecodeNotification(b); n := n.(type) {
	case trace.Drop:
		return "drop " + code.Reason(n.Subtype)
	case trace.Trace:
		return "trace " + code.TracePoint(n.Subtype).String()
	case trace.Verdict:
		return "policy verdict"
	default:
		return fmt.Sprint(err)
	}
}

// kindOfEvents names two notifications of different kinds, of which one may be missing.
func kindOfEvents(a, b []byte) string {
	kind := func(b []byte) string {
		if len(b) == 0 {
			return textNone
		}
		return eventKind(b)
	}
	return kind(a) + " or " + kind(b)
}

// eventText is a whole notification on one line.
func eventText(b []byte) string {
	if len(b) == 0 {
		return textNone
	}
	switch n, _, _ := trace.DecodeNotification(b); n := n.(type) {
	case trace.Drop:
		return fmt.Sprintf("%s from endpoint %d, identity %d to %d, endpoint %d", eventKind(b), n.Source, n.SrcLabel, n.DstLabel, n.DstID)
	case trace.Trace:
		return fmt.Sprintf("%s from endpoint %d, identity %d to %d, %s, ifindex %d", eventKind(b), n.Source, n.SrcLabel, n.DstLabel, n.Reason, n.Ifindex)
	case trace.Verdict:
		return fmt.Sprintf("%s %d from endpoint %d, identity %d, port %d", eventKind(b), n.Verdict, n.Source, n.RemoteLabel, n.DstPort)
	}
	return hex.EncodeToString(b)
}
