package cluster

import "net/netip"

// labNode takes the short form of a node.
func (d *description) labNode(at place, n *labNode, ps *problems) {
	if !d.claim("Node", "", n.Name, at, "name", ps) {
		return
	}
	d.nodeIndex[n.Name] = len(d.nodes)
	d.nodes = append(d.nodes, Node{
		Name: n.Name, ControlPlane: n.Role == "control-plane",
		IP: n.IP.Addr, PodCIDR: n.PodCIDR.Prefix, Router: n.Router.Addr,
		Health: Endpoint{
			IP: n.Health.IP.Addr, ID: n.Health.ID, Ifindex: n.Health.Ifindex,
			MAC: n.Health.MAC, NodeMAC: n.Health.NodeMAC,
		},
		ID: n.ID, HostID: n.HostID,
		MAC: n.MAC, HostMAC: n.HostMAC, NetMAC: n.NetMAC, VXLANMAC: n.VXLANMAC,
		Engine: n.Engine,
	})
}

// labPod takes the short form of a pod. Without labels it has run=NAME, as a pod
// made by `kubectl run` has.
func (d *description) labPod(at place, p *labPod, ps *problems) {
	ns := namespaceOr(p.Namespace)
	if !d.claim("Pod", ns, p.Name, at, "name", ps) {
		return
	}
	labels := p.Labels
	if labels == nil {
		labels = map[string]string{"run": p.Name}
	}
	d.podIndex[ns+"/"+p.Name] = len(d.pods)
	d.pods = append(d.pods, Pod{
		Namespace: ns, Name: p.Name, Node: p.Node, Labels: labels, Run: p.Run,
		Endpoint: Endpoint{
			IP: p.IP.Addr, ID: p.ID, Identity: p.Identity, MAC: p.MAC,
			NodeMAC: p.NodeMAC, Ifindex: p.Ifindex, Device: p.Device,
		},
	})
}

// labService takes the short form of a service.
func (d *description) labService(at place, s *labService, ps *problems) {
	ns := namespaceOr(s.Namespace)
	if !d.claim("Service", ns, s.Name, at, "name", ps) {
		return
	}
	svc := Service{
		Namespace: ns, Name: s.Name, ClusterIP: s.ClusterIP.Addr, Selector: s.Selector,
		Ports: make([]ServicePort, len(s.Ports)),
	}
	if len(s.BackendIDs) > 0 {
		svc.BackendIDs = make(map[netip.AddrPort]uint32, len(s.BackendIDs))
		for addr, id := range s.BackendIDs {
			svc.BackendIDs[addr.AddrPort] = id
		}
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		port := ServicePort{
			Name: p.Name, Protocol: p.Protocol, Port: p.Port, TargetPort: p.TargetPort, ID: p.ID,
			Fixed: p.Backends != nil,
		}
		for _, b := range p.Backends {
			port.Backends = append(port.Backends, Backend{Addr: b.Address.AddrPort, Terminating: b.State == "terminating"})
		}
		svc.Ports[i] = port
	}
	d.serviceIndex[svc.Ref()] = len(d.services)
	d.services = append(d.services, svc)
}

// labExternal takes a host outside the cluster.
func (d *description) labExternal(at place, e *labExternal, ps *problems) {
	if d.claim("External", "", e.Name, at, "name", ps) {
		d.settings.External = append(d.settings.External, External{Name: e.Name, IP: e.IP.Addr, Run: e.Run})
	}
}
