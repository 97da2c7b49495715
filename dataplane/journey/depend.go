package journey

import (
	"slices"
	"strings"

	"github.com/hooklab/hooklab/dataplane/trace"
)

// readBy are the fields that a function reads, by its C name. l4. stands for the
// packet's own protocol.
func readBy(function string) []string {
	switch function {
	case "handle_xgress", "from_overlay", "from_host", "from_netdev", "handle_to_container":
		return []string{"eth.type"}
	case "__tail_handle_ipv4":
		return []string{"ip.src"}
	case "lb4_lookup_service":
		return []string{"ip.dst", "l4.dport"}
	case "ct_lookup4":
		return []string{"ip.src", "ip.dst", "ip.proto", "l4.sport", "l4.dport", "tcp.flags", "icmp.type", "icmp.id"}
	case "ipcache_lookup4", "lookup_ip4_endpoint":
		return []string{"ip.dst"}
	case "resolve_srcid_ipv4":
		return []string{"ip.src"}
	case "ipv4_l3":
		return []string{"ip.ttl"}
	case "__policy_can_access":
		return []string{"ip.proto", "l4.dport", "icmp.type"}
	case "inherit_identity_from_host":
		return []string{"mark"}
	case "arp_validate":
		return []string{"eth.dst", "arp.op", "arp.target_ip"}
	case "handle_ipv4":
		return []string{"ip.src", "ip.dst"}
	}
	return nil
}

// dependencies are the fields and entries on which a packet's way depended. An entry
// is "NODE MAP KEY", one that is not there "NODE no MAP KEY".
func (p *Packet) dependencies() (fields, entries []string) {
	order := []string{
		"eth.dst", "eth.type", "arp.op", "arp.target_ip", "ip.src", "ip.dst", "ip.proto", "ip.ttl", "l4.sport", "l4.dport",
		"tcp.flags", "icmp.type", "icmp.id", "mark", "VNI",
	}
	read := map[string]bool{}
	for _, s := range p.Steps {
		if s.Run == nil {
			continue
		}
		for _, l := range s.Run.Lines {
			for _, f := range readBy(l.Func) {
				read[f] = true
			}
		}
		if s.Run.Program == "from-overlay" {
			read["VNI"] = true
		}
		for _, l := range s.Run.lookups {
			if e := trimPlace(s.Place) + " " + l.entry(); !slices.Contains(entries, e) {
				entries = append(entries, e)
			}
		}
	}
	for _, f := range order {
		l4, name, _ := strings.Cut(f, ".")
		switch {
		case !read[f]:
		case l4 == "l4" && (p.proto == "tcp" || p.proto == "udp"):
			fields = append(fields, p.proto+"."+name)
		case l4 == "l4", (l4 == "tcp" || l4 == "icmp") && l4 != p.proto:
		default:
			fields = append(fields, f)
		}
	}
	return fields, entries
}

// entry is what a lookup depended on.
func (l *lookup) entry() string {
	switch {
	case !l.hit:
		return "no " + l.name + " " + l.text
	case l.m == trace.MapIPCache && l.matched != "":
		return l.name + " " + l.matched
	}
	return l.name + " " + l.text
}
