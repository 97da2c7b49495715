package maps

import (
	"fmt"
	"io"
	"strings"
)

// String returns the connection as `cilium bpf ct list` prints it: protocol, direction and the two ends, the initiator (or
// virtual address) first. The addresses change places in print: the first one has the key's DAddr and SPort.
func (k CTKey) String() string {
	dir := "OUT"
	if k.Flags&TupleIn != 0 {
		dir = "IN"
	}
	s := fmt.Sprintf("%s %s %s -> %s", protoText(k.Proto), dir, addrPort(k.DAddr, k.SPort), addrPort(k.SAddr, k.DPort))
	if k.Flags&TupleRelated != 0 {
		s += " related"
	}
	if k.Flags&TupleService != 0 {
		s += " service"
	}
	return s
}

// String returns the state of the connection as `cilium bpf ct list` prints it (SPEC 14.6).
func (v CTEntry) String() string { return v.text(nil) }

// text is String, with the seconds left if there is a clock.
func (v CTEntry) text(remaining func(lifetime uint32) int64) string {
	left := ""
	if remaining != nil {
		left = fmt.Sprintf(" (remaining: %d sec(s))", remaining(v.Lifetime))
	}
	return fmt.Sprintf("expires=%d%s RxPackets=%d RxBytes=%d RxFlagsSeen=%#02x LastRxReport=%d "+
		"TxPackets=%d TxBytes=%d TxFlagsSeen=%#02x LastTxReport=%d %s RevNAT=%d SourceSecurityID=%d IfIndex=%d ",
		v.Lifetime, left, v.RxPackets, v.RxBytes, v.RxFlagsSeen, v.LastRxReport,
		v.TxPackets, v.TxBytes, v.TxFlagsSeen, v.LastTxReport, v.flagText(), be16(v.RevNAT), v.SrcSecID, v.Ifindex)
}

// flagText returns the flags as a number and in words.
func (v CTEntry) flagText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Flags=%#04x [ ", v.Flags)
	rest := v.Flags
	for _, f := range []struct {
		bit  uint16
		name string
	}{
		{CTRxClosing, "RxClosing"},
		{CTTxClosing, "TxClosing"},
		{CTNat46, "Nat64"},
		{CTLBLoopback, "LBLoopback"},
		{CTSeenNonSyn, "SeenNonSyn"},
		{CTNodePort, "NodePort"},
		{CTProxyRedirect, "ProxyRedirect"},
		{CTDSR, "DSR"},
	} {
		if rest&f.bit != 0 {
			b.WriteString(f.name + " ")
			rest &^= f.bit
		}
	}
	if rest != 0 {
		fmt.Fprintf(&b, "Unknown=%#04x ", rest)
	}
	b.WriteString("]")
	return b.String()
}

// ctRows lists connections by the bytes of their keys.
func ctRows(s Store, opt TextOptions) ([]Row, error) {
	in, err := items(s, byKey[CTKey, CTEntry])
	return rows(in, func(k *CTKey, v *CTEntry) (string, string) { return k.String(), v.text(opt.Remaining) }), err
}

// listCT is `cilium bpf ct list` for one map: a line for each entry, then an empty line.
func listCT(w io.Writer, s Store, opt TextOptions) error {
	in, err := ctRows(s, opt)
	if err != nil {
		return err
	}
	for _, r := range in {
		if _, err := fmt.Fprintf(w, "%s %s\n", r.Key, r.Value); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, "\n")
	return err
}

// WriteCTList writes both conntrack maps as `cilium bpf ct list global` does, TCP first.
func WriteCTList(w io.Writer, tcp, other Store, opt TextOptions) error {
	if err := listCT(w, tcp, opt); err != nil {
		return err
	}
	return listCT(w, other, opt)
}
