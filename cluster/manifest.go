package cluster

import (
	"encoding/json"
	"fmt"
	stdmaps "maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hooklab/hooklab/dataplane"
)

// Object is a manifest in the form that encoding/json and sigs.k8s.io/yaml write.
// Empty fields are left out.
type Object map[string]any

// with adds a field unless it is empty.
func (o Object) with(key string, value any) Object {
	empty := value == nil
	switch v := value.(type) {
	case string:
		empty = v == ""
	case Object:
		empty = len(v) == 0
	case []any:
		empty = len(v) == 0
	case map[string]string:
		empty = len(v) == 0
	}
	if !empty {
		o[key] = value
	}
	return o
}

// Manifests is the cluster as documents that describe it completely: loading them
// makes the same cluster again.
func (c *Cluster) Manifests() []Object {
	s := c.now()
	objects := []Object{s.settings.manifest()}
	for _, name := range sortedKeys(s.namespaces) {
		objects = append(objects, manifest("v1", "Namespace", "", name, s.namespaces[name], nil))
	}
	for i := range s.nodes {
		objects = append(objects, s.nodes[i].manifest(), s.nodes[i].ciliumManifest())
	}
	for i := range s.pods {
		objects = append(objects, s.pods[i].manifest())
	}
	for i := range s.services {
		objects = append(objects, s.services[i].manifest())
		objects = append(objects, s.services[i].slices()...)
	}
	return objects
}

// manifest is the frame of an object. Annotations are given without their prefix;
// empty ones are left out.
func manifest(version, kind, namespace, name string, labels map[string]string, notes map[string]string) Object {
	annotations := make(map[string]string)
	for k, v := range notes {
		if v != "" {
			annotations[annotationPrefix+k] = v
		}
	}
	meta := Object{"name": name}
	meta.with("namespace", namespace).with("labels", labels).with("annotations", annotations)
	return Object{"apiVersion": version, "kind": kind, "metadata": meta}
}

func (s *Settings) manifest() Object {
	d, l := &s.Datapath, &s.Datapath.Lifetimes
	levels := map[dataplane.Aggregation]string{
		dataplane.AggregateNone: "none", dataplane.AggregateLow: "low", dataplane.AggregateMedium: "medium",
	}
	clock := "ktime"
	if d.Clock == dataplane.ClockJiffies {
		clock = "jiffies"
	}
	external := []any{}
	for _, e := range s.External {
		external = append(external, Object{"name": e.Name, "ip": e.IP.String()}.with("run", words(e.Run)))
	}
	spec := Object{
		"profile": string(s.Profile), "kernelVersion": s.Kernel.String(), "underlay": s.Underlay.String(),
		"podCIDR": s.PodPool.String(), "podCIDRMask": s.PodMask, "serviceCIDR": s.ServiceCIDR.String(),
		"mtu": s.MTU, "seed": s.Seed, "health": s.Health, "aggregation": levels[d.Aggregation],
		"clock": clock, "hz": d.KernelHz,
		"lifetimes": Object{
			"tcp": l.TCP, "nonTCP": l.NonTCP, "serviceTCP": l.ServiceTCP, "serviceNonTCP": l.ServiceNonTCP,
			"syn": l.SYN, "close": l.Close, "serviceCloseRebalance": l.ServiceCloseRebalance, "reportInterval": d.ReportInterval,
		},
	}
	spec.with("external", external)
	if s.ConntrackGCInterval != 0 {
		spec["conntrackGCInterval"] = s.ConntrackGCInterval
	}
	o := manifest(labAPIVersion, "Lab", "", s.Name, nil, nil)
	o["spec"] = spec
	return o
}

func (n *Node) manifest() Object {
	labels := n.Labels
	if n.ControlPlane && labels == nil {
		labels = map[string]string{labelControlPlane: ""}
	}
	o := manifest("v1", "Node", "", n.Name, labels, nil)
	o["status"] = Object{"addresses": []any{
		Object{"type": "InternalIP", "address": n.IP.String()}, Object{"type": "Hostname", "address": n.Name},
	}}
	return o
}

// ciliumManifest is the node's CiliumNode, as its agent publishes it.
func (n *Node) ciliumManifest() Object {
	h := &n.Health
	o := manifest("cilium.io/v2", "CiliumNode", "", n.Name, nil, map[string]string{
		"node-id": number(n.ID), "host-id": number(n.HostID), "mac": macText(n.MAC), "host-mac": macText(n.HostMAC),
		"net-mac": macText(n.NetMAC), "vxlan-mac": macText(n.VXLANMAC), "engine": n.Engine,
		"net-ifindex": number(n.NetIfindex), "host-ifindex": number(n.HostIfindex), "vxlan-ifindex": number(n.VXLANIfindex),
		"health-id":  number(h.ID),
		"health-mac": macText(h.MAC), "health-node-mac": macText(h.NodeMAC), "health-ifindex": number(h.Ifindex),
	})
	spec := Object{
		"addresses": []any{
			Object{"type": "InternalIP", "ip": n.IP.String()}, Object{"type": "CiliumInternalIP", "ip": n.Router.String()},
		},
		"ipam": Object{"podCIDRs": []any{n.PodCIDR.String()}},
	}
	if h.IP.IsValid() {
		spec["health"] = Object{"ipv4": h.IP.String()}
	}
	o["spec"] = spec
	return o
}

