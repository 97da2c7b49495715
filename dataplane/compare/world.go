package compare

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
)

// World is the node that a scenario is about: what its agent would load and write.
type World struct {
	Cluster *cluster.Cluster
	Node    cluster.Node
	Devices []Device

	config dataplane.Config // of the node's own programs
	loads  []load
}

// Device is a device of the node with the name that steps use.
type Device struct {
	Name     string
	Ifindex  uint32
	MAC      [6]byte
	Endpoint uint16                    // of a pod's or the health endpoint's device, else 0
	Of       *cluster.NodeEndpoint     // the same, nil else
	Config   *dataplane.EndpointConfig // what its programs are compiled with
	reload   bool                      // its programs are unloaded and loaded again
}

// load is a program to load and its configuration.
type load struct {
	hook   dataplane.Hook
	config dataplane.Config
}

// healthDevice is the name of the health endpoint's device in steps.
const healthDevice = "health"

// Build makes the world of a scenario. Errors are the user's: they satisfy
// errors.Is(err, ErrInput) or errors.Is(err, cluster.ErrInput).
func (s *Scenario) Build() (*World, error) {
	c, err := cluster.Load(s.Cluster...)
	if err != nil {
		return nil, err
	}
	w := &World{Cluster: c}
	name := s.Node
	if name == "" {
		name = c.DefaultNode().Name
	}
	if w.Node, err = c.Node(name); err != nil {
		return nil, err
	}
	if w.config, err = c.NodeConfig(name); err != nil {
		return nil, err
	}
	for _, x := range s.Settings {
		if x.Device == "" {
			if err := applySetting(&w.config, &x); err != nil {
				return nil, inputErrorf(s.Name, x.Line, "%w", err)
			}
		}
	}
	w.addDevices(name)
	if err := w.endpointSettings(s); err != nil {
		return nil, err
	}
	w.addLoads()
	return w, nil
}

func (w *World) addDevices(node string) {
	ends := map[uint32]*cluster.NodeEndpoint{}
	for _, e := range w.Cluster.Endpoints(node) {
		ends[e.Ifindex] = &e
	}
	for _, d := range w.Cluster.Devices(node) {
		dev := Device{Name: d.Name, Ifindex: d.Ifindex, MAC: d.MAC}
		if e := ends[d.Ifindex]; e != nil {
			dev.Name, dev.Endpoint, dev.Of = endpointName(e), e.ID, e
			dev.Config = &dataplane.EndpointConfig{ID: e.ID, IPv4: e.IP.As4(), NodeMAC: e.NodeMAC, Identity: e.Identity}
		}
		w.Devices = append(w.Devices, dev)
	}
}

// endpointName is what steps call an endpoint's device.
func endpointName(e *cluster.NodeEndpoint) string {
	if e.Pod == nil {
		return healthDevice
	}
	return strings.TrimPrefix(e.Pod.Ref(), "default/")
}

func (w *World) endpointSettings(s *Scenario) error {
	for _, x := range s.Settings {
		if x.Device == "" {
			continue
		}
		d, err := w.device(x.Device)
		if err != nil {
			return inputErrorf(s.Name, x.Line, "set %s: %w", x.Name, err)
		}
		switch {
		case d.Config != nil && x.Name == settingVerdicts:
			d.Config.VerdictFilter = x.Value
		case d.Config != nil && x.Name == settingReload:
			d.reload = x.Value != 0
		default:
			return inputErrorf(s.Name, x.Line, "set %s %s: only %s and %s are set for an endpoint", x.Name, x.Device, settingVerdicts, settingReload)
		}
	}
	return nil
}

// addLoads lists every program on every device that may have it, whether the profile
// attaches it or not: a step can enter any.
func (w *World) addLoads() {
	for i := range w.Devices {
		d := &w.Devices[i]
		c := w.config
		if d.Config != nil {
			c.Endpoint = *d.Config
		}
		for _, p := range d.Programs() {
			w.loads = append(w.loads, load{dataplane.Hook{Prog: p, Ifindex: d.Ifindex, Endpoint: d.Endpoint}, c})
		}
	}
}

