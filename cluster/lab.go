package cluster

import (
	"errors"
	"strconv"

	"github.com/hooklab/hooklab/dataplane"
)

// labAPIVersion is the apiVersion of our own kind.
const labAPIVersion = "hooklab.io/v1alpha1"

// labDoc is the document of kind Lab. It holds the lab's settings and, in short
// forms, whole nodes, pods and services.
type labDoc struct {
	APIVersion string  `json:"apiVersion"`
	Kind       string  `json:"kind"`
	Metadata   labMeta `json:"metadata"`
	Spec       labSpec `json:"spec"`
}

type labMeta struct {
	Name string `json:"name"`
}

type labSpec struct {
	Profile       string         `json:"profile" allow:"cilium-1.12|article|host-routing|endpoint-routes"`
	KernelVersion *KernelVersion `json:"kernelVersion"`
	Underlay      *cidr4         `json:"underlay"`
	PodCIDR       *cidr4         `json:"podCIDR"`
	PodCIDRMask   uint8          `json:"podCIDRMask" allow:"8..29"`
	ServiceCIDR   *cidr4         `json:"serviceCIDR"`
	MTU           uint32         `json:"mtu" allow:"1280..65535"`
	Seed          uint64         `json:"seed"`
	Health        *bool          `json:"health"`
	Aggregation   string         `json:"aggregation" allow:"none|low|medium"`
	Clock         string         `json:"clock" allow:"ktime|jiffies"`
	HZ            uint32         `json:"hz" allow:"100..1000"`
	Lifetimes     labLifetimes   `json:"lifetimes"`
	GCInterval    *seconds       `json:"conntrackGCInterval"`
	External      []labExternal  `json:"external"`
	Nodes         []labNode      `json:"nodes"`
	Pods          []labPod       `json:"pods"`
	Services      []labService   `json:"services"`
}

type labLifetimes struct {
	TCP                   *seconds `json:"tcp"`
	NonTCP                *seconds `json:"nonTCP"`
	ServiceTCP            *seconds `json:"serviceTCP"`
	ServiceNonTCP         *seconds `json:"serviceNonTCP"`
	SYN                   *seconds `json:"syn"`
	Close                 *seconds `json:"close"`
	ServiceCloseRebalance *seconds `json:"serviceCloseRebalance"`
	ReportInterval        *seconds `json:"reportInterval"`
}

type labExternal struct {
	Line int
	Name string   `json:"name"`
	IP   ipv4     `json:"ip"`
	Run  []string `json:"run"`
}

type labNode struct {
	Line     int
	Name     string    `json:"name"`
	Role     string    `json:"role" allow:"control-plane|worker"`
	IP       ipv4      `json:"ip"`
	PodCIDR  cidr4     `json:"podCIDR"`
	Router   ipv4      `json:"router"`
	Health   labHealth `json:"health"`
	ID       uint16    `json:"id" allow:"1..65535"`
	HostID   uint16    `json:"hostID" allow:"1..65534"`
	MAC      MAC       `json:"mac"`
	HostMAC  MAC       `json:"hostMAC"`
	NetMAC   MAC       `json:"netMAC"`
	VXLANMAC MAC       `json:"vxlanMAC"`
	Engine   string    `json:"engine" allow:"emulated|bytecode|kernel"`
}

// labHealth fixes what is otherwise allocated for a node's health endpoint.
type labHealth struct {
	IP      ipv4   `json:"ip"`
	ID      uint16 `json:"id" allow:"1..65534"`
	MAC     MAC    `json:"mac"`
	NodeMAC MAC    `json:"nodeMAC"`
	Ifindex uint32 `json:"ifindex" allow:"6..2147483647"`
}

type labPod struct {
	Line      int
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Node      string            `json:"node"`
	Labels    map[string]string `json:"labels"`
	Run       []string          `json:"run"`
	IP        ipv4              `json:"ip"`
	ID        uint16            `json:"id" allow:"1..65534"`
	Identity  uint32            `json:"identity" allow:"100..16777215"`
	MAC       MAC               `json:"mac"`
	NodeMAC   MAC               `json:"nodeMAC"`
	Ifindex   uint32            `json:"ifindex" allow:"6..2147483647"`
	Device    string            `json:"device"`
}

type labService struct {
	Line       int
	Name       string               `json:"name"`
	Namespace  string               `json:"namespace"`
	ClusterIP  ipv4                 `json:"clusterIP"`
	Selector   map[string]string    `json:"selector"`
	Ports      []labPort            `json:"ports"`
	BackendIDs map[addrPort4]uint32 `json:"backendIDs"`
}

