package compare

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"

	"github.com/hooklab/hooklab/maps"
)

// keyText is an entry's key as Cilium prints it, or as hex where it is no such key.
func keyText(name string, key []byte) string {
	k, _ := layoutOf(name)
	if k == nil || !decodeInto(k, key) {
		return hex.EncodeToString(key)
	}
	if s, ok := k.(fmt.Stringer); ok {
		return s.String()
	}
	return hex.EncodeToString(key)
}

// slot is the key of a prog array.
type slot struct{ Index uint32 }

// String is "slot 7".
func (s *slot) String() string { return fmt.Sprintf("slot %d", s.Index) }

// layoutOf are pointers to a fresh key and value of a map; nil for an unknown map. A prog
// array's values have none.
func layoutOf(name string) (key, value any) {
	switch name {
	case maps.NameCT4, maps.NameCTAny4:
		return new(maps.CTKey), new(maps.CTEntry)
	case maps.NameFrags:
		return new(maps.FragKey), new(maps.FragPorts)
	case maps.NameMetrics:
		return new(maps.MetricsKey), new(maps.MetricsValue)
	case maps.NameLXC:
		return new(maps.EndpointKey), new(maps.EndpointInfo)
	case maps.NameIPCache:
		return new(maps.IPCacheKey), new(maps.RemoteEndpointInfo)
	case maps.NameTunnel:
		return new(maps.TunnelKey), new(maps.TunnelEndpoint)
	case maps.NameServices:
		return new(maps.LB4Key), new(maps.LB4Service)
	case maps.NameBackends:
		return new(maps.LB4BackendKey), new(maps.LB4Backend)
	case maps.NameRevNAT:
		return new(maps.RevNATKey), new(maps.RevNAT)
	}
	if name == maps.NamePolicyCall || strings.HasPrefix(name, "cilium_calls_") {
		return new(slot), nil // the value is a number of the engine's own
	}
	if strings.HasPrefix(name, "cilium_policy_") {
		return new(maps.PolicyKey), new(maps.PolicyEntry)
	}
	return nil, nil
}

// decodeInto reads a struct of package maps, all of whose integers are little endian.
func decodeInto(v any, b []byte) bool {
	if binary.Size(v) != len(b) {
		return false
	}
	_, err := binary.Decode(b, binary.LittleEndian, v)
	return err == nil
}

// valueText is a whole value, its zero fields left out.
func valueText(name string, value []byte) string {
	if value == nil {
		return textNone
	}
	_, v := layoutOf(name)
	if v == nil || !decodeInto(v, value) {
		return hex.EncodeToString(value)
	}
	var parts []string
	s := reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		if !s.Field(i).IsZero() {
			parts = append(parts, s.Type().Field(i).Name+"="+fieldText(s.Field(i)))
		}
	}
	if len(parts) == 0 {
		return "all zero"
	}
	return strings.Join(parts, " ")
}

// textNone is what there is not.
const textNone = "none"

// valueFields are the fields in which two values of a map differ.
func valueFields(name string, left, right []byte) []FieldDiff {
	_, l := layoutOf(name)
	_, r := layoutOf(name)
	if l == nil || !decodeInto(l, left) || !decodeInto(r, right) {
		return []FieldDiff{{Field: "value", Left: hex.EncodeToString(left), Right: hex.EncodeToString(right)}}
	}
	return structFields(l, r)
}

// structFields are the fields in which two structs of one type differ.
func structFields(left, right any) []FieldDiff {
	var list []FieldDiff
	l, r := reflect.Indirect(reflect.ValueOf(left)), reflect.Indirect(reflect.ValueOf(right))
	for i := range l.NumField() {
		f := l.Type().Field(i)
		if f.Anonymous {
			list = append(list, structFields(l.Field(i).Interface(), r.Field(i).Interface())...)
			continue
		}
		a, b := fieldText(l.Field(i)), fieldText(r.Field(i))
		if a != b {
			list = append(list, FieldDiff{Field: f.Name, Left: a, Right: b})
		}
	}
	return list
}

// fieldText is a field as people write it: byte arrays of 2 are numbers in network
// order, of 4 addresses, of 6 MACs.
func fieldText(v reflect.Value) string {
	if v.Kind() != reflect.Array || v.Type().Elem().Kind() != reflect.Uint8 {
		return fmt.Sprintf("%d", v.Interface())
	}
	b := make([]byte, v.Len())
	reflect.Copy(reflect.ValueOf(b), v)
	switch len(b) {
	case 2:
		return fmt.Sprint(binary.BigEndian.Uint16(b))
	case 4:
		return netip.AddrFrom4([4]byte(b)).String()
	case 6:
		return net.HardwareAddr(b).String()
	case 16:
		if bytes.Equal(b[4:], make([]byte, 12)) {
			return netip.AddrFrom4([4]byte(b[:4])).String()
		}
	}
	return hex.EncodeToString(b)
}
