package generate

import (
	"fmt"
	"net"
	"net/netip"

	"sigs.k8s.io/yaml"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/compare"
)

type object = map[string]any

// world describes a cluster by one Lab document that leaves nothing to be allocated, so
// that whoever shrinks it changes only what is taken away.
func (g *maker) world(s *compare.Scenario) {
	c := clusterMaker{maker: g, used: map[uint32]bool{}, ports: []uint16{80, 443, 53, 8080}}
	spec := c.settings()
	c.nodes(spec)
	c.pods(spec)
	c.services(spec)
	doc := object{
		"apiVersion": "hooklab.io/v1alpha1", "kind": "Lab", "metadata": object{"name": "generated"}, "spec": spec,
	}
	data, err := yaml.Marshal(doc)
	if err != nil {
		panic(err) // a document of strings and numbers
	}
	s.Cluster = []cluster.Source{{Name: "cluster.yaml", Data: data}}
	s.Node = "n1"
	s.Settings = c.overrides()
}

type clusterMaker struct {
	*maker
	used  map[uint32]bool // identities and ids of several kinds
	cidrs []netip.Prefix
	local []string // pods of n1
	ips   []string // of all pods
	ports []uint16
}

// number is one that was not given yet.
func (c *clusterMaker) number(low, high uint32) uint32 {
	for {
		if n := low + c.Uint32N(high-low); !c.used[n] {
			c.used[n] = true
			return n
		}
	}
}

func (c *clusterMaker) mac() string {
	b := c.bytes(6)
	b[0] = b[0]&^1 | 2
	return net.HardwareAddr(b).String()
}

// settings are the lab's properties, with short lives so that the clock outruns them.
func (c *clusterMaker) settings() object {
	spec := object{"underlay": "172.18.0.0/16", "seed": 1, "health": c.pick("health", 2) == 0}
	switch c.pick("profile", 5) {
	case 0:
		spec["profile"] = "cilium-1.12"
	case 1:
		spec["profile"], spec["kernelVersion"] = "article", "5.10"
	case 2:
		spec["profile"], spec["kernelVersion"] = "article", "5.4"
	case 3:
		spec["profile"] = "host-routing"
	case 4:
		spec["profile"] = "endpoint-routes"
	}
	spec["aggregation"] = []string{"none", "low", "medium"}[c.pick("aggregation", 3)]
	if c.pick("clock", 3) == 0 {
		spec["clock"], spec["hz"] = "jiffies", oneOf(c.maker, []int{100, 250, 1000})
	}
	if c.chance(70) {
		spec["lifetimes"] = object{
			"tcp": oneOf(c.maker, []int{30, 600, 21600}), "nonTCP": oneOf(c.maker, []int{5, 60}),
			"serviceTCP": oneOf(c.maker, []int{40, 21600}), "serviceNonTCP": oneOf(c.maker, []int{6, 60}),
			"syn": oneOf(c.maker, []int{7, 60}), "close": oneOf(c.maker, []int{3, 10}),
			"serviceCloseRebalance": oneOf(c.maker, []int{4, 30}), "reportInterval": oneOf(c.maker, []int{1, 5}),
		}
	}
	return spec
}

// overrides are settings that a cluster's description does not have.
func (c *clusterMaker) overrides() []compare.Setting {
	var list []compare.Setting
	for _, x := range []struct {
		name   string
		values []uint32
	}{
		{"capture", []uint32{0, 1, 14, 64, 127}},
		{"report-flags", []uint32{0, 7, 1}},
		{"tunnel-port", []uint32{4789, 80}},
		{"aggregation", []uint32{2}},
		{"local-node-id", []uint32{7}},
	} {
		if c.chance(15) {
			list = append(list, compare.Setting{Name: x.name, Value: oneOf(c.maker, x.values)})
		}
	}
	for _, p := range c.local {
		if c.chance(50) {
			list = append(list, compare.Setting{Name: "verdicts", Device: p, Value: 1 + c.Uint32N(3)})
		}
		if c.chance(10) {
			list = append(list, compare.Setting{Name: "reload", Device: p, Value: 1})
		}
	}
	return list
}

