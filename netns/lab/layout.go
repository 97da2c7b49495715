package lab

import (
	"crypto/sha256"
	"encoding/hex"
	stdmaps "maps"
	"path"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/cluster"
)

// Kind is what a namespace of a lab stands for.
type Kind string

// Kinds of namespaces.
const (
	KindWire     Kind = "wire"     // the network between the nodes
	KindNode     Kind = "node"     // a machine of the cluster
	KindPod      Kind = "pod"      // a pod that does not live in its node's network
	KindHealth   Kind = "health"   // a node's health endpoint
	KindExternal Kind = "external" // a host outside the cluster
)

// Space is one network namespace of a lab.
type Space struct {
	Kind      Kind   `json:"kind"`
	Namespace string `json:"namespace,omitempty"` // of a pod
	Name      string `json:"name"`                // of the node for KindHealth
	Pin       string `json:"pin"`                 // path, relative to the lab's directory
	Link      string `json:"link,omitempty"`      // name in linkDir
}

// wireName is the name of the one namespace of KindWire.
const wireName = "underlay"

// newSpace names a namespace and the place of its pin.
func newSpace(kind Kind, namespace, name string) Space {
	file := string(kind) + "-" + name
	if namespace != "" {
		// No name contains an underscore.
		file = string(kind) + "-" + namespace + "_" + name
	}
	return Space{Kind: kind, Namespace: namespace, Name: name, Pin: pinDir + "/" + short(file)}
}

// short cuts what is too long for a file name and keeps it unique.
func short(file string) string {
	const most = 200
	if len(file) <= most {
		return file
	}
	sum := sha256.Sum256([]byte(file))
	return file[:most] + "-" + hex.EncodeToString(sum[:6])
}

// layout lists the namespaces that a cluster needs, in the order in which they are
// made.
func layout(c *cluster.Cluster) []Space {
	spaces := []Space{newSpace(KindWire, "", wireName)}
	for _, e := range c.Settings().External {
		spaces = append(spaces, newSpace(KindExternal, "", e.Name))
	}
	for _, n := range c.Nodes() {
		spaces = append(spaces, newSpace(KindNode, "", n.Name))
		for _, e := range c.Endpoints(n.Name) {
			spaces = append(spaces, endpointSpace(n.Name, &e))
		}
	}
	return spaces
}

// endpointSpace is the namespace of an endpoint.
func endpointSpace(node string, e *cluster.NodeEndpoint) Space {
	if e.Pod == nil {
		return newSpace(KindHealth, "", node)
	}
	return newSpace(KindPod, e.Pod.Namespace, e.Pod.Name)
}

// file is the name of the space's files.
func (s *Space) file() string { return path.Base(s.Pin) }

// Ref is how a user names the space: "node/worker", "default/pod1-1".
func (s *Space) Ref() string {
	if s.Kind == KindPod {
		return s.Namespace + "/" + s.Name
	}
	return string(s.Kind) + "/" + s.Name
}

// find resolves a reference: "node/NAME", "health/NODE", "external/NAME",
// "wire/underlay", "NAMESPACE/POD", or "POD" if that is in namespace default or in
// one namespace only. It returns nil if there is no such space or more than one.
func (s *State) find(ref string) *Space {
	type found struct {
		ref string
		at  *Space
	}
	var pods []found
	for i := range s.Spaces {
		sp := &s.Spaces[i]
		switch {
		case sp.Kind != KindPod && ref == sp.Ref():
			return sp
		case sp.Kind == KindPod && (ref == sp.Ref() || ref == sp.Name):
			pods = append(pods, found{sp.Ref(), sp})
		}
	}
	for pod, node := range s.Hosts {
		if ref == pod || strings.HasSuffix(pod, "/"+ref) {
			pods = append(pods, found{pod, s.find(string(KindNode) + "/" + node)})
		}
	}
	for _, f := range pods {
		if ref == f.ref || strings.HasPrefix(f.ref, "default/") || len(pods) == 1 {
			return f.at
		}
	}
	return nil
}

// refs lists what find understands, in the order of the layout.
func (s *State) refs() []string {
	var names []string
	for i := range s.Spaces {
		names = append(names, s.Spaces[i].Ref())
	}
	return append(names, slices.Sorted(stdmaps.Keys(s.Hosts))...)
}

// some lists the first names for a message.
func some(names []string) string {
	const most = 12
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return strings.Join(names, ", ")
}
