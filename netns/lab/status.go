package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/hooklab/hooklab/dataplane"
)

// Status is what a running lab tells about itself. Its JSON form is documented in
// docs/status-json.md.
type Status struct {
	Name     string       `json:"name"`
	Version  string       `json:"version"` // of hooklab
	Engine   string       `json:"engine"`
	Profile  string       `json:"profile"`
	Wire     string       `json:"wire"`                 // of pods: "tap" or "veth"; of nodes with engine kernel always "veth"
	WireWhy  string       `json:"wireReason,omitempty"` // why, if nobody has asked for it
	Rootless bool         `json:"rootless"`             // in a user namespace
	PID      int          `json:"pid"`
	Started  time.Time    `json:"started"`
	Sources  []string     `json:"sources"` // files of the description, as they were named
	Nodes    []NodeStatus `json:"nodes"`
	Pods     []PodStatus  `json:"pods"`
	External []PodStatus  `json:"external"` // hosts outside of the cluster
	Services int          `json:"services"`
	Process  Resources    `json:"process"`
}

// NodeStatus is a node of a running lab.
type NodeStatus struct {
	Name    string    `json:"name"`
	IP      string    `json:"ip"`
	PodCIDR string    `json:"podCIDR"`
	Router  string    `json:"router"`
	Engine  string    `json:"engine"`
	Maps    string    `json:"maps,omitempty"` // directory where its maps are pinned
	Stats   NodeStats `json:"stats"`
	// Programs are those on the devices of a node with engine kernel.
	Programs []dataplane.AttachedProgram `json:"programs,omitempty"`
}

// PodStatus is a pod of a running lab, or a host outside.
type PodStatus struct {
	Namespace string         `json:"namespace,omitempty"`
	Name      string         `json:"name"`
	Node      string         `json:"node,omitempty"`
	IP        string         `json:"ip"`
	Phase     string         `json:"phase,omitempty"`
	Command   *CommandStatus `json:"command,omitempty"` // what it runs
}

// Status asks the lab how it is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	body, err := c.do(ctx, http.MethodGet, "status")
	if err != nil {
		return nil, err
	}
	s := &Status{}
	if err := json.Unmarshal(body, s); err != nil {
		return nil, fmt.Errorf("lab %s: answer to status: %w", c.name, err)
	}
	return s, nil
}

func (l *Lab) status(ctx context.Context) (*Status, error) {
	i := l.info()
	s := &Status{
		Name: i.Name, Version: i.Version, Engine: i.Engine, Profile: i.Profile, PID: i.PID, Started: l.began,
		Wire: l.state.Wire, WireWhy: l.state.WireReason, Rootless: l.state.Rootless,
		Services: len(l.cluster.Services()), Process: resources(), Pods: []PodStatus{}, External: []PodStatus{},
	}
	l.mu.Lock()
	s.Sources = l.sources
	l.mu.Unlock()
	for _, w := range l.nodes() {
		n, err := l.cluster.Node(w.name)
		if err != nil {
			continue // it is being removed
		}
		stats, err := w.stats(ctx)
		if err != nil {
			return nil, err
		}
		programs, err := w.programs(ctx)
		if err != nil {
			return nil, err
		}
		node := NodeStatus{
			Name: n.Name, IP: n.IP.String(), PodCIDR: n.PodCIDR.String(), Router: n.Router.String(), Engine: w.engine,
			Stats: *stats, Programs: programs,
		}
		if w.attached != nil && l.state.PinMaps {
			node.Maps = l.home.mapPins(n.Name)
		}
		s.Nodes = append(s.Nodes, node)
	}
	pods := l.cluster.Pods()
	for i := range pods {
		p := &pods[i]
		s.Pods = append(s.Pods, PodStatus{
			Namespace: p.Namespace, Name: p.Name, Node: p.Node, IP: p.IP.String(), Phase: p.Phase.String(),
			Command: l.commandStatus(p.Ref()),
		})
	}
	for _, e := range l.cluster.Settings().External {
		at := newSpace(KindExternal, "", e.Name)
		s.External = append(s.External, PodStatus{Name: e.Name, IP: e.IP.String(), Command: l.commandStatus(at.Ref())})
	}
	return s, nil
}

// commandStatus is the state of a command, nil if there is none.
func (l *Lab) commandStatus(ref string) *CommandStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.commands[ref]
	if c == nil {
		return nil
	}
	s := c.status()
	return &s
}

// LostByProgram is the key in NodeStats.Lost of frames that a program dropped, which
// Cilium counts, too.
const LostByProgram = "dropped by the program"
