package generate

import (
	"net/netip"
	"slices"

	"github.com/hooklab/hooklab/dataplane/compare"
)

// pool is what frames and map entries of a world are made of, so that they meet.
type pool struct {
	local, remote, services, hosts, odd [][4]byte
	identities                          []uint32
	ports                               []uint16
	revNAT                              []uint16
	backends                            []uint32
	endpoints                           []uint16
	frontends                           []frontend
}

// frontend is a service with the ports that it has.
type frontend struct {
	addr  [4]byte
	ports []uint16
}

// frontend finds the service of an address.
func (p *pool) frontend(addr [4]byte) (f frontend, ok bool) {
	i := slices.IndexFunc(p.frontends, func(f frontend) bool { return f.addr == addr && len(f.ports) > 0 })
	if i < 0 {
		return f, false
	}
	return p.frontends[i], true
}

func poolOf(w *compare.World) pool {
	p := pool{
		hosts:      [][4]byte{w.Node.IP.As4(), w.Node.Router.As4(), {8, 8, 8, 8}, {192, 0, 2, 7}},
		odd:        [][4]byte{{}, {255, 255, 255, 255}, {224, 0, 0, 251}, {127, 0, 0, 1}, {169, 254, 42, 1}, {10, 0, 0, 99}, {10, 0, 1, 99}},
		identities: []uint32{0, 1, 2, 4, 6, 7, 99},
		ports:      []uint16{0, 53, 80, 443, 8080, 8472, 9090},
		revNAT:     []uint16{0, 1, 2, 11, 999},
		backends:   []uint32{0, 1, 2, 3, 77},
		endpoints:  []uint16{0, 9},
	}
	nodes := w.Cluster.Nodes()
	for i := range nodes {
		n := &nodes[i]
		if n.Name != w.Node.Name {
			p.hosts = append(p.hosts, n.IP.As4(), n.Router.As4())
		}
		for _, e := range w.Cluster.Endpoints(n.Name) {
			p.identities = append(p.identities, e.Identity)
			if n.Name == w.Node.Name {
				p.local = append(p.local, e.IP.As4())
				p.endpoints = append(p.endpoints, e.ID)
			} else {
				p.remote = append(p.remote, e.IP.As4())
			}
		}
	}
	for _, s := range w.Cluster.Services() {
		if s.Headless {
			continue
		}
		p.services = append(p.services, s.ClusterIP.As4())
		f := frontend{addr: s.ClusterIP.As4()}
		for i := range s.Ports {
			p.ports, f.ports = append(p.ports, s.Ports[i].Port), append(f.ports, s.Ports[i].Port)
			p.revNAT = append(p.revNAT, s.Ports[i].ID)
			for _, b := range s.Ports[i].Backends {
				p.backends = append(p.backends, b.ID)
				p.ports = append(p.ports, b.Addr.Port())
			}
		}
		p.frontends = append(p.frontends, f)
	}
	if len(p.remote) == 0 {
		p.remote = [][4]byte{{10, 0, 1, 10}}
	}
	if len(p.services) == 0 {
		p.services = [][4]byte{{10, 96, 0, 10}}
	}
	return p
}

// sender is somebody who may begin a conversation.
func (r *round) sender() [4]byte {
	switch r.pick("sender", 5) {
	case 0, 1:
		return oneOf(r.maker, r.pool.local)
	case 2:
		return oneOf(r.maker, r.pool.remote)
	case 3:
		return oneOf(r.maker, r.pool.hosts)
	}
	return r.anybody()
}

// receiver is whom a conversation is with.
func (r *round) receiver() [4]byte {
	switch r.pick("receiver", 6) {
	case 0:
		return oneOf(r.maker, r.pool.local)
	case 1:
		return oneOf(r.maker, r.pool.remote)
	case 2, 3:
		return oneOf(r.maker, r.pool.services)
	case 4:
		return oneOf(r.maker, r.pool.hosts)
	}
	return oneOf(r.maker, r.pool.odd)
}

// anybody is any address that the world knows, or nobody's.
func (r *round) anybody() [4]byte {
	lists := [][][4]byte{r.pool.local, r.pool.remote, r.pool.services, r.pool.hosts, r.pool.odd}
	if r.chance(5) {
		return netip.AddrFrom4([4]byte(r.bytes(4))).As4()
	}
	return oneOf(r.maker, oneOf(r.maker, lists))
}

func (r *round) port() uint16 {
	if r.chance(10) {
		return uint16(r.Uint32())
	}
	return oneOf(r.maker, r.pool.ports)
}

func (r *round) identity() uint32 {
	if r.chance(10) {
		return r.Uint32()
	}
	return oneOf(r.maker, r.pool.identities)
}
