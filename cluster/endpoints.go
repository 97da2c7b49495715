package cluster

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hooklab/hooklab/maps"
)

// WithEndpoints is the same cluster with a node's endpoints as its cilium_lxc has
// them, by address: id, ifindex and both MACs. Those that it does not have get what is
// free. The error, if what it has fits no cluster, is ErrInput.
func (c *Cluster) WithEndpoints(node string, lxc map[[4]byte]maps.EndpointInfo) (*Cluster, error) {
	n, err := c.Node(node)
	if err != nil {
		return nil, err
	}
	var docs []string
	for _, o := range c.Manifests() {
		meta, _ := o["metadata"].(Object)
		notes, _ := meta["annotations"].(map[string]string)
		switch {
		case notes == nil:
		case o["kind"] == "CiliumNode" && meta["name"] == node && n.Health.IP.IsValid():
			annotate(notes, "health-", "health-id", lxc, n.Health.IP.As4())
		case o["kind"] == "Pod":
			for _, e := range c.Endpoints(node) {
				if e.Pod != nil && e.Pod.Name == meta["name"] && e.Pod.Namespace == meta["namespace"] {
					annotate(notes, "", "endpoint-id", lxc, e.IP.As4())
				}
			}
		}
		doc, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("endpoints of %s: %w", node, err)
		}
		docs = append(docs, string(doc))
	}
	return Load(Source{Name: "endpoints of " + node, Data: []byte(strings.Join(docs, "\n---\n"))})
}

// annotate writes an endpoint's numbers, or takes away those that its owner had.
func annotate(notes map[string]string, prefix, id string, lxc map[[4]byte]maps.EndpointInfo, ip [4]byte) {
	e, ok := lxc[ip]
	set := func(key, value string) {
		if delete(notes, annotationPrefix+key); ok && value != "" {
			notes[annotationPrefix+key] = value
		}
	}
	set(id, number(e.LXCID))
	set(prefix+"ifindex", number(e.Ifindex))
	set(prefix+"mac", macText(e.MAC))
	set(prefix+"node-mac", macText(e.NodeMAC))
}
