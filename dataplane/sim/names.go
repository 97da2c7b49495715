package sim

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ErrName is wrapped when a name is nobody's, or that of somebody who cannot send.
var ErrName = errors.New("no such end of a conversation")

// Prefixes of names.
const (
	prefixService  = "svc/"
	prefixNode     = "node/"
	prefixExternal = "external/"
	prefixHealth   = "health/"
	prefixPod      = "pod/"
)

// Resolve finds the address of a name:
//
//	web-1, default/web-1, pod/web-1   a pod, as cluster.Cluster.Pod finds it
//	svc/web, svc/default/web          a service's ClusterIP
//	node/worker, worker               a node's InternalIP
//	health/worker                     a node's health endpoint
//	external/dns, dns                 an external host
//	10.0.1.178                        an address
func (s *Sim) Resolve(name string) (netip.Addr, error) {
	if ip, err := netip.ParseAddr(name); err == nil {
		if !ip.Is4() {
			return netip.Addr{}, fmt.Errorf("%s is not IPv4: %w", name, ErrName)
		}
		return ip, nil
	}
	if ref, ok := strings.CutPrefix(name, prefixService); ok {
		svc, err := s.cluster.Service(ref)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("%w: %w", ErrName, err)
		}
		if !svc.ClusterIP.IsValid() {
			return netip.Addr{}, fmt.Errorf("service %s has no ClusterIP: %w", svc.Ref(), ErrName)
		}
		return svc.ClusterIP, nil
	}
	o, err := s.find(name)
	if err != nil {
		return netip.Addr{}, err
	}
	switch {
	case o.pod != nil:
		return addr(o.pod.ip), nil
	case o.machine != nil:
		return addr(o.machine.ip), nil
	}
	return addr(o.station.ip), nil
}

// find is whose name it is.
func (s *Sim) find(name string) (owner, error) {
	if n, ok := strings.CutPrefix(name, prefixNode); ok {
		return s.known(owner{machine: s.machines[n]}, name)
	}
	if n, ok := strings.CutPrefix(name, prefixExternal); ok {
		return s.known(owner{station: s.external(n)}, name)
	}
	if strings.HasPrefix(name, prefixHealth) {
		return s.known(owner{pod: s.pods[name]}, name)
	}
	p, err := s.cluster.Pod(strings.TrimPrefix(name, prefixPod))
	switch {
	case err == nil && p.HostNetwork:
		return s.known(owner{machine: s.machines[p.Node]}, name)
	case err == nil:
		return s.known(owner{pod: s.pods[p.Ref()]}, name)
	case s.machines[name] != nil:
		return owner{machine: s.machines[name]}, nil
	case s.external(name) != nil:
		return owner{station: s.external(name)}, nil
	}
	return owner{}, fmt.Errorf("%w: %w", ErrName, err)
}

func (s *Sim) known(o owner, name string) (owner, error) {
	if o.pod == nil && o.machine == nil && o.station == nil {
		return o, fmt.Errorf("%s: %w", name, ErrName)
	}
	return o, nil
}

// external is the external host of a name, or nil.
func (s *Sim) external(name string) *station {
	for _, e := range s.settings.External {
		if e.Name == name {
			return s.outside[e.IP.As4()]
		}
	}
	return nil
}

// sender is the stack of a name that can send.
func (s *Sim) sender(name string) (*stack, error) {
	if ip, err := netip.ParseAddr(name); err == nil && ip.Is4() {
		if st := s.stackOf(ip.As4()); st != nil {
			return st, nil
		}
		return nil, fmt.Errorf("nobody sends from %s: %w", name, ErrName)
	}
	if strings.HasPrefix(name, prefixService) {
		return nil, fmt.Errorf("%s does not send: %w", name, ErrName)
	}
	o, err := s.find(name)
	if err != nil {
		return nil, err
	}
	return o.stack(), nil
}

// stackOf is the stack that has an address, made for it if the world answers.
func (s *Sim) stackOf(ip [4]byte) *stack {
	if st := s.owners[ip].stack(); st != nil {
		return st
	}
	if w := s.world(ip); w != nil {
		return &w.stack
	}
	return nil
}

func (o owner) stack() *stack {
	switch {
	case o.pod != nil:
		return &o.pod.stack
	case o.machine != nil:
		return &o.machine.stack
	case o.station != nil:
		return &o.station.stack
	}
	return nil
}
