package cluster

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
)

// kubeService takes a Service. Only its cluster IP counts: with kube-proxy
// replacement off, Cilium installs nothing else (SPEC 6.3).
func (d *description) kubeService(o origin, doc *serviceDoc, ps *problems) {
	m, spec := &doc.Metadata, &doc.Spec
	ns := namespaceOr(m.Namespace)
	if !d.claim("Service", ns, m.Name, place{origin: o}, "metadata.name", ps) {
		return
	}
	d.objects["Service "+ns+"/"+m.Name] = place{origin: o, path: "spec"}
	var a serviceAnnotations
	annotations(o, m, &a, ps)
	s := Service{Namespace: ns, Name: m.Name, Selector: spec.Selector, Headless: spec.ClusterIP == "None" || spec.Type == "ExternalName"}
	if spec.ClusterIP != "" && !s.Headless {
		s.ClusterIP = ipv4Of(o, spec.ClusterIP, "spec.clusterIP", ps)
		if !s.ClusterIP.IsValid() {
			s.Headless = true // IPv6 only
		}
	}
	at := "metadata.annotations." + annotationPrefix
	for _, p := range spec.Ports {
		port := ServicePort{Name: p.Name, Protocol: p.Protocol, Port: p.Port, TargetPort: p.TargetPort}
		if id := a.ServiceIDs[portKey(p.Port)]; id > 0xffff {
			ps.addf(o, at+"service-ids", "%d: allowed: 1..65535", id)
		} else {
			port.ID = uint16(id)
		}
		s.Ports = append(s.Ports, port)
	}
	for port := range a.ServiceIDs {
		if !slices.ContainsFunc(s.Ports, func(p ServicePort) bool { return p.Port == uint16(port) }) {
			ps.addf(o, at+"service-ids", "%d: the service has no such port", port)
		}
	}
	s.BackendIDs = backendIDs(nil, a.BackendIDs)
	d.serviceIndex[s.Ref()] = len(d.services)
	d.services = append(d.services, s)
}

// backendIDs adds the ids that an annotation gives to those known already.
func backendIDs(to map[netip.AddrPort]uint32, from idList[addrPort4]) map[netip.AddrPort]uint32 {
	if to == nil && len(from) > 0 {
		to = make(map[netip.AddrPort]uint32, len(from))
	}
	for addr, id := range from {
		to[addr.AddrPort] = id
	}
	return to
}

// givenSlice is an EndpointSlice that waits for its service.
type givenSlice struct {
	origin
	namespace, service string
	servicePort        uint16 // 0: any port of the name
	ports              []slicePort
	backends           []sliceBackend
	ids                idList[addrPort4]
}

type sliceBackend struct {
	addr        netip.Addr
	terminating bool
}

// endpointSlice takes an EndpointSlice. An endpoint that is not ready has no
// backend, unless it is terminating: then it keeps the connections that it has.
func (d *description) endpointSlice(o origin, doc *endpointSliceDoc, ps *problems) {
	m := &doc.Metadata
	ns := namespaceOr(m.Namespace)
	if doc.AddressType != "" && doc.AddressType != "IPv4" ||
		!d.claim("EndpointSlice", ns, m.Name, place{origin: o}, "metadata.name", ps) {
		return
	}
	s := givenSlice{origin: o, namespace: ns, service: m.Labels[labelServiceName], ports: doc.Ports}
	if s.service == "" {
		ps.addf(o, "metadata.labels", "no %s: the slice belongs to no service", labelServiceName)
		return
	}
	var a sliceAnnotations
	annotations(o, m, &a, ps)
	s.ids, s.servicePort = a.BackendIDs, a.ServicePort
	for i, p := range doc.Ports {
		if p.Port == 0 {
			ps.addf(o, "ports["+strconv.Itoa(i)+"].port", "missing; allowed: 1..65535")
		}
	}
	yes := func(b *bool, unset bool) bool { return b == nil && unset || b != nil && *b }
	for _, e := range doc.Endpoints {
		terminating := yes(e.Conditions.Terminating, false)
		if !yes(e.Conditions.Ready, true) && !terminating {
			continue
		}
		for _, text := range e.Addresses {
			if addr := ipv4Of(o, text, "endpoints.addresses", ps); addr.IsValid() {
				s.backends = append(s.backends, sliceBackend{addr: addr, terminating: terminating})
			}
		}
	}
	d.slices = append(d.slices, s)
}

// join connects what stands in several documents: slices with services, and pods
// with nodes that are known by address.
func (d *description) join(ps *problems) {
	for i := range d.slices {
		d.joinSlice(&d.slices[i], ps)
	}
	names := make(map[netip.Addr]string, len(d.nodes))
	for i := range d.nodes {
		names[d.nodes[i].IP] = d.nodes[i].Name
	}
	for i := range d.pods {
		p := &d.pods[i]
		host, ok := d.hostIPs[p.Ref()]
		if !ok || p.Node != "" {
			continue
		}
		if p.Node, ok = names[host]; !ok {
			ps.add(d.problem("Pod "+p.Ref(), "node", "%s: no node has this address", host))
		}
	}
}

func (d *description) joinSlice(s *givenSlice, ps *problems) {
	at, ok := d.serviceIndex[s.namespace+"/"+s.service]
	if !ok {
		ps.addf(s.origin, "metadata.labels", "%s: %s: no such service in namespace %s", labelServiceName, quote(s.service), s.namespace)
		return
	}
	svc := &d.services[at]
	svc.BackendIDs = backendIDs(svc.BackendIDs, s.ids)
	for i := range svc.Ports {
		port := &svc.Ports[i]
		at := slices.IndexFunc(s.ports, func(p slicePort) bool {
			return p.Name == port.Name && cmp.Or(p.Protocol, "TCP") == cmp.Or(port.Protocol, "TCP") &&
				(s.servicePort == 0 || s.servicePort == port.Port)
		})
		if at < 0 {
			continue
		}
		port.Fixed = true
		for _, b := range s.backends {
			addr := netip.AddrPortFrom(b.addr, s.ports[at].Port)
			port.Backends = append(port.Backends, Backend{Addr: addr, Terminating: b.terminating})
		}
	}
}
