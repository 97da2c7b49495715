package object

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hooklab/hooklab/dataplane"
)

// headers are the files that an agent leaves beside its objects, later ones going before earlier ones.
func headers() []string { return []string{"node_config.h", "netdev_config.h", "ep_config.h"} }

// define is a #define, or a constant that the user supplies.
type define struct {
	where string // file:line, or --define
	value string
	maybe bool // inside an #if, which is not evaluated
	user  bool // supplied by the user
}

// defines are what headers and user say, by name.
type defines map[string]define

var defineLine = regexp.MustCompile(`^\s*#\s*define\s+([A-Za-z_][A-Za-z0-9_]*)(?:\s+(.*))?$`)

// readHeader adds the object-like macros of a header. Conditions are not evaluated, but for the header's own guard.
func (d defines) readHeader(name, text string) {
	guard, depth := "", 0
	for n, line := range strings.Split(text, "\n") {
		line = stripComment(line)
		word := strings.Join(strings.Fields(strings.Replace(line, "#", "# ", 1)), " ")
		switch {
		case strings.HasPrefix(word, "# ifndef ") && depth == 0 && guard == "":
			guard = strings.TrimPrefix(word, "# ifndef ")
			depth++
		case strings.HasPrefix(word, "# if"):
			depth++
		case strings.HasPrefix(word, "# endif"):
			depth--
		}
		m := defineLine.FindStringSubmatch(line)
		if m == nil || m[1] == guard {
			continue
		}
		inside := depth
		if guard != "" && d[guard].where == "" && inside > 0 {
			inside-- // the guard's own
		}
		d[m[1]] = define{where: fmt.Sprintf("%s:%d", name, n+1), value: strings.TrimSpace(m[2]), maybe: inside > 0}
	}
}

func stripComment(line string) string {
	for {
		before, rest, ok := strings.Cut(line, "/*")
		if !ok {
			break
		}
		_, after, _ := strings.Cut(rest, "*/")
		line = before + " " + after
	}
	line, _, _ = strings.Cut(line, "//")
	return strings.TrimRight(line, " \t\r")
}

// readHeaders reads the headers of a directory; none need be there.
func readHeaders(dir string) (defines, error) {
	d := defines{}
	for _, name := range headers() {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrObject, err)
		}
		if len(text) > maxHeader {
			return nil, refuse(filepath.Join(dir, name), "%d bytes: want at most %d", len(text), maxHeader)
		}
		d.readHeader(name, string(text))
	}
	return d, nil
}

const maxHeader = 1 << 20

// add puts what the user supplies before what headers say.
func (d defines) add(user map[string]string) error {
	settable := append(sortedKeys(compiledIn()), sortedKeys(switches())...)
	for _, name := range sortedKeys(user) {
		if !slices.Contains(settable, name) {
			return fmt.Errorf("--define %s=%s: %w: no such constant; there are %s", name, user[name], ErrObject, strings.Join(settable, ", "))
		}
		d[name] = define{where: "--define " + name, value: user[name], user: true}
	}
	return nil
}

