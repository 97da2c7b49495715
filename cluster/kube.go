package cluster

import (
	"fmt"
	"net/netip"
	"strings"
)

// Labels by which Kubernetes says things that we need.
const (
	labelControlPlane = "node-role.kubernetes.io/control-plane"
	labelServiceName  = "kubernetes.io/service-name"
)

// give stores a value that one document gives to an object of another kind. Zero
// gives nothing; a second, different value is a problem.
func give[T comparable](d *description, ps *problems, object, field string, to *T, from T, o origin, path string) {
	var zero T
	switch {
	case from == zero:
	case *to != zero && *to != from:
		ps.addf(o, path, "%v, but %s has %v from another document", from, object, *to)
	default:
		*to = from
		d.note(object, field, o, path)
	}
}

// kubeNamespace keeps the labels of a namespace, which are part of identities.
func (d *description) kubeNamespace(o origin, doc *namespaceDoc, ps *problems) {
	if d.claim("Namespace", "", doc.Metadata.Name, place{origin: o}, "metadata.name", ps) {
		if d.namespaces == nil {
			d.namespaces = make(map[string]map[string]string)
		}
		d.namespaces[doc.Metadata.Name] = doc.Metadata.Labels
	}
}

// node finds or makes the node that a Node or CiliumNode describes.
func (d *description) node(o origin, name string) *Node {
	if i, ok := d.nodeIndex[name]; ok {
		return &d.nodes[i]
	}
	d.nodeIndex[name] = len(d.nodes)
	d.nodes = append(d.nodes, Node{Name: name})
	if _, ok := d.objects["Node "+name]; !ok {
		d.objects["Node "+name] = place{origin: o}
	}
	return &d.nodes[len(d.nodes)-1]
}

// kubeNode takes a Node: its address, labels and role. Its podCIDR is left aside, as
// Cilium with cluster-pool IPAM does.
func (d *description) kubeNode(o origin, doc *nodeDoc, ps *problems) {
	name := doc.Metadata.Name
	if !d.claim("Node", "", name, place{origin: o}, "metadata.name", ps) {
		return
	}
	n, object := d.node(o, name), "Node "+name
	n.Labels = doc.Metadata.Labels
	_, n.ControlPlane = doc.Metadata.Labels[labelControlPlane]
	for _, a := range doc.Status.Addresses {
		if a.Type == "InternalIP" {
			give(d, ps, object, "ip", &n.IP, ipv4Of(o, a.Address, "status.addresses", ps), o, "status.addresses")
		}
	}
	d.annotatedNode(o, &doc.Metadata, n, ps)
}

// ciliumNode takes a CiliumNode: addresses, podCIDR and health address.
func (d *description) ciliumNode(o origin, doc *ciliumNodeDoc, ps *problems) {
	name := doc.Metadata.Name
	if !d.claim("CiliumNode", "", name, place{origin: o}, "metadata.name", ps) {
		return
	}
	n, object := d.node(o, name), "Node "+name
	if n.Labels == nil {
		n.Labels = doc.Metadata.Labels
	}
	if _, ok := doc.Metadata.Labels[labelControlPlane]; ok {
		n.ControlPlane = true
	}
	for _, a := range doc.Spec.Addresses {
		switch a.Type {
		case "InternalIP":
			give(d, ps, object, "ip", &n.IP, ipv4Of(o, a.IP, "spec.addresses", ps), o, "spec.addresses")
		case "CiliumInternalIP":
			give(d, ps, object, "router", &n.Router, ipv4Of(o, a.IP, "spec.addresses", ps), o, "spec.addresses")
		}
	}
	give(d, ps, object, "health.ip", &n.Health.IP, doc.Spec.Health.IPv4.Addr, o, "spec.health.ipv4")
	if cidrs := doc.Spec.IPAM.PodCIDRs; len(cidrs) > 1 {
		ps.addf(o, "spec.ipam.podCIDRs", "%d podCIDRs; allowed: one a node", len(cidrs))
	} else if len(cidrs) == 1 {
		give(d, ps, object, "podCIDR", &n.PodCIDR, cidrs[0].Prefix, o, "spec.ipam.podCIDRs[0]")
	}
	d.annotatedNode(o, &doc.Metadata, n, ps)
}

