package dataplane

import "github.com/hooklab/hooklab/dataplane/code"

// Delivery is how a packet reaches a local pod: the switch between the profiles
// (SPEC 0.3, 16). It stands for the defines that a real build differs in.
type Delivery uint8

// Deliveries.
const (
	// DeliverRedirect is what a real 1.12 agent does without kube-proxy
	// replacement: the receiver's policy program by tail call, then a plain
	// redirect to its lxc device.
	DeliverRedirect Delivery = iota
	// DeliverPeer is the same with redirect_peer into the pod (ENABLE_HOST_ROUTING),
	// except for traffic from the host.
	DeliverPeer
	// DeliverToContainer redirects to the lxc device with the sender's identity in
	// the mark; to-container at its egress does conntrack and policy
	// (USE_BPF_PROG_FOR_INGRESS_POLICY).
	DeliverToContainer
	// DeliverStack leaves local delivery to the stack's per-endpoint routes
	// (ENABLE_ENDPOINT_ROUTES, no ENABLE_ROUTING).
	DeliverStack
)

// Clock is the datapath's unit of time (SPEC 5.4).
type Clock uint8

// Clocks: seconds of bpf_ktime_get_ns, or bpf_jiffies64 >> 8 (ENABLE_JIFFIES).
const (
	ClockKtime Clock = iota
	ClockJiffies
)

// Aggregation is the monitor aggregation level (SPEC 12.4).
type Aggregation uint8

// Aggregation levels: none reports every packet, low hides FROM_* points, medium
// hides unremarkable packets of known flows too.
const (
	AggregateNone   Aggregation = 0
	AggregateLow    Aggregation = 1
	AggregateMedium Aggregation = 3
)

// Lifetimes are conntrack times in seconds (SPEC 5.4).
type Lifetimes struct {
	TCP, NonTCP               uint32
	ServiceTCP, ServiceNonTCP uint32
	SYN, Close                uint32
	ServiceCloseRebalance     uint32
}

// Config is what a real agent compiles into an object: node_config.h,
// netdev_config.h and ep_config.h, as data. Addresses are in network order.
type Config struct {
	// The node.
	EncapIfindex   uint32  // cilium_vxlan (ENCAP_IFINDEX)
	NetIfindex     uint32  // cilium_net (HOST_IFINDEX)
	HostIfindex    uint32  // cilium_host (CILIUM_IFINDEX)
	HostMAC        [6]byte // cilium_host (HOST_IFINDEX_MAC)
	NetMAC         [6]byte // cilium_net (CILIUM_NET_MAC)
	OverlayMAC     [6]byte // cilium_vxlan, NODE_MAC of bpf_overlay
	PodCIDRMask    [4]byte // IPV4_MASK, of the tunnel map's keys
	Loopback       [4]byte // IPV4_LOOPBACK, 169.254.42.1
	TunnelPort     uint16  // host order
	LocalNodeID    uint32  // identity that leaves the node instead of host: 6 or 7
	HostEndpointID uint16  // source of the host programs' notifications
	Delivery       Delivery

	// Conntrack and monitor.
	Lifetimes      Lifetimes
	ReportInterval uint32 // seconds
	ReportFlags    uint8  // TCP flags that make a report
	Clock          Clock
	KernelHz       uint32 // CONFIG_HZ, for ClockJiffies
	Aggregation    Aggregation
	CaptureLen     uint32 // TRACE_PAYLOAD_LEN

	// The endpoint; zero for host and overlay programs.
	Endpoint EndpointConfig
}

// EndpointConfig is a pod's part of Config.
type EndpointConfig struct {
	ID            uint16
	IPv4          [4]byte
	NodeMAC       [6]byte // host side of the pod's wire
	Identity      uint32  // SECLABEL
	VerdictFilter uint32  // POLICY_VERDICT_LOG_FILTER: bit 0 ingress, bit 1 egress
}

// DefaultConfig is Cilium 1.12's default agent on any node: all that does not
// depend on devices and addresses (SPEC 0.1).
//
// Differs: times are ktime seconds, which are easy to read; an agent that Helm
// installed on Linux 5.6 or later counts in jiffies (ClockJiffies). Test:
// TestDefaultConfig.
func DefaultConfig() Config {
	return Config{
		PodCIDRMask: [4]byte{255, 255, 255, 0},
		Loopback:    [4]byte{169, 254, 42, 1},
		TunnelPort:  8472,
		LocalNodeID: code.IdentityRemoteNode,
		Lifetimes: Lifetimes{
			TCP: 21600, NonTCP: 60, ServiceTCP: 21600, ServiceNonTCP: 60,
			SYN: 60, Close: 10, ServiceCloseRebalance: 60,
		},
		ReportInterval: 5,
		ReportFlags:    0xff,
		KernelHz:       250,
		Aggregation:    AggregateMedium,
		CaptureLen:     128,
	}
}
