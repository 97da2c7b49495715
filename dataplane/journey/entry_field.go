package journey

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/maps"
)

// EntryField is a field of a map's value, as a person reads and writes it.
type EntryField struct{ Name, Value string }

// layoutOf is a zero value of a map's value type, or nil for maps that are shown as
// bytes.
func layoutOf(name string) layout {
	switch name {
	case maps.NameLXC:
		return valueLayout[maps.EndpointInfo]{}
	case maps.NameIPCache:
		return valueLayout[maps.RemoteEndpointInfo]{}
	case maps.NameTunnel:
		return valueLayout[maps.TunnelEndpoint]{}
	case maps.NameCT4, maps.NameCTAny4:
		return valueLayout[maps.CTEntry]{}
	case maps.NameServices:
		return valueLayout[maps.LB4Service]{}
	case maps.NameBackends:
		return valueLayout[maps.LB4Backend]{}
	case maps.NameRevNAT:
		return valueLayout[maps.RevNAT]{}
	case maps.NameFrags:
		return valueLayout[maps.FragPorts]{}
	}
	if strings.HasPrefix(name, "cilium_policy_") {
		return valueLayout[maps.PolicyEntry]{}
	}
	return nil
}

// layout knows the fields of one map's values.
type layout interface {
	// open is a value's struct, which can be set, and its bytes.
	open(value []byte) (reflect.Value, []byte)
}

// valueLayout is the layout of values of type V.
type valueLayout[V any] struct{}

func (valueLayout[V]) open(value []byte) (reflect.Value, []byte) {
	v := decode[V](value)
	return reflect.ValueOf(&v).Elem(), maps.Bytes(&v)
}

// fieldsOf are the fields of a value, without padding.
func fieldsOf(name string, value []byte) []EntryField {
	l := layoutOf(name)
	if l == nil {
		return nil
	}
	v, _ := l.open(value)
	var out []EntryField
	for i := range v.NumField() {
		if text, ok := fieldText(v.Field(i)); ok && !padding(v.Type().Field(i).Name) {
			out = append(out, EntryField{v.Type().Field(i).Name, text})
		}
	}
	return out
}

func padding(name string) bool { return strings.HasPrefix(name, "Pad") || name == "Unused" }

// setField is a value with a field changed.
func setField(name string, value []byte, field, text string) ([]byte, error) {
	l := layoutOf(name)
	if l == nil {
		return nil, fmt.Errorf("%w: values of %s have no fields; give all bytes as 0x and hex digits", ErrEntry, name)
	}
	v, raw := l.open(value)
	var names []string
	for i := range v.NumField() {
		f := v.Type().Field(i).Name
		if padding(f) {
			continue
		}
		names = append(names, f)
		if !strings.EqualFold(f, field) {
			continue
		}
		if err := setText(v.Field(i), text); err != nil {
			return nil, fmt.Errorf("%w: %s of %s: %w", ErrEntry, f, name, err)
		}
		return raw, nil
	}
	return nil, fmt.Errorf("%w: values of %s have no field %q; there are %s", ErrEntry, name, field, strings.Join(names, ", "))
}

// fieldText is a field for people: numbers, addresses, MACs, and two bytes as a number
// in network order.
func fieldText(f reflect.Value) (string, bool) {
	switch x := f.Interface().(type) {
	case [4]byte:
		return netip.AddrFrom4(x).String(), true
	case [6]byte:
		return cluster.MAC(x).String(), true
	case [2]byte:
		return strconv.Itoa(int(binary.BigEndian.Uint16(x[:]))), true
	}
	if f.CanUint() {
		return strconv.FormatUint(f.Uint(), 10), true
	}
	return "", false
}

func setText(f reflect.Value, text string) error {
	switch f.Interface().(type) {
	case [4]byte:
		ip, err := netip.ParseAddr(text)
		if err != nil || !ip.Is4() {
			return fmt.Errorf("%q is no IPv4 address", text)
		}
		f.Set(reflect.ValueOf(ip.As4()))
		return nil
	case [6]byte:
		var mac cluster.MAC
		if err := mac.UnmarshalText([]byte(text)); err != nil {
			return err
		}
		f.Set(reflect.ValueOf([6]byte(mac)))
		return nil
	case [2]byte:
		n, err := strconv.ParseUint(text, 0, 16)
		if err != nil {
			return fmt.Errorf("%q is no number from 0 to 65535", text)
		}
		f.Set(reflect.ValueOf([2]byte{byte(n >> 8), byte(n)}))
		return nil
	}
	if !f.CanUint() {
		return fmt.Errorf("it cannot be set")
	}
	n, err := strconv.ParseUint(text, 0, f.Type().Bits())
	if err != nil {
		return fmt.Errorf("%q is no number of %d bits", text, f.Type().Bits())
	}
	f.SetUint(n)
	return nil
}