// compiledIn are the constants that an agent compiles into its objects, and how they get into a configuration.
func compiledIn() map[string]func(c *dataplane.Config, v value) error {
	type c = *dataplane.Config
	u32 := func(into func(c) *uint32) func(c, value) error {
		return func(c c, v value) (err error) { *into(c), err = v.number32(); return err }
	}
	u16 := func(into func(c) *uint16) func(c, value) error {
		return func(c c, v value) (err error) { *into(c), err = v.number16(); return err }
	}
	mac := func(into func(c) *[6]byte) func(c, value) error {
		return func(c c, v value) (err error) { *into(c), err = v.mac(); return err }
	}
	addr := func(into func(c) *[4]byte) func(c, value) error {
		return func(c c, v value) (err error) { *into(c), err = v.address(); return err }
	}
	return map[string]func(c, value) error{
		"ENCAP_IFINDEX":                 u32(func(c c) *uint32 { return &c.EncapIfindex }),
		"HOST_IFINDEX":                  u32(func(c c) *uint32 { return &c.NetIfindex }),
		"CILIUM_IFINDEX":                u32(func(c c) *uint32 { return &c.HostIfindex }),
		"HOST_IFINDEX_MAC":              mac(func(c c) *[6]byte { return &c.HostMAC }),
		"CILIUM_NET_MAC":                mac(func(c c) *[6]byte { return &c.NetMAC }),
		nameOverlayMAC:                  mac(func(c c) *[6]byte { return &c.OverlayMAC }),
		"IPV4_MASK":                     addr(func(c c) *[4]byte { return &c.PodCIDRMask }),
		"IPV4_LOOPBACK":                 addr(func(c c) *[4]byte { return &c.Loopback }),
		"TUNNEL_PORT":                   u16(func(c c) *uint16 { return &c.TunnelPort }),
		"LOCAL_NODE_ID":                 u32(func(c c) *uint32 { return &c.LocalNodeID }),
		"HOST_EP_ID":                    u16(func(c c) *uint16 { return &c.HostEndpointID }),
		"CT_CONNECTION_LIFETIME_TCP":    u32(func(c c) *uint32 { return &c.Lifetimes.TCP }),
		"CT_CONNECTION_LIFETIME_NONTCP": u32(func(c c) *uint32 { return &c.Lifetimes.NonTCP }),
		"CT_SERVICE_LIFETIME_TCP":       u32(func(c c) *uint32 { return &c.Lifetimes.ServiceTCP }),
		"CT_SERVICE_LIFETIME_NONTCP":    u32(func(c c) *uint32 { return &c.Lifetimes.ServiceNonTCP }),
		"CT_SYN_TIMEOUT":                u32(func(c c) *uint32 { return &c.Lifetimes.SYN }),
		"CT_CLOSE_TIMEOUT":              u32(func(c c) *uint32 { return &c.Lifetimes.Close }),
		"CT_SERVICE_CLOSE_REBALANCE":    u32(func(c c) *uint32 { return &c.Lifetimes.ServiceCloseRebalance }),
		"CT_REPORT_INTERVAL":            u32(func(c c) *uint32 { return &c.ReportInterval }),
		"TRACE_PAYLOAD_LEN":             u32(func(c c) *uint32 { return &c.CaptureLen }),
		"CT_REPORT_FLAGS": func(c c, v value) error {
			n, err := v.number(8)
			c.ReportFlags = uint8(n)
			return err
		},
	}
}

// nameOverlayMAC is our name for NODE_MAC of bpf_overlay, which an agent gives to the compiler alone.
const nameOverlayMAC = "CILIUM_VXLAN_MAC"

// switches are the defines whose absence says something too.
func switches() map[string]bool {
	return map[string]bool{
		"ENABLE_JIFFIES": true, "KERNEL_HZ": true, "MONITOR_AGGREGATION": true, "ENABLE_ROUTING": true, "ENABLE_HOST_ROUTING": true,
		"ENABLE_ENDPOINT_ROUTES": true, "USE_BPF_PROG_FOR_INGRESS_POLICY": true,
	}
}

// unsupported are the options of Cilium 1.12 that no engine here knows (SPEC 0.2).
func unsupported() []string {
	return []string{
		"ENABLE_IPV6", "ENABLE_NODEPORT", "ENABLE_SESSION_AFFINITY", "ENABLE_SRC_RANGE_CHECK", "ENABLE_MASQUERADE", "ENABLE_HOST_FIREWALL",
		"ENABLE_BANDWIDTH_MANAGER", "ENABLE_IPSEC", "ENABLE_WIREGUARD", "ENABLE_L7_LB", "ENABLE_TPROXY", "ENABLE_VTEP",
		"ENABLE_EGRESS_GATEWAY", "ENABLE_CUSTOM_CALLS", "ENABLE_ARP_PASSTHROUGH", "DISABLE_SIP_VERIFICATION", "POLICY_AUDIT_MODE",
		"DISABLE_LOOPBACK_LB", "ENABLE_ENCAP_HOST_REMAP",
	}
}

// config writes what is said into a configuration and returns the names of the constants it had.
func (d defines) config(c *dataplane.Config) ([]string, error) {
	for _, name := range unsupported() {
		if x, ok := d[name]; ok && x.value != "0" {
			return nil, refuse(x.where, "%s: an option that is not part of the datapath that hooklab knows", name)
		}
	}
	var had []string
	for name, set := range compiledIn() {
		x, ok := d[name]
		if !ok {
			continue
		}
		v, err := d.value(name, x)
		if err != nil {
			return nil, err
		}
		if err := set(c, v); err != nil {
			return nil, refuse(x.where, "%s %s: %w", name, x.value, err)
		}
		had = append(had, name)
	}
	slices.Sort(had)
	for name := range switches() {
		_, said := d[name]
		if said || d.fromHeader() {
			had = append(had, name)
		}
	}
	return had, d.switches(c)
}

// fromHeader tells whether there was any header: only then an absent switch is off.
func (d defines) fromHeader() bool {
	for _, x := range d {
		if !x.user {
			return true
		}
	}
	return false
}

