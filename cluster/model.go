package cluster

import (
	"maps"
	"net/netip"
	"slices"
)

// Node is a machine of the cluster. In a Node that is handed in, zero fields mean
// "allocate".
type Node struct {
	Name         string
	ControlPlane bool
	Labels       map[string]string

	IP      netip.Addr   // InternalIP, on the underlay
	PodCIDR netip.Prefix // its pods' addresses
	Router  netip.Addr   // of cilium_host (CiliumInternalIP)
	Health  Endpoint     // lxc_health; its IP is invalid if the lab has no health endpoints

	ID     uint16 // node id in ipcache and tunnel values, 1..65535 (SPEC 15)
	HostID uint16 // endpoint id of the host itself

	Engine string // of the node in a lab: emulated, bytecode, kernel; "": the lab's

	// Indexes of cilium_net, cilium_host and cilium_vxlan; 0: those of a fresh node.
	NetIfindex, HostIfindex, VXLANIfindex uint32

	MAC, HostMAC, NetMAC, VXLANMAC MAC // eth0, cilium_host, cilium_net, cilium_vxlan
}

// Endpoint is a network namespace behind a veth pair: a pod's or a node's health
// endpoint's. It is what cilium_lxc holds.
type Endpoint struct {
	IP       netip.Addr
	ID       uint16 // 1..65534, unique on its node
	Identity uint32
	MAC      MAC    // of eth0 inside
	NodeMAC  MAC    // of the device on the host's side
	Ifindex  uint32 // of the device on the host's side
	Device   string // its name, "lxc" and 12 hex digits
}

// Phase is how far a pod's life has come.
type Phase uint8

// Phases. Services send new connections to running pods only; a terminating pod
// keeps those it has.
const (
	Running Phase = iota
	NotReady
	Terminating
)

// String is the phase as a word.
func (p Phase) String() string {
	return [...]string{"Running", "NotReady", "Terminating"}[min(p, Terminating)]
}

// Pod is a pod and its endpoint. In a Pod that is handed in, zero fields mean
// "allocate"; namespace "" is default.
type Pod struct {
	Namespace, Name string
	Node            string
	Labels          map[string]string
	ServiceAccount  string            // "" is default
	Run             []string          // command that runs in it, none by default
	Ports           map[string]uint16 // named container ports
	HostNetwork     bool              // lives in the node's namespace; has the node's IP and no endpoint
	Phase           Phase
	Endpoint
}

// Ref is "namespace/name".
func (p *Pod) Ref() string { return p.Namespace + "/" + p.Name }

// Service is a Kubernetes service. In a Service that is handed in, zero fields mean
// "allocate"; namespace "" is default.
type Service struct {
	Namespace, Name string
	Headless        bool       // has no cluster IP, hence nothing in the maps
	ClusterIP       netip.Addr // invalid if headless
	Selector        map[string]string
	Ports           []ServicePort
	// BackendIDs asks for certain backend ids.
	BackendIDs map[netip.AddrPort]uint32
}

// Ref is "namespace/name".
func (s *Service) Ref() string { return s.Namespace + "/" + s.Name }

// ServicePort is one port of a service: a frontend with its backends. TCP and UDP
// ports of the same number share one, because Cilium 1.12 keys frontends without
// protocol (SPEC 6.2): the first one's backends count.
type ServicePort struct {
	Name       string
	Protocol   string // TCP, UDP, SCTP
	Port       uint16
	TargetPort string // number or name of the pods' port; "" is Port
	ID         uint16 // service id, which is the reverse NAT id too
	// Fixed says that Backends were given (by the description, an EndpointSlice or
	// SetBackends) instead of chosen by the service's selector.
	Fixed bool
	// Backends are the port's backends in the order of their slots: the active ones
	// by id, then those that are terminating.
	Backends []Backend
}

// Active is the number of backends that new connections may go to.
func (p *ServicePort) Active() int {
	n := 0
	for _, b := range p.Backends {
		if !b.Terminating {
			n++
		}
	}
	return n
}

// Backend is an address behind a service. Its id belongs to the address, so that
// services share it.
type Backend struct {
	ID          uint32
	Addr        netip.AddrPort
	Terminating bool
}

// External is a host outside the cluster, reachable over the underlay.
type External struct {
	Name string
	IP   netip.Addr
	Run  []string
}

// Clones share nothing that completing an object changes.
func (s Service) clone() Service {
	s.Ports = slices.Clone(s.Ports)
	for i := range s.Ports {
		s.Ports[i].Backends = slices.Clone(s.Ports[i].Backends)
	}
	s.BackendIDs = maps.Clone(s.BackendIDs)
	return s
}
