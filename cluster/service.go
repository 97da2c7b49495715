package cluster

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
)

// allocateServices gives services what they lack, finds their backends and numbers
// both from 1 up.
func (c *completion) allocateServices() {
	used := make(map[netip.AddrPort]uint32, len(c.backendIDs))
	services := c.services
	for i := range services {
		s := &services[i]
		object := "Service " + s.Ref()
		if s.Headless {
			continue
		}
		if !s.ClusterIP.IsValid() {
			s.ClusterIP = c.clusterIP(s)
		}
		if !s.ClusterIP.IsValid() {
			c.complain(object, "clusterIP", "no address left in serviceCIDR %s", c.settings.ServiceCIDR)
			continue
		}
		for j := range s.Ports {
			c.serviceID(s, j, object)
		}
		c.findBackends(s)
		c.keepBackends(s, used)
	}
	for i := range services {
		for j := range services[i].Ports {
			c.numberBackends(&services[i].Ports[j], used)
		}
	}
	c.backendIDs = used
}

// keepBackends puts the ids that a service's backends are to have, or have had,
// into used.
func (c *completion) keepBackends(s *Service, used map[netip.AddrPort]uint32) {
	for j := range s.Ports {
		for _, b := range s.Ports[j].Backends {
			id, ok := s.BackendIDs[b.Addr]
			if !ok {
				id = c.backendIDs[b.Addr]
			}
			if other, taken := c.backends[id]; id != 0 && (!taken || other == b.Addr) {
				used[b.Addr], c.backends[id] = id, b.Addr
			}
		}
	}
}

// clusterIP allocates a service's address. The network's first one is left to the
// service kubernetes.
func (c *completion) clusterIP(s *Service) netip.Addr {
	first := c.settings.ServiceCIDR.Addr().Next()
	if s.Ref() != "default/kubernetes" {
		if _, ok := c.ips[first]; !ok {
			c.ips[first] = "service default/kubernetes"
			defer delete(c.ips, first)
		}
		return c.address(c.settings.ServiceCIDR, "clusterIP", s.Ref())
	}
	if _, ok := c.ips[first]; ok {
		return c.address(c.settings.ServiceCIDR, "clusterIP", s.Ref())
	}
	c.ips[first] = "service " + s.Ref()
	return first
}

// serviceID numbers a frontend.
func (c *completion) serviceID(s *Service, j int, object string) {
	p := &s.Ports[j]
	for i := range j {
		if s.Ports[i].Port == p.Port {
			p.ID = s.Ports[i].ID
		}
	}
	for range 1 << 16 {
		if p.ID != 0 {
			return
		}
		c.nextService++ // wraps around; 0 is no id
		if _, ok := c.serviceIDs[c.nextService]; !ok && c.nextService != 0 {
			p.ID = c.nextService
			c.serviceIDs[p.ID] = "service " + s.Ref()
		}
	}
	c.complain(object, "ports["+strconv.Itoa(j)+"]", "no service id left in 1..65535")
}

// findBackends chooses the backends of ports that go by the service's selector.
func (c *completion) findBackends(s *Service) {
	for j := range s.Ports {
		p := &s.Ports[j]
		if p.Fixed {
			continue
		}
		p.Backends = nil
		for i := range c.pods {
			pod := &c.pods[i]
			if pod.Phase == NotReady || pod.Namespace != s.Namespace || !selects(s.Selector, pod.Labels) {
				continue
			}
			if port := p.targetOn(pod); port != 0 {
				p.Backends = append(p.Backends, Backend{Addr: netip.AddrPortFrom(pod.IP, port), Terminating: pod.Phase == Terminating})
			}
		}
	}
}

// selects says that labels fulfil a selector. An empty selector selects nothing.
func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return len(selector) > 0
}

// targetOn is the port's number on a pod, 0 if the pod has no port of that name.
func (p *ServicePort) targetOn(pod *Pod) uint16 {
	if p.TargetPort == "" {
		return p.Port
	}
	if n, err := strconv.ParseUint(p.TargetPort, 10, 16); err == nil {
		return uint16(n)
	}
	return pod.Ports[p.TargetPort]
}

// numberBackends gives a port's backends their ids and puts them in the order of
// their slots.
func (c *completion) numberBackends(p *ServicePort, used map[netip.AddrPort]uint32) {
	seen := make(map[netip.AddrPort]bool, len(p.Backends))
	p.Backends = slices.DeleteFunc(p.Backends, func(b Backend) bool {
		again := seen[b.Addr]
		seen[b.Addr] = true
		return again
	})
	for i := range p.Backends {
		b := &p.Backends[i]
		id, ok := used[b.Addr]
		for !ok {
			c.nextBackend++
			if _, taken := c.backends[c.nextBackend]; !taken && c.nextBackend != 0 {
				id, ok = c.nextBackend, true
				used[b.Addr], c.backends[id] = id, b.Addr
			}
		}
		b.ID = id
	}
	slices.SortStableFunc(p.Backends, func(a, b Backend) int {
		if a.Terminating != b.Terminating {
			if a.Terminating {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.ID, b.ID)
	})
}
