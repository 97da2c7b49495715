package cluster

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// Changes are what two states of a cluster do not have in common. A pod that was
// replaced, because its address, node or another property of its namespace is new, is
// in both lists of pods; so is a node.
type Changes struct {
	AddedNodes, RemovedNodes       []Node
	AddedPods, RemovedPods         []Pod
	AddedServices, RemovedServices []Service
	// Changed are objects that stay where they are and are otherwise different.
	ChangedPods     []PodChange
	ChangedServices []ServiceChange
	// Settings names the lab's own settings that differ; a running lab has to be made
	// anew for those.
	Settings []string
}

// PodChange is a pod whose namespace stays.
type PodChange struct{ From, To Pod }

// ServiceChange is a service before and after.
type ServiceChange struct{ From, To Service }

// Empty says that the states are equal.
func (c *Changes) Empty() bool { return len(c.Lines()) == 0 }

// Lines tells the changes, one to a line: "+" is new, "-" is gone, "~" is different.
func (c *Changes) Lines() []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, name := range c.Settings {
		add("~ settings: %s", name)
	}
	for i := range c.RemovedNodes {
		add("- node %s", c.RemovedNodes[i].Name)
	}
	for i := range c.AddedNodes {
		n := &c.AddedNodes[i]
		add("+ node %s, %s, pods %s", n.Name, n.IP, n.PodCIDR)
	}
	for i := range c.RemovedPods {
		p := &c.RemovedPods[i]
		add("- pod %s on %s, %s", p.Ref(), p.Node, p.IP)
	}
	for i := range c.AddedPods {
		p := &c.AddedPods[i]
		add("+ pod %s on %s, %s", p.Ref(), p.Node, p.IP)
	}
	for i := range c.ChangedPods {
		p := &c.ChangedPods[i]
		add("~ pod %s: %s", p.To.Ref(), strings.Join(podDifference(&p.From, &p.To), ", "))
	}
	for i := range c.RemovedServices {
		add("- service %s", c.RemovedServices[i].Ref())
	}
	for i := range c.AddedServices {
		s := &c.AddedServices[i]
		add("+ service %s, %s", s.Ref(), serviceAddress(s))
	}
	for i := range c.ChangedServices {
		s := &c.ChangedServices[i]
		add("~ service %s: %s", s.To.Ref(), strings.Join(serviceDifference(&s.From, &s.To), ", "))
	}
	return lines
}

func serviceAddress(s *Service) string {
	if s.Headless {
		return "headless"
	}
	return s.ClusterIP.String()
}

func podDifference(from, to *Pod) []string {
	var all []string
	if from.Identity != to.Identity {
		all = append(all, fmt.Sprintf("identity %d instead of %d", to.Identity, from.Identity))
	}
	if from.Phase != to.Phase {
		all = append(all, fmt.Sprintf("%s instead of %s", to.Phase, from.Phase))
	}
	for _, f := range []struct {
		name     string
		from, to any
	}{
		{"labels", from.Labels, to.Labels},
		{"ports", from.Ports, to.Ports},
		{"service account", from.ServiceAccount, to.ServiceAccount},
	} {
		if !reflect.DeepEqual(f.from, f.to) {
			all = append(all, f.name)
		}
	}
	return all
}

func serviceDifference(from, to *Service) []string {
	var all []string
	if serviceAddress(from) != serviceAddress(to) {
		all = append(all, fmt.Sprintf("%s instead of %s", serviceAddress(to), serviceAddress(from)))
	}
	if !reflect.DeepEqual(from.Selector, to.Selector) {
		all = append(all, "selector")
	}
	was, is := portsByName(from), portsByName(to)
	for _, name := range sortedKeys(was) {
		if is[name] == nil {
			all = append(all, "no port "+name)
		}
	}
	for _, name := range sortedKeys(is) {
		if was[name] == nil {
			all = append(all, "port "+name)
			continue
		}
		if more := portDifference(was[name], is[name]); len(more) > 0 {
			all = append(all, fmt.Sprintf("port %s: %s", name, strings.Join(more, " ")))
		}
	}
	if len(all) == 0 {
		all = append(all, "ids")
	}
	return all
}