// Programs are the programs that a device can have.
func (d *Device) Programs() []dataplane.Prog {
	switch {
	case d.Endpoint != 0:
		return []dataplane.Prog{dataplane.FromContainer, dataplane.ToContainer, dataplane.PolicyProg}
	case d.Name == "cilium_host":
		return []dataplane.Prog{dataplane.FromHost, dataplane.ToHost}
	case d.Name == "cilium_net":
		return []dataplane.Prog{dataplane.ToHost}
	case d.Name == "cilium_vxlan":
		return []dataplane.Prog{dataplane.FromOverlay, dataplane.ToOverlay}
	case d.Name == "eth0":
		return []dataplane.Prog{dataplane.FromNetdev, dataplane.ToNetdev}
	}
	return nil
}

// Config is the configuration of the node's programs.
func (w *World) Config() dataplane.Config { return w.config }

// device finds a device by its name in steps.
func (w *World) device(name string) (*Device, error) {
	short := strings.TrimPrefix(name, "default/")
	for i := range w.Devices {
		if w.Devices[i].Name == short {
			return &w.Devices[i], nil
		}
	}
	names := make([]string, 0, len(w.Devices))
	for i := range w.Devices {
		names = append(names, w.Devices[i].Name)
	}
	return nil, fmt.Errorf("device %q: node %s has %s", name, w.Node.Name, strings.Join(names, ", "))
}

// DeviceAt finds a device by its index, nil if the node has none there.
func (w *World) DeviceAt(ifindex uint32) *Device {
	i := slices.IndexFunc(w.Devices, func(d Device) bool { return d.Ifindex == ifindex })
	if i < 0 {
		return nil
	}
	return &w.Devices[i]
}

// hook is where a packet enters, and the device there.
func (w *World) hook(in *Input) (dataplane.Hook, *Device, error) {
	d, err := w.device(in.Device)
	if err != nil {
		return dataplane.Hook{}, nil, err
	}
	if !slices.Contains(d.Programs(), in.Prog) {
		var names []string
		for _, p := range d.Programs() {
			names = append(names, p.String())
		}
		return dataplane.Hook{}, nil, fmt.Errorf("%s cannot be on %s, which has %s", in.Prog, in.Device, strings.Join(names, ", "))
	}
	return dataplane.Hook{Prog: in.Prog, Ifindex: d.Ifindex, Endpoint: d.Endpoint}, d, nil
}

// compared are the names of the maps that are compared: all that hold what packets
// leave or what decides about them, but not programs and scratch memory.
func (w *World) compared() []string {
	names := []string{
		maps.NameCT4, maps.NameCTAny4, maps.NameFrags, maps.NameMetrics,
		maps.NameLXC, maps.NameIPCache, maps.NameTunnel, maps.NameServices, maps.NameBackends, maps.NameRevNAT,
	}
	for i := range w.Devices {
		if w.Devices[i].Endpoint != 0 {
			names = append(names, maps.PolicyName(w.Devices[i].Endpoint))
		}
	}
	return names
}

// ProgramArrays are the names of the node's prog arrays: one for all endpoints, and one
// of each object for its own tail calls.
func (w *World) ProgramArrays() []string {
	names := []string{maps.NamePolicyCall, maps.NameOverlayCalls}
	for i := range w.Devices {
		switch d := &w.Devices[i]; {
		case d.Endpoint != 0:
			names = append(names, maps.CallsName(d.Endpoint))
		case d.Ifindex == w.config.HostIfindex:
			names = append(names, maps.HostCallsName(w.config.HostEndpointID))
		case len(d.Programs()) > 0 && d.Name != "cilium_vxlan":
			names = append(names, maps.NetdevCallsName(d.Ifindex))
		}
	}
	return names
}