func (c *clusterMaker) nodes(spec object) {
	var nodes []any
	for i := range 1 + c.pick("nodes", 4) {
		bits := oneOf(c.maker, []int{24, 24, 26})
		cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), bits)
		c.cidrs = append(c.cidrs, cidr)
		n := object{
			"name": fmt.Sprintf("n%d", i+1), "ip": fmt.Sprintf("172.18.0.%d", i+3), "podCIDR": cidr.String(),
			"router": fmt.Sprintf("10.0.%d.1", i), "id": c.number(1, 60000), "hostID": c.number(1, 4095),
			"mac": c.mac(), "hostMAC": c.mac(), "netMAC": c.mac(), "vxlanMAC": c.mac(),
		}
		if spec["health"] == true {
			n["health"] = object{
				"ip": fmt.Sprintf("10.0.%d.2", i), "id": c.number(1, 4095), "mac": c.mac(), "nodeMAC": c.mac(), "ifindex": 6,
			}
		}
		nodes = append(nodes, n)
	}
	spec["nodes"] = nodes
}

func (c *clusterMaker) pods(spec object) {
	var pods []any
	for i := range c.cidrs {
		n := 1 + c.pick("pods", 3)
		for j := range n {
			name, ip := fmt.Sprintf("p%d-%d", i+1, j+1), fmt.Sprintf("10.0.%d.%d", i, 10+j)
			pods = append(pods, object{
				"name": name, "node": fmt.Sprintf("n%d", i+1), "ip": ip, "id": c.number(1, 4095), "identity": c.identity(),
				"mac": c.mac(), "nodeMAC": c.mac(), "ifindex": 10 + 2*j, "device": fmt.Sprintf("lxc%d%d", i+1, j+1),
			})
			c.ips = append(c.ips, ip)
			if i == 0 {
				c.local = append(c.local, name)
			}
		}
	}
	spec["pods"] = pods
}

// identity is small, above 16 bits, or shared with another pod.
func (c *clusterMaker) identity() uint32 {
	switch c.IntN(4) {
	case 0:
		return 65536 + c.Uint32N(1<<23)
	case 1:
		return 4242
	}
	return c.number(256, 65535)
}

// services are services with none to many backends: pods here and elsewhere, nodes and
// hosts outside, active and terminating, with the service's own port or another.
func (c *clusterMaker) services(spec object) {
	var services []any
	backend := uint32(0)
	ids := object{}
	for i := range c.pick("services", 5) {
		var ports []any
		for j := range 1 + c.IntN(2) {
			backends := []any{}
			seen := map[string]bool{}
			for range c.pick("backends", 5) {
				addr := c.backend(c.ports[j])
				if seen[addr] {
					continue
				}
				seen[addr] = true
				b := object{"address": addr}
				if c.pick("backend state", 3) == 0 {
					b["state"] = "terminating"
				}
				if ids[addr] == nil {
					backend++
					ids[addr] = backend
				}
				backends = append(backends, b)
			}
			proto := oneOf(c.maker, []string{"TCP", "TCP", "UDP"})
			ports = append(ports, object{
				"name": fmt.Sprintf("port%d", j), "port": c.ports[j], "protocol": proto, "id": uint32(1 + 10*i + j), "backends": backends,
			})
		}
		s := object{"name": fmt.Sprintf("s%d", i+1), "clusterIP": fmt.Sprintf("10.96.0.%d", 10+i), "ports": ports}
		wanted := object{}
		for _, p := range ports {
			for _, b := range p.(object)["backends"].([]any) { //nolint:forcetypeassert // Made above.
				addr := b.(object)["address"].(string) //nolint:forcetypeassert // Made above.
				wanted[addr] = ids[addr]
			}
		}
		if len(wanted) > 0 {
			s["backendIDs"] = wanted
		}
		services = append(services, s)
	}
	if len(services) > 0 {
		spec["services"] = services
	}
}

func (c *clusterMaker) backend(port uint16) string {
	p := port
	if c.chance(60) {
		p = oneOf(c.maker, []uint16{8080, 9090, 53})
	}
	ip := oneOf(c.maker, c.ips)
	switch c.IntN(10) {
	case 0:
		ip = "172.18.0.3"
	case 1:
		ip = "8.8.8.8"
	case 2:
		ip = "10.0.0.99" // nobody's
	case 3, 4:
		ip = c.ips[0] // a local pod, which may be the client itself
	}
	return fmt.Sprintf("%s:%d", ip, p)
}
