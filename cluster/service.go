package cluster

import (
	"cmp"
	stdmaps "maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/hooklab/hooklab/maps"
)

// maxServiceEntries is the size of cilium_lb4_services_v2: frontends and slots.
const maxServiceEntries = 65536

// allocateServices gives services what they lack, finds their backends and numbers
// both from 1 up.
func (c *completion) allocateServices() {
	used := make(map[netip.AddrPort]uint32, len(c.backendIDs))
	find, entries := c.backendFinder(), 0
	for i := range c.services {
		s := &c.services[i]
		object := "Service " + s.Ref()
		if s.Headless {
			continue
		}
		if !s.ClusterIP.IsValid() {
			s.ClusterIP = c.clusterIP(s)
		}
		if !s.ClusterIP.IsValid() {
			c.complain(object, "clusterIP", "no address left in serviceCIDR %s", c.settings.ServiceCIDR)
			return
		}
		first := make(map[uint16]uint16)
		for j := range s.Ports {
			p := &s.Ports[j]
			if !p.Fixed {
				p.Backends = find(s, p)
			}
			if entries += 1 + len(p.Backends); entries > maxServiceEntries {
				c.complain(object, "ports["+strconv.Itoa(j)+"]", "more frontends and backends up to here than %s holds, %d", maps.NameServices, maxServiceEntries)
				return
			}
			if p.ID == 0 {
				p.ID = first[p.Port]
			}
			if !c.serviceID(p, "service "+s.Ref()) {
				c.complain(object, "ports["+strconv.Itoa(j)+"].id", "no service id left in 1..65535")
				return
			}
			first[p.Port] = p.ID
		}
		c.keepBackends(s, used)
	}
	for i := range c.services {
		for j := range c.services[i].Ports {
			c.numberBackends(&c.services[i].Ports[j], used)
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

// serviceID numbers a frontend, and says whether there was an id.
func (c *completion) serviceID(p *ServicePort, owner string) bool {
	for tried := 0; p.ID == 0 && tried < 1<<16; tried++ {
		c.nextService++ // wraps around; 0 is no id
		if _, ok := c.serviceIDs[c.nextService]; !ok && c.nextService != 0 {
			p.ID, c.serviceIDs[c.nextService] = c.nextService, owner
		}
	}
	return p.ID != 0
}

// backendFinder returns what finds the backends of a port that goes by its service's
// selector: among the pods that have one of the selector's labels.
func (c *completion) backendFinder() func(s *Service, p *ServicePort) []Backend {
	type label struct{ namespace, key, value string }
	having := make(map[label][]int)
	for i := range c.pods {
		if c.pods[i].Phase == NotReady {
			continue
		}
		for k, v := range c.pods[i].Labels {
			l := label{c.pods[i].Namespace, k, v}
			having[l] = append(having[l], i)
		}
	}
	return func(s *Service, p *ServicePort) []Backend {
		var few []int
		for i, k := range slices.Sorted(stdmaps.Keys(s.Selector)) {
			if list := having[label{s.Namespace, k, s.Selector[k]}]; i == 0 || len(list) < len(few) {
				few = list
			}
		}
		var backends []Backend
		for _, i := range few {
			pod := &c.pods[i]
			if port := p.targetOn(pod); port != 0 && selects(s.Selector, pod.Labels) {
				backends = append(backends, Backend{Addr: netip.AddrPortFrom(pod.IP, port), Terminating: pod.Phase == Terminating})
			}
		}
		return backends
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
