package maps

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// NameServices is the map of service frontends and their backend slots.
const NameServices = "cilium_lb4_services_v2"

// LB4Key is a service frontend (BackendSlot 0) or one of its backend slots (12 bytes, struct lb4_key; SPEC 6.1). BackendSlot is in
// host order, Proto is always 0, Scope is 0 for external and 1 for internal.
type LB4Key struct {
	Address      [4]byte
	DPort        [2]byte
	BackendSlot  uint16
	Proto, Scope uint8
	Pad          [2]byte
}

// LB4Service is the value of a frontend or slot (12 bytes, struct lb4_service; SPEC 6.1). BackendID is 0 and Count the number of
// active backends in slot 0; RevNAT is in network order.
type LB4Service struct {
	BackendID     uint32
	Count         uint16
	RevNAT        [2]byte
	Flags, Flags2 uint8
	Pad           [2]byte
}

// Bits of LB4Service.Flags and Flags2 (SPEC 6.1).
const (
	ServiceExternalIP   = 0x01
	ServiceNodePort     = 0x02
	ServiceLocalScope   = 0x04
	ServiceHostPort     = 0x08
	ServiceAffinity     = 0x10
	ServiceLoadBalancer = 0x20
	ServiceRoutable     = 0x40
	ServiceSourceRange  = 0x80

	Service2LocalRedirect = 0x01
	Service2NAT46x64      = 0x02
	Service2L7LB          = 0x04
)

// lbTitle heads the second column of `cilium bpf lb list`.
const lbTitle = "BACKEND ADDRESS (REVNAT_ID) (SLOT)"

// String returns the frontend as `cilium map get` prints it, ip:port, with /i for internal scope; the slot is not part of it.
func (k LB4Key) String() string {
	s := addrPort(k.Address, k.DPort)
	if k.Scope == 1 {
		s += "/i"
	}
	return s
}

// String returns the value as `cilium map get` prints it: backend id, count, (reverse NAT id), [flags flags2] (SPEC 14.3).
func (v LB4Service) String() string {
	return fmt.Sprintf("%d %d (%d) [0x%x 0x%x]", v.BackendID, v.Count, be16(v.RevNAT), v.Flags, v.Flags2)
}

// FlagText returns the flags in words, as `cilium bpf lb list` prints them.
func (v LB4Service) FlagText() string {
	kind := "ClusterIP"
	switch {
	case v.Flags&ServiceExternalIP != 0:
		kind = "ExternalIPs"
	case v.Flags&ServiceNodePort != 0:
		kind = "NodePort"
	case v.Flags&ServiceLoadBalancer != 0:
		kind = "LoadBalancer"
	case v.Flags&ServiceHostPort != 0:
		kind = "HostPort"
	case v.Flags2&Service2LocalRedirect != 0:
		kind = "LocalRedirect"
	}
	words := []string{kind}
	for _, w := range []struct {
		on   bool
		text string
	}{
		{v.Flags&ServiceLocalScope != 0, "Local"},
		{v.Flags&ServiceAffinity != 0, "sessionAffinity"},
		{v.Flags&ServiceRoutable == 0, "non-routable"},
		{v.Flags&ServiceSourceRange != 0, "check source-range"},
		{v.Flags2&Service2NAT46x64 != 0, "46x64"},
		{v.Flags2&Service2L7LB != 0, "l7-load-balancer"},
	} {
		if w.on {
			words = append(words, w.text)
		}
	}
	return strings.Join(words, ", ")
}

// serviceItems reads the services by frontend, then by slot.
func serviceItems(s Store) ([]item[LB4Key, LB4Service], error) {
	return items(s, func(a, b *item[LB4Key, LB4Service]) int {
		return cmp.Or(
			bytes.Compare(a.k.Address[:], b.k.Address[:]),
			bytes.Compare(a.k.DPort[:], b.k.DPort[:]),
			cmp.Compare(a.k.Proto, b.k.Proto),
			cmp.Compare(a.k.Scope, b.k.Scope),
			cmp.Compare(a.k.BackendSlot, b.k.BackendSlot),
		)
	})
}

// serviceRows lists frontends by address and port, and their slots if asked for.
func serviceRows(s Store, opt TextOptions) ([]Row, error) {
	in, err := serviceItems(s)
	if !opt.AllSlots {
		in = slices.DeleteFunc(in, func(e item[LB4Key, LB4Service]) bool { return e.k.BackendSlot != 0 })
	}
	return rows(in, func(k *LB4Key, v *LB4Service) (string, string) { return k.String(), v.String() }), err
}

// listFrontends is `cilium bpf lb list --frontends`.
func listFrontends(w io.Writer, s Store, opt TextOptions) error {
	opt.AllSlots = true
	return titled(serviceRows, "SERVICE ADDRESS", "BACKEND ID", false)(w, s, opt)
}

// WriteLBList writes services and backends as `cilium bpf lb list` does: for each frontend its flags, then its slots.
func WriteLBList(w io.Writer, services, backends Store) error {
	in, err := serviceItems(services)
	if err != nil {
		return err
	}
	known, err := items(backends, byKey[LB4BackendKey, LB4Backend])
	if err != nil {
		return err
	}
	byID := make(map[uint32]LB4Backend)
	for _, b := range known {
		byID[b.k.ID] = b.v
	}
	return twoColumns(w, "SERVICE ADDRESS", lbTitle, rows(in, func(k *LB4Key, v *LB4Service) (string, string) {
		if k.BackendSlot == 0 {
			return k.String(), fmt.Sprintf("0.0.0.0:0 (%d) (0) [%s]", be16(v.RevNAT), v.FlagText())
		}
		b, ok := byID[v.BackendID]
		if !ok {
			return k.String(), fmt.Sprintf("backend %d not found", v.BackendID)
		}
		return k.String(), fmt.Sprintf("%s (%d) (%d)", addrPort(b.Address, b.Port), be16(v.RevNAT), k.BackendSlot)
	}))
}