// annotatedNode takes what our annotations say of a node.
func (d *description) annotatedNode(o origin, m *meta, n *Node, ps *problems) {
	var a nodeAnnotations
	annotations(o, m, &a, ps)
	object, at := "Node "+n.Name, "metadata.annotations."+annotationPrefix
	give(d, ps, object, "id", &n.ID, a.NodeID, o, at+"node-id")
	give(d, ps, object, "hostID", &n.HostID, a.HostID, o, at+"host-id")
	give(d, ps, object, "mac", &n.MAC, a.MAC, o, at+"mac")
	give(d, ps, object, "hostMAC", &n.HostMAC, a.HostMAC, o, at+"host-mac")
	give(d, ps, object, "netMAC", &n.NetMAC, a.NetMAC, o, at+"net-mac")
	give(d, ps, object, "vxlanMAC", &n.VXLANMAC, a.VXLANMAC, o, at+"vxlan-mac")
	give(d, ps, object, "netIfindex", &n.NetIfindex, a.NetIfindex, o, at+"net-ifindex")
	give(d, ps, object, "hostIfindex", &n.HostIfindex, a.HostIfindex, o, at+"host-ifindex")
	give(d, ps, object, "vxlanIfindex", &n.VXLANIfindex, a.VXLANIfindex, o, at+"vxlan-ifindex")
	give(d, ps, object, "engine", &n.Engine, a.Engine, o, at+"engine")
	h := &n.Health
	give(d, ps, object, "health.id", &h.ID, a.HealthID, o, at+"health-id")
	give(d, ps, object, "health.mac", &h.MAC, a.HealthMAC, o, at+"health-mac")
	give(d, ps, object, "health.nodeMAC", &h.NodeMAC, a.HealthNodeMAC, o, at+"health-node-mac")
	give(d, ps, object, "health.ifindex", &h.Ifindex, a.HealthIfindex, o, at+"health-ifindex")
}

// ipv4Of reads an address of a list that may hold IPv6 ones, which are left aside.
func ipv4Of(o origin, text, path string, ps *problems) netip.Addr {
	var a ipv4
	if v6, err := netip.ParseAddr(text); err == nil && !v6.Is4() {
		return netip.Addr{}
	}
	if err := a.UnmarshalText([]byte(text)); err != nil {
		ps.addf(o, path, "%s: %v", quote(text), err)
	}
	return a.Addr
}

// podOf finds or makes the pod that a Pod or CiliumEndpoint describes.
func (d *description) podOf(o origin, namespace, name string) *Pod {
	if i, ok := d.podIndex[namespace+"/"+name]; ok {
		return &d.pods[i]
	}
	d.podIndex[namespace+"/"+name] = len(d.pods)
	d.pods = append(d.pods, Pod{Namespace: namespace, Name: name})
	object := "Pod " + namespace + "/" + name
	if _, ok := d.objects[object]; !ok {
		d.objects[object] = place{origin: o}
	}
	return &d.pods[len(d.pods)-1]
}

