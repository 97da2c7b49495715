package sim

import (
	"net/netip"
	"path"
	"strconv"
	"strings"

	"github.com/hooklab/hooklab/dataplane/header"
)

// listener is an open port of an address.
type listener struct {
	ip    [4]byte
	proto uint8
	port  uint16
}

// cilium-health's port.
const healthPort = 4240

// openPorts collects the ports that the cluster's description opens; see the
// package's comment for the rule.
func (s *Sim) openPorts() map[listener]bool {
	open := make(map[listener]bool)
	services := s.cluster.Services()
	for i := range services {
		for j := range services[i].Ports {
			p := &services[i].Ports[j]
			for _, b := range p.Backends {
				if proto := protocol(p.Protocol); proto != 0 {
					open[listener{b.Addr.Addr().As4(), proto, b.Addr.Port()}] = true
				}
			}
		}
	}
	pods := s.cluster.Pods()
	for i := range pods {
		p := &pods[i]
		if !p.IP.IsValid() {
			continue
		}
		for _, port := range p.Ports {
			open[listener{p.IP.As4(), header.ProtoTCP, port}] = true
			open[listener{p.IP.As4(), header.ProtoUDP, port}] = true
		}
		if proto, port, ok := server(p.Run); ok {
			open[listener{p.IP.As4(), proto, port}] = true
		}
	}
	for _, e := range s.settings.External {
		if proto, port, ok := server(e.Run); ok {
			open[listener{e.IP.As4(), proto, port}] = true
		}
	}
	return open
}

// frontends are the services' active backends, for what stands for kube-proxy.
func (s *Sim) frontends() map[listener][]netip.AddrPort {
	all := make(map[listener][]netip.AddrPort)
	services := s.cluster.Services()
	for i := range services {
		svc := &services[i]
		if !svc.ClusterIP.IsValid() {
			continue
		}
		for j := range svc.Ports {
			p := &svc.Ports[j]
			var active []netip.AddrPort
			for _, b := range p.Backends {
				if !b.Terminating {
					active = append(active, b.Addr)
				}
			}
			if proto := protocol(p.Protocol); proto != 0 {
				all[listener{svc.ClusterIP.As4(), proto, p.Port}] = active
			}
		}
	}
	return all
}

// listens says whether a port is open.
func (s *Sim) listens(at Place, ip [4]byte, proto uint8, port uint16) bool {
	return s.ports[listener{ip, proto, port}] || s.opts.Open != nil && s.opts.Open(at, proto, port)
}

// protocol is a service port's protocol as a number. SCTP has no sockets here.
func protocol(name string) uint8 {
	switch name {
	case "", "TCP":
		return header.ProtoTCP
	case "UDP":
		return header.ProtoUDP
	}
	return 0
}

// server finds out where a command listens, for the few that it knows.
func server(run []string) (proto uint8, port uint16, ok bool) {
	if len(run) == 0 {
		return 0, 0, false
	}
	switch path.Base(run[0]) {
	case "nc", "ncat", "netcat":
		return netcat(run[1:])
	case "python", "python3":
		if len(run) >= 3 && run[1] == "-m" && run[2] == "http.server" {
			port, ok = 8000, true
			if len(run) > 3 {
				port, ok = number(run[3])
			}
			return header.ProtoTCP, port, ok
		}
	case "socat":
		for _, a := range run[1:] {
			kind, rest, _ := strings.Cut(strings.ToUpper(a), ":")
			rest, _, _ = strings.Cut(rest, ",")
			port, ok = number(rest)
			switch {
			case !ok:
			case strings.HasPrefix(kind, "TCP") && strings.Contains(kind, "LISTEN"):
				return header.ProtoTCP, port, true
			case strings.HasPrefix(kind, "UDP") && (strings.Contains(kind, "LISTEN") || strings.Contains(kind, "RECV")):
				return header.ProtoUDP, port, true
			}
		}
	}
	return 0, 0, false
}

// netcat reads the arguments of nc: -l listens, -u is UDP, the port is the last
// number.
func netcat(args []string) (proto uint8, port uint16, ok bool) {
	proto = header.ProtoTCP
	listens := false
	for _, a := range args {
		switch flags, short := strings.CutPrefix(a, "-"); {
		case short && !strings.HasPrefix(flags, "-"):
			listens = listens || strings.Contains(flags, "l")
			if strings.Contains(flags, "u") {
				proto = header.ProtoUDP
			}
		case a == "--listen":
			listens = true
		case a == "--udp":
			proto = header.ProtoUDP
		default:
			if n, isPort := number(a); isPort {
				port = n
			}
		}
	}
	return proto, port, listens && port != 0
}

func number(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n != 0
}