func (p *Pod) manifest() Object {
	run := ""
	if p.Run != nil {
		if b, err := json.Marshal(p.Run); err == nil {
			run = string(b)
		}
	}
	o := manifest("v1", "Pod", p.Namespace, p.Name, p.Labels, map[string]string{
		"run": run, "endpoint-id": number(p.ID), "identity": number(p.Identity), "mac": macText(p.MAC),
		"node-mac": macText(p.NodeMAC), "ifindex": number(p.Ifindex), "device": p.Device,
	})
	if p.Phase == Terminating {
		o["metadata"].(Object)["deletionTimestamp"] = "1970-01-01T00:00:00Z" //nolint:forcetypeassert // Made by manifest.
	}
	ready := "True"
	if p.Phase == NotReady {
		ready = "False"
	}
	ports := []any{}
	for _, name := range sortedKeys(p.Ports) {
		ports = append(ports, Object{"name": name, "containerPort": p.Ports[name]})
	}
	spec := Object{"nodeName": p.Node}
	spec.with("serviceAccountName", p.ServiceAccount)
	if p.HostNetwork {
		spec["hostNetwork"] = true
	}
	if len(ports) > 0 {
		spec["containers"] = []any{Object{"name": p.Name, "ports": ports}}
	}
	o["spec"] = spec
	o["status"] = Object{
		"phase": "Running", "podIP": p.IP.String(), "conditions": []any{Object{"type": "Ready", "status": ready}},
	}
	return o
}

func (s *Service) manifest() Object {
	var serviceIDs, ids []string
	wanted := make(map[netip.AddrPort]uint32)
	ports := []any{}
	for i := range s.Ports {
		p := &s.Ports[i]
		ports = append(ports, Object{"port": p.Port, "protocol": p.Protocol}.with("name", p.Name).with("targetPort", p.TargetPort))
		if id := fmt.Sprintf("%d=%d", p.Port, p.ID); p.ID != 0 && !slices.Contains(serviceIDs, id) {
			serviceIDs = append(serviceIDs, id)
		}
		for _, b := range p.Backends {
			wanted[b.Addr] = b.ID
		}
	}
	stdmaps.Copy(wanted, s.BackendIDs)
	for addr, id := range wanted {
		ids = append(ids, fmt.Sprintf("%s=%d", addr, id))
	}
	slices.Sort(ids)
	o := manifest("v1", "Service", s.Namespace, s.Name, nil, map[string]string{
		"service-ids": strings.Join(serviceIDs, " "), "backend-ids": strings.Join(ids, " "),
	})
	clusterIP := "None"
	if !s.Headless {
		clusterIP = s.ClusterIP.String()
	}
	o["spec"] = Object{"clusterIP": clusterIP}.with("selector", s.Selector).with("ports", ports)
	return o
}

// slices are the EndpointSlices of ports whose backends do not come from the
// selector.
func (s *Service) slices() []Object {
	var objects []Object
	for i := range s.Ports {
		p := &s.Ports[i]
		if !p.Fixed {
			continue
		}
		byPort := make(map[uint16][]any)
		for _, b := range p.Backends {
			byPort[b.Addr.Port()] = append(byPort[b.Addr.Port()], Object{
				"addresses":  []any{b.Addr.Addr().String()},
				"conditions": Object{"ready": !b.Terminating, "serving": true, "terminating": b.Terminating},
			})
		}
		if len(byPort) == 0 {
			byPort[p.Port] = []any{}
		}
		for _, port := range sortedKeys(byPort) {
			name := fmt.Sprintf("%s-%d-%s-%d", s.Name, p.Port, strings.ToLower(p.Protocol), port)
			o := manifest("discovery.k8s.io/v1", "EndpointSlice", s.Namespace, name, map[string]string{labelServiceName: s.Name},
				map[string]string{"service-port": number(p.Port)})
			o["addressType"] = "IPv4"
			o["endpoints"] = byPort[port]
			o["ports"] = []any{Object{"port": port, "protocol": p.Protocol}.with("name", p.Name)}
			objects = append(objects, o)
		}
	}
	return objects
}

// number is a number as text, "" for 0.
func number[T uint16 | uint32](n T) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

func macText(m MAC) string {
	if m == (MAC{}) {
		return ""
	}
	return m.String()
}

func words(list []string) []any {
	out := []any{}
	for _, w := range list {
		out = append(out, w)
	}
	return out
}
