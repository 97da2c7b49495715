package dissect

// Field is a named part of a frame.
//
// The name is the layer and the field: "eth.dst", "ip.ttl", "tcp.flags". A frame
// within a VXLAN packet has "inner." before it, the packet that an ICMP error
// quotes has "orig.": "inner.ip.src", "orig.udp.dport". Names are unique within a
// frame. What has no structure is a field too: "data" is the payload,
// "<layer>.options" its options, "<layer>.trailer" what lies behind the length that
// the layer states, "<layer>.cut" the rest of a header that ends too early, and
// "<layer>.malformed" a header that cannot be one.
type Field struct {
	Name   string `json:"name"`
	Offset int    `json:"offset"` // in bytes from the start of the frame
	Len    int    `json:"len"`    // in bytes; flags and other parts of a byte count as whole bytes
	Value  string `json:"value"`  // as people write it: addresses, decimal numbers, names of flags
}

// field is a Field as the walker makes it.
type field struct {
	Field
	opaque bool // Value may stand for several byte strings
}

// Fields lists the fields of an Ethernet frame in the order of its bytes. Every
// byte is in at least one field; a byte or word that holds several (version and
// header length; flags and fragment offset) is in all of them. The frame may be cut
// off or malformed anywhere.
func Fields(frame []byte) []Field {
	fields := walk(frame)
	out := make([]Field, len(fields))
	for i, f := range fields {
		out[i] = f.Field
	}
	return out
}

// FieldAt returns the first field that the byte at offset belongs to, and false if
// the frame has no such byte.
func FieldAt(frame []byte, offset int) (Field, bool) {
	for _, f := range walk(frame) {
		if f.Offset <= offset && offset < f.Offset+f.Len {
			return f.Field, true
		}
	}
	return Field{}, false
}