// kubePod takes a Pod. One that has run to its end has no endpoint any more.
func (d *description) kubePod(o origin, doc *podDoc, ps *problems) {
	m := &doc.Metadata
	ns := namespaceOr(m.Namespace)
	if doc.Status.Phase == "Succeeded" || doc.Status.Phase == "Failed" ||
		!d.claim("Pod", ns, m.Name, place{origin: o}, "metadata.name", ps) {
		return
	}
	p := d.podOf(o, ns, m.Name)
	object := "Pod " + p.Ref()
	p.Labels, p.HostNetwork, p.ServiceAccount = m.Labels, doc.Spec.HostNetwork, doc.Spec.ServiceAccount
	d.note(object, "node", o, "spec.nodeName")
	give(d, ps, object, "node", &p.Node, doc.Spec.NodeName, o, "spec.nodeName")
	give(d, ps, object, "ip", &p.IP, doc.Status.PodIP.Addr, o, "status.podIP")
	for i, c := range doc.Spec.Containers {
		for j, port := range c.Ports {
			if port.ContainerPort == 0 {
				ps.addf(o, fmt.Sprintf("spec.containers[%d].ports[%d].containerPort", i, j), "missing; allowed: 1..65535")
			}
			if port.Name != "" {
				if p.Ports == nil {
					p.Ports = make(map[string]uint16)
				}
				p.Ports[port.Name] = port.ContainerPort
			}
		}
	}
	for _, c := range doc.Status.Conditions {
		if c.Type == "Ready" && c.Status != "True" {
			p.Phase = NotReady
		}
	}
	if m.DeletionTimestamp != "" {
		p.Phase = Terminating
	}
	d.annotatedPod(o, m, p, ps)
}

// ciliumEndpoint takes a CiliumEndpoint: what a real agent has allocated for a pod.
func (d *description) ciliumEndpoint(o origin, doc *ciliumEndpointDoc, ps *problems) {
	m, status := &doc.Metadata, &doc.Status
	ns := namespaceOr(m.Namespace)
	if !d.claim("CiliumEndpoint", ns, m.Name, place{origin: o}, "metadata.name", ps) {
		return
	}
	p := d.podOf(o, ns, m.Name)
	object := "Pod " + p.Ref()
	if p.Labels == nil {
		p.Labels = podLabels(status.Identity.Labels)
	}
	give(d, ps, object, "id", &p.ID, status.ID, o, "status.id")
	give(d, ps, object, "identity", &p.Identity, status.Identity.ID, o, "status.identity.id")
	for _, a := range status.Networking.Addressing {
		give(d, ps, object, "ip", &p.IP, a.IPv4.Addr, o, "status.networking.addressing")
	}
	if node := status.Networking.Node.Addr; node.IsValid() {
		d.hostIPs[p.Ref()] = node
		d.note(object, "node", o, "status.networking.node")
	}
	d.annotatedPod(o, m, p, ps)
}

// annotatedPod takes what our annotations say of a pod.
func (d *description) annotatedPod(o origin, m *meta, p *Pod, ps *problems) {
	var a podAnnotations
	annotations(o, m, &a, ps)
	object, at := "Pod "+p.Ref(), "metadata.annotations."+annotationPrefix
	if a.Run != nil {
		p.Run = a.Run
	}
	give(d, ps, object, "ip", &p.IP, a.IP.Addr, o, at+"ip")
	give(d, ps, object, "id", &p.ID, a.ID, o, at+"endpoint-id")
	give(d, ps, object, "identity", &p.Identity, a.Identity, o, at+"identity")
	give(d, ps, object, "mac", &p.MAC, a.MAC, o, at+"mac")
	give(d, ps, object, "nodeMAC", &p.NodeMAC, a.NodeMAC, o, at+"node-mac")
	give(d, ps, object, "ifindex", &p.Ifindex, a.Ifindex, o, at+"ifindex")
	give(d, ps, object, "device", &p.Device, a.Device, o, at+"device")
}

// podLabels are a pod's own labels out of those of its identity: "k8s:app=web"
// without what Cilium adds.
func podLabels(identity []string) map[string]string {
	labels := make(map[string]string)
	for _, l := range identity {
		key, value, _ := strings.Cut(strings.TrimPrefix(l, "k8s:"), "=")
		if !strings.HasPrefix(key, "io.kubernetes.") && !strings.HasPrefix(key, "io.cilium.") {
			labels[key] = value
		}
	}
	return labels
}
