package trace

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/hooklab/hooklab/dataplane/code"
)

// Names turns numbers of notifications into what `cilium monitor` prints for them.
type Names struct {
	Device  func(ifindex uint32) string // "" for an unknown one; nil: none is known
	Numeric bool                        // reserved identities as numbers, too
}

// Line is a notification as `cilium monitor` prints it (SPEC 14.12). n is a Drop, Trace
// or Verdict, conn the connection in the monitor's form.
func (m Names) Line(n any, conn string) string {
	switch n := n.(type) {
	case Drop:
		return fmt.Sprintf("xx drop (%s) flow %#x to endpoint %d, file %s line %d, , identity %s->%s: %s",
			n.ReasonText(), n.Hash, n.DstID, code.FileName(n.File), n.Line, m.Identity(n.SrcLabel), m.Identity(n.DstLabel), conn)
	case Trace:
		// The space before the comma is Cilium's.
		return fmt.Sprintf("%s flow %#x , identity %s->%s state %s ifindex %s orig-ip %s: %s",
			n.Summary(), n.Hash, m.Identity(n.SrcLabel), m.Identity(n.DstLabel), n.Reason, m.device(n.Ifindex), n.OriginalIP(), conn)
	case Verdict:
		return fmt.Sprintf("Policy verdict log: flow %#x local EP ID %d, remote ID %s, proto %d, %s, action %s, match %s, %s",
			n.Hash, n.Source, m.Identity(n.RemoteLabel), n.Proto, n.Direction(), n.Action(), n.Match, conn)
	}
	return ""
}

// Identity is an identity's reserved name, or its number.
func (m Names) Identity(id uint32) string {
	if name := code.IdentityName(id); name != "" && !m.Numeric {
		return name
	}
	return strconv.FormatUint(uint64(id), 10)
}

func (m Names) device(ifindex uint32) string {
	if m.Device != nil && ifindex != 0 {
		if name := m.Device(ifindex); name != "" {
			return name
		}
	}
	return strconv.FormatUint(uint64(ifindex), 10)
}

// ReasonText is why the frame was dropped.
func (n Drop) ReasonText() string {
	text := code.Reason(n.Subtype)
	if n.ExtError != 0 {
		text += ", " + strconv.Itoa(int(n.ExtError))
	}
	return text
}

// Point is where the frame was seen.
func (n Trace) Point() code.TracePoint { return code.TracePoint(n.Subtype) }

// Summary is where the frame goes or comes from, as the monitor's lines begin.
func (n Trace) Summary() string {
	switch n.Point() {
	case code.TraceToLXC:
		return fmt.Sprintf("-> endpoint %d", n.DstID)
	case code.TraceToProxy:
		if n.DstID != 0 {
			return fmt.Sprintf("-> proxy port %d", n.DstID)
		}
		return "-> proxy"
	case code.TraceToHost:
		return "-> host from"
	case code.TraceToStack:
		return "-> stack"
	case code.TraceToOverlay:
		return "-> overlay"
	case code.TraceToNetwork:
		return "-> network"
	case code.TraceFromLXC:
		return fmt.Sprintf("<- endpoint %d", n.Source)
	case code.TraceFromProxy:
		return "<- proxy"
	case code.TraceFromHost:
		return "<- host"
	case code.TraceFromStack:
		return "<- stack"
	case code.TraceFromOverlay:
		return "<- overlay"
	case code.TraceFromNetwork:
		return "<- network"
	}
	return fmt.Sprintf("unknown trace: %d", n.Subtype)
}

// OriginalIP is the source before a translation, 0.0.0.0 where none is told.
func (n Trace) OriginalIP() netip.Addr {
	const ipv6 = 1
	if n.Flags&ipv6 != 0 {
		return netip.AddrFrom16(n.OrigIP)
	}
	return netip.AddrFrom4([4]byte(n.OrigIP[:4]))
}

// Direction is "ingress" or "egress"; the monitor knows no third.
func (n Verdict) Direction() string {
	if n.Dir == code.Ingress {
		return "ingress"
	}
	return "egress"
}

// Action is what the policy decided: a positive verdict is a proxy's port, and what only
// the audit mode has let through is told as that.
func (n Verdict) Action() string {
	switch {
	case n.Audited:
		return "audit"
	case n.Verdict < 0:
		return "deny"
	case n.Verdict > 0:
		return "redirect"
	}
	return "allow"
}
