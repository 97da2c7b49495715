package object

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
)

// variable is a constant in read-only data, which programs load from there.
type variable struct {
	section      string
	offset, size uint32
	name         string
}

// inlineConstant is an instruction that loads the address of a data symbol, where the address stands for the symbol's
// value: Cilium's way to have one object for all endpoints. The loader puts the value in its place.
type inlineConstant struct {
	program, instruction int
	size                 uint32
	name                 string
	shift                uint32 // bytes from the symbol on
	initial              []byte // the symbol's bytes in the file
}

// constantValue is the bytes of a constant in memory: addresses in network order, numbers in the host's.
type constantValue func(k Kind, c *dataplane.Config) []byte

func number[T ~uint8 | ~uint16 | ~uint32](v T) []byte {
	return binary.NativeEndian.AppendUint64(nil, uint64(v))
}

func flag(v bool) []byte {
	if v {
		return number(uint8(1))
	}
	return number(uint8(0))
}

// constants are what an object may leave to its loader: by the names of Cilium's defines and data symbols.
func constants() map[string]constantValue {
	type c = *dataplane.Config
	return map[string]constantValue{
		// The node.
		"ENCAP_IFINDEX":    func(_ Kind, c c) []byte { return number(c.EncapIfindex) },
		"HOST_IFINDEX":     func(_ Kind, c c) []byte { return number(c.NetIfindex) },
		"CILIUM_IFINDEX":   func(_ Kind, c c) []byte { return number(c.HostIfindex) },
		"HOST_IFINDEX_MAC": func(_ Kind, c c) []byte { return c.HostMAC[:] },
		"CILIUM_NET_MAC":   func(_ Kind, c c) []byte { return c.NetMAC[:] },
		"IPV4_MASK":        func(_ Kind, c c) []byte { return c.PodCIDRMask[:] },
		"IPV4_LOOPBACK":    func(_ Kind, c c) []byte { return c.Loopback[:] },
		"TUNNEL_PORT":      func(_ Kind, c c) []byte { return number(c.TunnelPort) },
		"LOCAL_NODE_ID":    func(_ Kind, c c) []byte { return number(c.LocalNodeID) },
		"HOST_EP_ID":       func(_ Kind, c c) []byte { return number(c.HostEndpointID) },

		// Local delivery.
		"ENABLE_HOST_ROUTING":    func(_ Kind, c c) []byte { return flag(c.Delivery == dataplane.DeliverPeer) },
		"ENABLE_ROUTING":         func(_ Kind, c c) []byte { return flag(c.Delivery != dataplane.DeliverStack) },
		"ENABLE_ENDPOINT_ROUTES": func(_ Kind, c c) []byte { return flag(c.Delivery == dataplane.DeliverStack) },
		"USE_BPF_PROG_FOR_INGRESS_POLICY": func(_ Kind, c c) []byte {
			return flag(c.Delivery == dataplane.DeliverToContainer)
		},

		// Conntrack and monitor.
		"CT_CONNECTION_LIFETIME_TCP":    func(_ Kind, c c) []byte { return number(c.Lifetimes.TCP) },
		"CT_CONNECTION_LIFETIME_NONTCP": func(_ Kind, c c) []byte { return number(c.Lifetimes.NonTCP) },
		"CT_SERVICE_LIFETIME_TCP":       func(_ Kind, c c) []byte { return number(c.Lifetimes.ServiceTCP) },
		"CT_SERVICE_LIFETIME_NONTCP":    func(_ Kind, c c) []byte { return number(c.Lifetimes.ServiceNonTCP) },
		"CT_SYN_TIMEOUT":                func(_ Kind, c c) []byte { return number(c.Lifetimes.SYN) },
		"CT_CLOSE_TIMEOUT":              func(_ Kind, c c) []byte { return number(c.Lifetimes.Close) },
		"CT_SERVICE_CLOSE_REBALANCE":    func(_ Kind, c c) []byte { return number(c.Lifetimes.ServiceCloseRebalance) },
		"CT_REPORT_INTERVAL":            func(_ Kind, c c) []byte { return number(c.ReportInterval) },
		"CT_REPORT_FLAGS":               func(_ Kind, c c) []byte { return number(c.ReportFlags) },
		"ENABLE_JIFFIES":                func(_ Kind, c c) []byte { return flag(c.Clock == dataplane.ClockJiffies) },
		"KERNEL_HZ":                     func(_ Kind, c c) []byte { return number(c.KernelHz) },
		"MONITOR_AGGREGATION":           func(_ Kind, c c) []byte { return number(uint8(c.Aggregation)) },
		"TRACE_PAYLOAD_LEN":             func(_ Kind, c c) []byte { return number(c.CaptureLen) },

		// What an instance of the object speaks for.
		"NODE_MAC":   func(k Kind, c c) []byte { m := nodeMAC(k, c); return m[:] },
		"NODE_MAC_1": func(k Kind, c c) []byte { m := nodeMAC(k, c); return m[:4] },
		"NODE_MAC_2": func(k Kind, c c) []byte { m := nodeMAC(k, c); return append(m[4:6:6], 0, 0) },
		"SECLABEL":   func(k Kind, c c) []byte { return number(secLabel(k, c)) },
		"SECLABEL_NB": func(k Kind, c c) []byte {
			return binary.BigEndian.AppendUint32(nil, secLabel(k, c))
		},
		"LXC_ID": func(k Kind, c c) []byte {
			return number([numKinds]uint16{c.Endpoint.ID, c.HostEndpointID, 0}[k])
		},
		"LXC_IPV4":                  func(_ Kind, c c) []byte { return c.Endpoint.IPv4[:] },
		"POLICY_VERDICT_LOG_FILTER": func(_ Kind, c c) []byte { return number(c.Endpoint.VerdictFilter) },
	}
}