// labPort may be written as a number alone.
type labPort struct {
	Name       string       `json:"name"`
	Protocol   string       `json:"protocol" allow:"TCP|UDP|SCTP"`
	Port       uint16       `json:"port" allow:"1..65535"`
	TargetPort string       `json:"targetPort"`
	ID         uint16       `json:"id" allow:"1..65535"`
	Backends   []labBackend `json:"backends"`
}

func (p *labPort) setScalar(text string) error {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return errors.New("not a port; allowed: 1..65535, or a mapping with port")
	}
	p.Port = uint16(n)
	return nil
}

// labBackend may be written as its address alone.
type labBackend struct {
	Address addrPort4 `json:"address"`
	State   string    `json:"state" allow:"active|terminating"`
}

func (b *labBackend) setScalar(text string) error { return b.Address.UnmarshalText([]byte(text)) }

// lab takes a Lab document into the description.
func (d *description) lab(o origin, doc *labDoc, ps *problems) {
	if d.labFrom.file != "" {
		ps.addf(o, "kind", "a second Lab document; the first is document %d of %s", d.labFrom.doc, d.labFrom.file)
		return
	}
	d.labFrom = o
	if doc.APIVersion != labAPIVersion {
		ps.addf(o, "apiVersion", "%s: allowed: %s", quote(doc.APIVersion), labAPIVersion)
	}
	if doc.Metadata.Name != "" {
		if err := checkName(doc.Metadata.Name); err != nil {
			ps.addf(o, "metadata.name", "%v", err)
		}
		d.settings.Name = doc.Metadata.Name
	}
	spec := &doc.Spec
	d.labSettings(spec)
	d.labDatapath(spec)
	for i := range spec.External {
		d.labExternal(o.item(spec.External[i].Line, "spec.external", i), &spec.External[i], ps)
	}
	for i := range spec.Nodes {
		d.labNode(o.item(spec.Nodes[i].Line, "spec.nodes", i), &spec.Nodes[i], ps)
	}
	for i := range spec.Pods {
		d.labPod(o.item(spec.Pods[i].Line, "spec.pods", i), &spec.Pods[i], ps)
	}
	for i := range spec.Services {
		d.labService(o.item(spec.Services[i].Line, "spec.services", i), &spec.Services[i], ps)
	}
}

// set stores what a pointer holds, if it holds anything.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (d *description) labSettings(spec *labSpec) {
	s := &d.settings
	if spec.Profile != "" {
		s.Profile = Profile(spec.Profile)
	}
	set(&s.Kernel, spec.KernelVersion)
	if spec.Underlay != nil {
		s.Underlay, d.underlayGiven = spec.Underlay.Prefix, true
	}
	if spec.PodCIDR != nil {
		s.PodPool = spec.PodCIDR.Prefix
	}
	if spec.PodCIDRMask != 0 {
		s.PodMask = int(spec.PodCIDRMask)
	}
	if spec.ServiceCIDR != nil {
		s.ServiceCIDR = spec.ServiceCIDR.Prefix
	}
	if spec.MTU != 0 {
		s.MTU = spec.MTU
	}
	s.Seed = spec.Seed
	set(&s.Health, spec.Health)
	set(&s.ConntrackGCInterval, (*uint32)(spec.GCInterval))
}

func (d *description) labDatapath(spec *labSpec) {
	c := &d.settings.Datapath
	switch spec.Aggregation {
	case "none":
		c.Aggregation = dataplane.AggregateNone
	case "low":
		c.Aggregation = dataplane.AggregateLow
	case "medium":
		c.Aggregation = dataplane.AggregateMedium
	}
	if spec.Clock == "jiffies" {
		c.Clock = dataplane.ClockJiffies
	}
	if spec.HZ != 0 {
		c.KernelHz = spec.HZ
	}
	l, t := &c.Lifetimes, &spec.Lifetimes
	set(&l.TCP, (*uint32)(t.TCP))
	set(&l.NonTCP, (*uint32)(t.NonTCP))
	set(&l.ServiceTCP, (*uint32)(t.ServiceTCP))
	set(&l.ServiceNonTCP, (*uint32)(t.ServiceNonTCP))
	set(&l.SYN, (*uint32)(t.SYN))
	set(&l.Close, (*uint32)(t.Close))
	set(&l.ServiceCloseRebalance, (*uint32)(t.ServiceCloseRebalance))
	set(&c.ReportInterval, (*uint32)(t.ReportInterval))
}
