package dissect

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane/header"
)

// Beyond this many frames or packets within each other the rest is data.
const maxNesting = 3

const (
	etherTypeVLAN uint16 = 0x8100

	protoICMPv6 uint8 = 58
	protoHopOpt uint8 = 0

	vxlanPortLinux uint16 = 8472 // Linux' default, and Cilium's
	vxlanPortIANA  uint16 = 4789 // RFC 7348
)

// A spec says how a header field is shown.
type spec struct {
	name   string
	n      int // bytes
	text   func([]byte) string
	shared bool // the next field begins at the same byte
}

// walker covers a frame with fields, byte by byte from the start.
type walker struct {
	frame  []byte
	off    int // first byte not yet covered
	end    int // first byte that does not belong to the current layer
	prefix string
	nested int
	fields []field
}

// walk returns the fields of a frame.
func walk(frame []byte) []field {
	w := walker{frame: frame, end: len(frame)}
	w.ethernet()
	return w.fields
}

// rest is what the current layer has left.
func (w *walker) rest() []byte { return w.frame[w.off:w.end] }

func (w *walker) add(name string, n int, value string, opaque bool) {
	w.fields = append(w.fields, field{Field{Name: w.prefix + name, Offset: w.off, Len: n, Value: value}, opaque})
}

// raw covers n bytes, or as many as are left, with a field without structure.
func (w *walker) raw(name string, n int, text func([]byte) string) {
	n = min(n, w.end-w.off)
	if n <= 0 {
		return
	}
	w.add(name, n, text(w.rest()[:n]), true)
	w.off += n
}

// data covers all that is left as payload.
func (w *walker) data() { w.raw("data", w.end-w.off, dataText) }

// header covers the fields of a header and returns its bytes, or nil if it is cut
// off: then the fields that are whole have been covered, and the rest as cut.
func (w *walker) header(layer string, specs ...spec) []byte {
	start := w.off
	for _, s := range specs {
		if w.end-w.off < s.n {
			w.raw(layer+".cut", w.end-w.off, dataText)
			return nil
		}
		w.add(layer+"."+s.name, s.n, s.text(w.rest()[:s.n]), false)
		if !s.shared {
			w.off += s.n
		}
	}
	return w.frame[start:w.off]
}

// within lets cover handle the next n bytes, or as many as are left; what then
// remains of the layer is its trailer.
func (w *walker) within(n int, layer string, cover func()) {
	outer := w.end
	w.end = min(w.end, w.off+n)
	cover()
	w.end = outer
	w.raw(layer+".trailer", w.end-w.off, dataText)
}

// nest lets cover handle what is left as something of its own within this packet.
func (w *walker) nest(prefix string, cover func()) {
	if w.nested == maxNesting {
		w.data()
		return
	}
	outer := w.prefix
	w.prefix += prefix
	w.nested++
	cover()
	w.nested--
	w.prefix = outer
}

func (w *walker) ethernet() {
	h := w.header("eth", spec{name: "dst", n: 6, text: macText}, spec{name: "src", n: 6, text: macText},
		spec{name: "type", n: 2, text: etherTypeText})
	if h == nil {
		return
	}
	typ := header.Ethernet(h).Type()
	if typ == etherTypeVLAN {
		h = w.header("vlan", spec{name: "tag", n: 2, text: vlanText}, spec{name: "type", n: 2, text: etherTypeText})
		if h == nil {
			return
		}
		typ = binary.BigEndian.Uint16(h[2:])
	}
	switch typ {
	case header.EtherTypeARP:
		w.arp()
	case header.EtherTypeIPv4:
		w.ipv4()
	case header.EtherTypeIPv6:
		w.ipv6()
	default:
		w.data()
	}
}

// arp covers ARP for IPv4 over Ethernet; other sizes of address are data.
func (w *walker) arp() {
	const hardwareLen, protocolLen = 4, 5
	if b := w.rest(); len(b) > protocolLen && (b[hardwareLen] != 6 || b[protocolLen] != 4) {
		w.raw("arp.malformed", len(b), dataText)
		return
	}
	w.within(header.ARPSize, "arp", func() {
		w.header("arp",
			spec{name: "hardware", n: 2, text: decText}, spec{name: "protocol", n: 2, text: hexText},
			spec{name: "hlen", n: 1, text: decText}, spec{name: "plen", n: 1, text: decText},
			spec{name: "op", n: 2, text: arpOpText},
			spec{name: "sender_mac", n: 6, text: macText}, spec{name: "sender_ip", n: 4, text: addrText},
			spec{name: "target_mac", n: 6, text: macText}, spec{name: "target_ip", n: 4, text: addrText})
	})
}

func (w *walker) ipv4() {
	b := w.rest()
	if len(b) > 0 && (header.IPv4(b).Version() != 4 || header.IPv4(b).HeaderLen() < header.IPv4MinSize) {
		w.raw("ip.malformed", len(b), dataText)
		return
	}
	h := header.IPv4(w.header("ip",
		spec{name: "version", n: 1, text: highNibbleText, shared: true}, spec{name: "hlen", n: 1, text: headerLenText},
		spec{name: "tos", n: 1, text: hexText}, spec{name: "len", n: 2, text: decText},
		spec{name: "id", n: 2, text: decText},
		spec{name: "flags", n: 2, text: ipFlagsText, shared: true}, spec{name: "frag", n: 2, text: fragText},
		spec{name: "ttl", n: 1, text: decText}, spec{name: "proto", n: 1, text: protoText},
		spec{name: "checksum", n: 2, text: hexText},
		spec{name: "src", n: 4, text: addrText}, spec{name: "dst", n: 4, text: addrText}))
	if h == nil {
		return
	}
	n := int(h.TotalLen()) - header.IPv4MinSize
	if int(h.TotalLen()) < h.HeaderLen() { // 0 in a GSO packet; else wrong
		n = w.end - w.off
	}
	w.within(n, "ip", func() {
		w.raw("ip.options", h.HeaderLen()-header.IPv4MinSize, dataText)
		if h.HasL4Header() {
			w.transport(h.Protocol())
		} else {
			w.data()
		}
	})
}

func (w *walker) ipv6() {
	if b := w.rest(); len(b) > 0 && b[0]>>4 != 6 {
		w.raw("ip6.malformed", len(b), dataText)
		return
	}
	h := w.header("ip6",
		spec{name: "version", n: 4, text: highNibbleText, shared: true},
		spec{name: "class", n: 4, text: classText, shared: true}, spec{name: "flow", n: 4, text: flowText},
		spec{name: "len", n: 2, text: decText}, spec{name: "next", n: 1, text: protoText},
		spec{name: "hop_limit", n: 1, text: decText},
		spec{name: "src", n: 16, text: addrText}, spec{name: "dst", n: 16, text: addrText})
	if h == nil {
		return
	}
	n := int(binary.BigEndian.Uint16(h[4:]))
	if n == 0 { // a jumbogram or a GSO packet
		n = w.end - w.off
	}
	w.within(n, "ip6", func() {
		proto := h[6]
		if b := w.rest(); proto == protoHopOpt && len(b) >= 2 {
			proto = b[0]
			w.raw("ip6.options", 8*(1+int(b[1])), dataText)
		}
		w.transport(proto)
	})
}

// transport covers what an IP packet carries.
func (w *walker) transport(proto uint8) {
	switch proto {
	case header.ProtoTCP:
		w.tcp()
	case header.ProtoUDP:
		w.udp()
	case header.ProtoICMP:
		w.icmp()
	case protoICMPv6:
		w.icmp6()
	default:
		w.data()
	}
}
