package maps

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strconv"
)

// policyPrefix begins the names of the policy maps, one for each endpoint.
const policyPrefix = "cilium_policy_"

// Values of PolicyKey.Egress.
const (
	PolicyIngress = 0
	PolicyEgress  = 1
)

// PolicyDeny is the bit of PolicyEntry.Deny.
const PolicyDeny = 1

// PolicyName returns the name of an endpoint's policy map, cilium_policy_%05d.
func PolicyName(endpoint uint16) string {
	return fmt.Sprintf("%s%05d", policyPrefix, endpoint)
}

// PolicyKey selects traffic by the identity of the other side, destination port, protocol and direction (8 bytes, struct
// policy_key; SPEC 13). Zero is a wildcard; for ICMP, DPort holds the type.
type PolicyKey struct {
	SecLabel      uint32
	DPort         [2]byte
	Proto, Egress uint8
}

// PolicyEntry is the decision and its counters (24 bytes, struct policy_entry; SPEC 13). ProxyPort is in network order.
type PolicyEntry struct {
	ProxyPort      [2]byte
	Deny, Pad      uint8
	Pad1, Pad2     uint16
	Packets, Bytes uint64
}

// String returns direction, identity and, for a port, port/protocol.
func (k PolicyKey) String() string {
	s := fmt.Sprintf("%s: %d", k.dirText(), k.SecLabel)
	if p := k.portText(); p != portAny {
		s += " " + p
	}
	return s
}

// String returns the decision, the proxy port and the counters.
func (v PolicyEntry) String() string {
	return fmt.Sprintf("%s proxyport=%s packets=%d bytes=%d", v.decision(), v.proxyText(), v.Packets, v.Bytes)
}

const portAny = "ANY"

func (k PolicyKey) dirText() string {
	if k.Egress&1 == PolicyEgress {
		return "Egress"
	}
	return "Ingress"
}

func (k PolicyKey) portText() string {
	if port := be16(k.DPort); port != 0 {
		return fmt.Sprintf("%d/%s", port, protoText(k.Proto))
	}
	return portAny
}

func (v PolicyEntry) decision() string {
	if v.Deny&PolicyDeny != 0 {
		return "Deny"
	}
	return "Allow"
}

func (v PolicyEntry) proxyText() string {
	if port := be16(v.ProxyPort); port != 0 {
		return strconv.Itoa(int(port))
	}
	return "NONE"
}

// policyItems reads the entries with denials first, then ingress, then by identity, port and protocol.
func policyItems(s Store) ([]item[PolicyKey, PolicyEntry], error) {
	return items(s, func(a, b *item[PolicyKey, PolicyEntry]) int {
		return cmp.Or(
			cmp.Compare(b.v.Deny&PolicyDeny, a.v.Deny&PolicyDeny),
			cmp.Compare(a.k.Egress, b.k.Egress),
			cmp.Compare(a.k.SecLabel, b.k.SecLabel),
			bytes.Compare(a.k.DPort[:], b.k.DPort[:]),
			cmp.Compare(a.k.Proto, b.k.Proto),
		)
	})
}

func policyRows(s Store, _ TextOptions) ([]Row, error) {
	in, err := policyItems(s)
	return rows(in, func(k *PolicyKey, v *PolicyEntry) (string, string) { return k.String(), v.String() }), err
}

// listPolicy is `cilium bpf policy get` (SPEC 14.7).
func listPolicy(w io.Writer, s Store, opt TextOptions) error {
	in, err := policyItems(s)
	if err != nil {
		return err
	}
	who := "LABELS (source:key[=value])"
	if opt.Numeric {
		who = "IDENTITY"
	}
	err = tabulate(w, "POLICY\tDIRECTION\t"+who+"\tPORT/PROTO\tPROXY PORT\tBYTES\tPACKETS\t", func(line func(cells ...string)) {
		for _, e := range in {
			labels := []string{strconv.FormatUint(uint64(e.k.SecLabel), 10)}
			if !opt.Numeric && opt.Labels != nil {
				if l := opt.Labels(e.k.SecLabel); len(l) > 0 {
					labels = l
				}
			}
			line(e.v.decision(), e.k.dirText(), labels[0], e.k.portText(), e.v.proxyText(),
				strconv.FormatUint(e.v.Bytes, 10), strconv.FormatUint(e.v.Packets, 10), "")
			for _, l := range labels[1:] {
				line("", "", l, "", "", "", "", "")
			}
		}
	})
	if err == nil && len(in) == 0 {
		_, err = io.WriteString(w, "Policy stats empty. Perhaps the policy enforcement is disabled?\n")
	}
	return err
}