// nodeMAC is NODE_MAC (SPEC 0.1).
func nodeMAC(k Kind, c *dataplane.Config) [6]byte {
	return [numKinds][6]byte{c.Endpoint.NodeMAC, c.HostMAC, c.OverlayMAC}[k]
}

// secLabel is SECLABEL: the pod's identity, the host's, or that of the world behind the overlay.
func secLabel(k Kind, c *dataplane.Config) uint32 {
	return [numKinds]uint32{c.Endpoint.Identity, code.IdentityHost, code.IdentityWorld}[k]
}

// addConstants finds the object's constants: read-only variables by name, and references to other data.
func (o *Object) addConstants(spec *ebpf.CollectionSpec) error {
	known := constants()
	for _, m := range o.Maps {
		if m.Scope != ScopeData || !strings.HasPrefix(m.Symbol, ".rodata") {
			continue
		}
		for name, v := range spec.Variables {
			if v.SectionName != m.Symbol {
				continue
			}
			if _, ok := known[name]; ok {
				o.vars = append(o.vars, variable{m.Symbol, v.Offset, uint32(len(v.Value)), name})
			} else if isVolatile(v.Type) {
				return o.refuse("variable %q in %s is set by the loader (const volatile), and no constant of that name is known", name, m.Symbol)
			}
		}
	}
	slices.SortFunc(o.vars, func(a, b variable) int { return strings.Compare(a.name, b.name) })
	for i := range o.Programs {
		for j, ins := range o.Programs[i].Instructions {
			ref := ins.Reference()
			if !ins.IsLoadFromMap() || !isData(ref) || strings.HasPrefix(ref, ".rodata") {
				continue
			}
			c, err := o.inlineAt(spec, ins)
			if err != nil {
				return err
			}
			if _, ok := known[c.name]; !ok {
				return o.refuse("section %q refers to %q in %s: no constant of that name is known", o.Programs[i].Section, c.name, ref)
			}
			c.program, c.instruction = i, j
			o.inline = append(o.inline, c)
		}
	}
	// Data whose addresses are values is no memory.
	o.Maps = slices.DeleteFunc(o.Maps, func(m Map) bool {
		return m.Scope == ScopeData && !strings.HasPrefix(m.Symbol, ".rodata")
	})
	return nil
}

// inlineAt finds the symbol whose address an instruction loads.
func (o *Object) inlineAt(spec *ebpf.CollectionSpec, ins asm.Instruction) (inlineConstant, error) {
	offset := uint32(uint64(ins.Constant) >> 32)
	for name, v := range spec.Variables {
		end := uint64(v.Offset) + uint64(len(v.Value))
		if v.SectionName == ins.Reference() && v.Offset <= offset && uint64(offset) < end {
			return inlineConstant{name: name, size: uint32(len(v.Value)), shift: offset - v.Offset, initial: v.Value}, nil
		}
	}
	return inlineConstant{}, o.refuse("a reference to %s+%d: no symbol there", ins.Reference(), offset)
}

// isVolatile tells a variable that the compiler may not fold.
func isVolatile(v *btf.Var) bool {
	if v == nil {
		return false
	}
	t := v.Type
	for {
		switch q := t.(type) {
		case *btf.Const:
			t = q.Type
		case *btf.Volatile:
			return true
		case *btf.Array:
			t = q.Type
		default:
			return false
		}
	}
}

// encode writes a constant's value into memory of its size. A number that does not fit, or an address of another size, is
// an error.
func (o *Object) encode(into []byte, name string, value []byte) error {
	n := copy(into, value)
	clear(into[n:])
	for _, b := range value[n:] {
		if b != 0 {
			return o.refuse("constant %s: the value %x does not fit into its %d bytes", name, value, len(into))
		}
	}
	return nil
}