func portsByName(s *Service) map[string]*ServicePort {
	ports := make(map[string]*ServicePort)
	for i := range s.Ports {
		ports[fmt.Sprintf("%d/%s", s.Ports[i].Port, s.Ports[i].Protocol)] = &s.Ports[i]
	}
	return ports
}

func portDifference(from, to *ServicePort) []string {
	was, is := make(map[netip.AddrPort]bool), make(map[netip.AddrPort]bool)
	for _, b := range from.Backends {
		was[b.Addr] = b.Terminating
	}
	for _, b := range to.Backends {
		is[b.Addr] = b.Terminating
	}
	var all []string
	for _, b := range from.Backends {
		if _, stays := is[b.Addr]; !stays {
			all = append(all, "-"+b.Addr.String())
		}
	}
	for _, b := range to.Backends {
		terminated, had := was[b.Addr]
		switch {
		case !had:
			all = append(all, "+"+b.Addr.String())
		case b.Terminating && !terminated:
			all = append(all, b.Addr.String()+" is terminating")
		case !b.Terminating && terminated:
			all = append(all, b.Addr.String()+" is active again")
		}
	}
	if from.TargetPort != to.TargetPort {
		all = append(all, "target port "+to.TargetPort)
	}
	return all
}

func difference(old, now *state) Changes {
	c := Changes{Settings: settingsDifference(&old.settings, &now.settings)}
	c.RemovedNodes = missing(old.nodes, now.nodes, nodeIdentity)
	c.AddedNodes = missing(now.nodes, old.nodes, nodeIdentity)
	c.RemovedPods = missing(old.pods, now.pods, podIdentity)
	c.AddedPods = missing(now.pods, old.pods, podIdentity)
	c.RemovedServices = missing(old.services, now.services, (*Service).Ref)
	c.AddedServices = missing(now.services, old.services, (*Service).Ref)
	pods, services := index(old.pods, podIdentity), index(old.services, (*Service).Ref)
	for i := range now.pods {
		if was := pods[podIdentity(&now.pods[i])]; was != nil && !reflect.DeepEqual(*was, now.pods[i]) {
			c.ChangedPods = append(c.ChangedPods, PodChange{*was, now.pods[i]})
		}
	}
	for i := range now.services {
		if was := services[now.services[i].Ref()]; was != nil && !reflect.DeepEqual(*was, now.services[i]) {
			c.ChangedServices = append(c.ChangedServices, ServiceChange{*was, now.services[i]})
		}
	}
	// An empty map and none are the same, and so are other things that nobody sees.
	c.ChangedPods = slices.DeleteFunc(c.ChangedPods, func(p PodChange) bool { return len(podDifference(&p.From, &p.To)) == 0 })
	return c
}

// settingsDifference names the settings that differ.
func settingsDifference(old, now *Settings) []string {
	var names []string
	was, is := reflect.ValueOf(*old), reflect.ValueOf(*now)
	for i := range was.NumField() {
		if !reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			names = append(names, was.Type().Field(i).Name)
		}
	}
	return names
}

func index[T any](list []T, key func(*T) string) map[string]*T {
	m := make(map[string]*T, len(list))
	for i := range list {
		m[key(&list[i])] = &list[i]
	}
	return m
}

// missing lists what is in a and not in b.
func missing[T any](a, b []T, key func(*T) string) []T {
	have := index(b, key)
	var list []T
	for i := range a {
		if have[key(&a[i])] == nil {
			list = append(list, a[i])
		}
	}
	return list
}

// nodeIdentity and podIdentity are all that makes a namespace another one.
func nodeIdentity(n *Node) string {
	return fmt.Sprintf("%s %s %s %s %s %s %s %s %s %s", n.Name, n.IP, n.PodCIDR, n.Router, n.Engine,
		n.MAC, n.HostMAC, n.NetMAC, n.VXLANMAC, endpointIdentity(&n.Health))
}

func podIdentity(p *Pod) string {
	return fmt.Sprintf("%s %s %t %s %q", p.Ref(), p.Node, p.HostNetwork, endpointIdentity(&p.Endpoint), p.Run)
}

func endpointIdentity(e *Endpoint) string {
	return fmt.Sprintf("%s %d %s %s %d %s", e.IP, e.ID, e.MAC, e.NodeMAC, e.Ifindex, e.Device)
}