// switches reads the defines whose absence says something too.
func (d defines) switches(c *dataplane.Config) error {
	number := func(name string, bits int) (uint64, bool, error) {
		x, ok := d[name]
		if !ok {
			return 0, false, nil
		}
		if x.value == "" {
			return 1, true, nil
		}
		v, err := d.value(name, x)
		if err != nil {
			return 0, true, err
		}
		n, err := v.number(bits)
		if err != nil {
			return 0, true, refuse(x.where, "%s %s: %w", name, x.value, err)
		}
		return n, true, nil
	}
	on := map[string]bool{}
	said := d.fromHeader()
	for name := range switches() {
		n, ok, err := number(name, 32)
		if err != nil {
			return err
		}
		on[name] = n != 0
		switch {
		case !ok && !said:
		case name == "KERNEL_HZ" && ok:
			c.KernelHz = uint32(n)
		case name == "MONITOR_AGGREGATION":
			if n > uint64(dataplane.AggregateMedium) {
				return refuse(d[name].where, "%s %d: want 0 to %d", name, n, dataplane.AggregateMedium)
			}
			c.Aggregation = dataplane.Aggregation(n)
		case name == "ENABLE_JIFFIES":
			c.Clock = dataplane.ClockKtime
			if n != 0 {
				c.Clock = dataplane.ClockJiffies
			}
		}
	}
	if said && on["ENABLE_JIFFIES"] && !on["KERNEL_HZ"] {
		return refuse(d["ENABLE_JIFFIES"].where, "ENABLE_JIFFIES without KERNEL_HZ; --define KERNEL_HZ=N supplies it")
	}
	if said {
		c.Delivery = delivery(on)
	}
	return nil
}

func delivery(on map[string]bool) dataplane.Delivery {
	switch {
	case on["ENABLE_ENDPOINT_ROUTES"] || !on["ENABLE_ROUTING"]:
		return dataplane.DeliverStack
	case on["USE_BPF_PROG_FOR_INGRESS_POLICY"]:
		return dataplane.DeliverToContainer
	case on["ENABLE_HOST_ROUTING"]:
		return dataplane.DeliverPeer
	default:
		return dataplane.DeliverRedirect
	}
}

// value follows names of other defines.
func (d defines) value(name string, x define) (value, error) {
	if x.maybe {
		return "", refuse(x.where, "%s is defined under a condition, which hooklab does not evaluate; --define %s=V decides", name, name)
	}
	v := x.value
	for range 8 {
		next, ok := d[v]
		if !ok {
			return value(v), nil
		}
		v = next.value
	}
	return "", refuse(x.where, "%s: defined by way of too many other names", name)
}

// value is the right side of a define.
type value string

func (v value) number(bits int) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimRight(strings.Trim(string(v), "() "), "uUlL"), 0, bits)
	if err != nil {
		return 0, fmt.Errorf("want a number of %d bits", bits)
	}
	return n, nil
}

func (v value) number32() (uint32, error) {
	n, err := v.number(32)
	return uint32(n), err
}

func (v value) number16() (uint16, error) {
	n, err := v.number(16)
	return uint16(n), err
}

// address is an IPv4 address: dotted, or the number that has it in memory in network order.
func (v value) address() (a [4]byte, err error) {
	if ip, err := netip.ParseAddr(string(v)); err == nil && ip.Is4() {
		return ip.As4(), nil
	}
	n, err := v.number(32)
	if err != nil {
		return a, fmt.Errorf("want an IPv4 address or %w", err)
	}
	binary.NativeEndian.PutUint32(a[:], uint32(n))
	return a, nil
}

// mac is a MAC address: with colons, or a C initialiser with six bytes.
func (v value) mac() (m [6]byte, err error) {
	if b, err := hex.DecodeString(strings.ReplaceAll(string(v), ":", "")); err == nil && len(b) == 6 && strings.Count(string(v), ":") == 5 {
		return [6]byte(b), nil
	}
	text := strings.TrimSpace(strings.NewReplacer("{", " ", "}", " ", ".addr", " ", "=", " ").Replace(string(v)))
	parts := strings.Split(text, ",")
	if len(parts) != 6 {
		return m, fmt.Errorf("want a MAC address (02:00:00:00:00:01, or a C initialiser with six bytes)")
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(strings.TrimSpace(p), 0, 8)
		if err != nil {
			return m, fmt.Errorf("byte %d of the MAC address, %q: want 0 to 0xff", i, strings.TrimSpace(p))
		}
		m[i] = byte(n)
	}
	return m, nil
}
