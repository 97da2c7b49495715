package main

import (
	"encoding/json"
	"fmt"
	stdmaps "maps"
	"strings"

	"github.com/hooklab/hooklab/cluster"
)

// profileNames are the profiles that a cluster may have.
func profileNames() []string {
	return []string{string(cluster.Cilium112), string(cluster.Article), string(cluster.HostRouting), string(cluster.EndpointRoutes)}
}

// withProfile is the same cluster as another Cilium would run it.
func withProfile(c *cluster.Cluster, profile string) (*cluster.Cluster, error) {
	src, err := profileSource(c, profile)
	if err != nil {
		return nil, err
	}
	return cluster.Load(src)
}

// profileSource describes the same cluster with another profile.
func profileSource(c *cluster.Cluster, profile string) (cluster.Source, error) {
	var docs []string
	for _, o := range c.Manifests() {
		if spec, ok := o["spec"].(cluster.Object); ok && o["kind"] == "Lab" {
			o, spec = stdmaps.Clone(o), stdmaps.Clone(spec)
			spec["profile"] = profile
			o["spec"] = spec
		}
		doc, err := json.Marshal(o)
		if err != nil {
			return cluster.Source{}, fmt.Errorf("profile %s: %w", profile, err)
		}
		docs = append(docs, string(doc))
	}
	return cluster.Source{Name: "profile " + profile, Data: []byte(strings.Join(docs, "\n---\n"))}, nil
}
