package cluster

import (
	"net/netip"
	"slices"
)

// change makes a clone of the current state, lets f alter it, completes the result
// and publishes it. Nothing changes if any of that fails.
func (c *Cluster) change(f func(d *description) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := newDescription()
	d.state = c.now().clone()
	d.underlayGiven = true
	if err := f(d); err != nil {
		return err
	}
	if err := d.complete().err(); err != nil {
		return err
	}
	c.publish(&d.state)
	return nil
}

// AddPod adds a pod and returns it with what was allocated. Errors are ErrInput.
func (c *Cluster) AddPod(p Pod) (Pod, error) {
	p.Namespace = namespaceOr(p.Namespace)
	err := c.change(func(d *description) error {
		if err := d.newName("Pod", p.Namespace, p.Name, func() bool {
			return slices.ContainsFunc(d.pods, func(q Pod) bool { return q.Ref() == p.Ref() })
		}); err != nil {
			return err
		}
		d.pods = append(d.pods, p)
		return nil
	})
	if err != nil {
		return Pod{}, err
	}
	return c.Pod(p.Ref())
}

// RemovePod removes a pod at once. Services lose it as a backend.
func (c *Cluster) RemovePod(ref string) error {
	return c.change(func(d *description) error {
		i, err := d.pod(ref)
		if err == nil {
			d.pods = slices.Delete(d.pods, i, i+1)
		}
		return err
	})
}

// SetPhase changes a pod's phase. A pod that is to go gracefully is Terminating for
// a while before RemovePod.
func (c *Cluster) SetPhase(ref string, phase Phase) error {
	return c.change(func(d *description) error {
		i, err := d.pod(ref)
		if err == nil {
			d.pods[i].Phase = phase
		}
		return err
	})
}

// AddService adds a service and returns it with what was allocated. Backends that it
// brings for a port are Fixed.
func (c *Cluster) AddService(s Service) (Service, error) {
	s = s.clone()
	s.Namespace = namespaceOr(s.Namespace)
	for i := range s.Ports {
		s.Ports[i].Fixed = s.Ports[i].Fixed || len(s.Ports[i].Backends) > 0
	}
	err := c.change(func(d *description) error {
		if err := d.newName("Service", s.Namespace, s.Name, func() bool {
			return slices.ContainsFunc(d.services, func(q Service) bool { return q.Ref() == s.Ref() })
		}); err != nil {
			return err
		}
		d.services = append(d.services, s)
		return nil
	})
	if err != nil {
		return Service{}, err
	}
	return c.Service(s.Ref())
}

// RemoveService removes a service with its frontends.
func (c *Cluster) RemoveService(ref string) error {
	return c.change(func(d *description) error {
		i, err := d.service(ref)
		if err == nil {
			d.services = slices.Delete(d.services, i, i+1)
		}
		return err
	})
}

// SetBackends replaces the backends of a service's port; ids of 0 are allocated. The
// service's selector no longer counts for that port.
func (c *Cluster) SetBackends(ref string, port uint16, backends []Backend) error {
	return c.change(func(d *description) error {
		i, err := d.service(ref)
		if err != nil {
			return err
		}
		s, found := &d.services[i], false
		for j := range s.Ports {
			if s.Ports[j].Port == port {
				s.Ports[j].Backends, s.Ports[j].Fixed, found = slices.Clone(backends), true, true
			}
		}
		if !found {
			return inputErrorf("Service "+s.Ref(), "", "no port %d", port)
		}
		for _, b := range backends {
			if !b.Addr.Addr().Is4() || b.Addr.Port() == 0 {
				return inputErrorf("Service "+s.Ref(), "", "%v: not an IPv4 address and port", b.Addr)
			}
			if b.ID != 0 {
				if s.BackendIDs == nil {
					s.BackendIDs = make(map[netip.AddrPort]uint32)
				}
				s.BackendIDs[b.Addr] = b.ID
			}
		}
		return nil
	})
}

// newName checks the name of an object that is to be added.
func (d *description) newName(kind, namespace, name string, exists func() bool) error {
	if err := checkName(name); err != nil {
		return inputErrorf(kind, "name", "%v", err)
	}
	if err := checkName(namespace); err != nil {
		return inputErrorf(kind, "namespace", "%v", err)
	}
	if exists() {
		return inputErrorf(kind+" "+namespace+"/"+name, "", "exists already")
	}
	return nil
}

// Reload makes the cluster what the sources describe now. What stays keeps what it
// was allocated; what the sources give wins. It returns what is different. Nothing
// changes on an error.
func (c *Cluster) Reload(sources ...Source) (Changes, error) {
	d, err := parse(sources)
	if err != nil {
		return Changes{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.now()
	d.inherit(old)
	if err := d.complete().err(); err != nil {
		return Changes{}, err
	}
	if c.adopted != nil {
		if err := d.adopt(c.adopted); err != nil {
			return Changes{}, err
		}
	}
	c.publish(&d.state)
	return difference(old, &d.state), nil
}

// Clone is another cluster in the same state: to try a change, or to go back to.
func (c *Cluster) Clone() *Cluster {
	clone := &Cluster{adopted: c.adopted}
	clone.current.Store(c.now())
	return clone
}

// Restore gives the cluster the state of another one, such as a Clone from before.
func (c *Cluster) Restore(from *Cluster) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current.Store(from.now())
}
