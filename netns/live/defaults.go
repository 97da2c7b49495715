package live

import (
	"fmt"
	"strings"

	"github.com/hooklab/hooklab/cluster"
)

// most limits what the default list takes of each kind, so that a large cluster's list
// stays one that somebody waits for.
const most = 8

// Default is the list of a cluster for which nobody has written one: from the first pods
// of the first nodes and from a node to a pod beside, a pod elsewhere, nodes, hosts outside
// and each service, with every program; then long packets, closed ports and addresses that
// nobody has. It is a script's text.
func Default(c *cluster.Cluster) string {
	d := defaults{c: c}
	clients := d.clients()
	for i, from := range clients {
		d.pair(&from, d.peer(&from, true), i == 0)
		d.pair(&from, d.peer(&from, false), i == 0)
		d.add("%s > node/%s ping", ref(&from), from.Node)
		if other := d.otherNode(from.Node); other != "" {
			d.add("%s > node/%s ping", ref(&from), other)
			d.add("%s > node/%s:9 tcp", ref(&from), other)
		}
	}
	if len(clients) > 0 {
		d.outside(ref(&clients[0]))
	}
	if len(clients) > 0 {
		d.node(&clients[0])
	}
	for i, from := range clients {
		d.services(ref(&from), i == 0)
	}
	if len(clients) > 0 {
		d.services("node/"+clients[0].Node, false)
	}
	return d.b.String()
}

type defaults struct {
	c *cluster.Cluster
	b strings.Builder
}

func (d *defaults) add(format string, args ...any) { fmt.Fprintf(&d.b, format+"\n", args...) }

// ref is the shortest name that is surely the pod's.
func ref(p *cluster.Pod) string {
	if p.Namespace == "default" {
		return p.Name
	}
	return p.Ref()
}

// clients are the first pods of the first two nodes that have some.
func (d *defaults) clients() []cluster.Pod {
	var list []cluster.Pod
	seen := map[string]bool{}
	for _, p := range d.c.Pods() {
		if !p.HostNetwork && !seen[p.Node] && len(list) < 2 {
			seen[p.Node] = true
			list = append(list, p)
		}
	}
	return list
}

// peer is another pod, on the same node or on another, nil if there is none. One that
// runs nothing is better: what it answers is known.
func (d *defaults) peer(from *cluster.Pod, same bool) *cluster.Pod {
	var found *cluster.Pod
	for _, p := range d.c.Pods() {
		if p.HostNetwork || p.Ref() == from.Ref() || (p.Node == from.Node) != same {
			continue
		}
		if len(p.Run) == 0 {
			return &p
		}
		if found == nil {
			found = &p
		}
	}
	return found
}

func (d *defaults) otherNode(name string) string {
	for _, n := range d.c.Nodes() {
		if n.Name != name {
			return n.Name
		}
	}
	return ""
}

// pair is everything between two pods.
func (d *defaults) pair(from, to *cluster.Pod, all bool) {
	if to == nil {
		return
	}
	a, b := ref(from), ref(to)
	d.add("%s > %s ping", a, b)
	d.add("%s > %s:8080 tcp", a, b)
	d.add("%s > %s:8080 udp", a, b)
	if !all {
		return
	}
	d.add("%s > %s traceroute hops=4", a, b)
	d.add("%s > %s ping ttl=1 count=1 timeout=1s", a, b)
	d.add("%s > %s ping size=4000", a, b)
	d.add("%s > %s:8080 tcp bytes=100000", a, b)
	d.add("%s > %s:8080 udp bytes=4000", a, b)
	d.add("%s > %s:9 tcp closed", a, b)
	d.add("%s > %s:9 udp closed", a, b)
	d.add("%s > %s ping size=1472 df count=1 timeout=1s", a, b)
}

// outside is what leaves the cluster.
func (d *defaults) outside(a string) {
	settings := d.c.Settings()
	gateway := settings.Gateway()
	d.add("%s > %s ping", a, gateway)
	for _, e := range settings.External[:min(len(settings.External), most)] {
		d.add("%s > external/%s ping", a, e.Name)
		d.add("%s > external/%s:8080 tcp", a, e.Name)
		d.add("%s > external/%s:8080 udp", a, e.Name)
		d.add("%s > external/%s traceroute", a, e.Name)
	}
	d.add("%s > 192.0.2.1 ping count=1", a)
}

// node is what a node says to pods and to other nodes.
func (d *defaults) node(pod *cluster.Pod) {
	a := "node/" + pod.Node
	d.add("%s > %s ping", a, ref(pod))
	d.add("%s > %s:8080 tcp", a, ref(pod))
	d.add("%s > %s:8080 udp", a, ref(pod))
	if far := d.peer(pod, false); far != nil {
		d.add("%s > %s ping", a, ref(far))
		d.add("%s > %s:8080 tcp", a, ref(far))
		d.add("%s > %s:8080 udp", a, ref(far))
	}
	if other := d.otherNode(pod.Node); other != "" {
		d.add("%s > node/%s ping", a, other)
	}
	for _, n := range d.c.Nodes() {
		if n.Health.IP.IsValid() {
			d.add("%s > health/%s ping", a, n.Name)
		}
	}
}

// services is access to each service by its cluster IP.
func (d *defaults) services(a string, ping bool) {
	n := 0
	for _, s := range d.c.Services() {
		if !s.ClusterIP.IsValid() || len(s.Ports) == 0 {
			continue
		}
		if n++; n > most {
			return
		}
		name := s.Name
		if s.Namespace != "default" {
			name = s.Ref()
		}
		seen := map[uint16]bool{}
		for _, p := range s.Ports {
			if seen[p.Port] || p.Protocol == "SCTP" {
				continue
			}
			seen[p.Port] = true
			wait := ""
			if p.Active() == 0 {
				wait = " timeout=1s"
			}
			d.add("%s > svc/%s:%d %s%s", a, name, p.Port, strings.ToLower(p.Protocol), wait)
		}
		if ping {
			d.add("%s > svc/%s ping count=1", a, name)
		}
	}
}
