package maps

import (
	"cmp"
	"fmt"
	"strconv"
)

// Names of the program arrays. Those of a device's own tail calls carry an id; cilium_call_policy is shared by the node.
const (
	NamePolicyCall   = "cilium_call_policy"
	NameOverlayCalls = "cilium_calls_overlay_2"

	callsPrefix = "cilium_calls_"
)

// CallsEntries is the size of a program's own calls map; SPEC 1 lists the slots.
const CallsEntries = 33

// CallsName returns the name of an endpoint's calls map, cilium_calls_%05d.
func CallsName(endpoint uint16) string {
	return fmt.Sprintf("%s%05d", callsPrefix, endpoint)
}

// HostCallsName returns the name of the calls map of cilium_host, cilium_calls_hostns_%05d of the host's endpoint id.
func HostCallsName(endpoint uint16) string {
	return fmt.Sprintf("%shostns_%05d", callsPrefix, endpoint)
}

// NetdevCallsName returns the name of the calls map of another device of the host, cilium_calls_netdev_%05d of its ifindex.
func NetdevCallsName(ifindex uint32) string {
	return fmt.Sprintf("%snetdev_%05d", callsPrefix, ifindex)
}

// callRows lists the slots in use and the section names of their programs. A program without a known name is written as its id.
func callRows(s Store, opt TextOptions) ([]Row, error) {
	name := opt.ProgName
	if a, ok := s.(interface{ ProgName(id uint32) string }); ok && name == nil {
		name = a.ProgName
	}
	in, err := items(s, func(a, b *item[uint32, uint32]) int { return cmp.Compare(a.k, b.k) })
	return rows(in, func(k, v *uint32) (string, string) {
		text := ""
		if name != nil {
			text = name(*v)
		}
		if text == "" {
			text = fmt.Sprintf("id %d", *v)
		}
		return strconv.FormatUint(uint64(*k), 10), text
	}), err
}
