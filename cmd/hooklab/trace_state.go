package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns/lab"
)

// asAgent stands for a path where a node's maps are as its agent writes them.
const asAgent = "agent"

// stateFile is a file with maps of one node.
type stateFile struct {
	node, path string
	list       bool // in bpftool's form: one map, that of the file's name
	maps       []string
}

// stateFiles are what --state has read.
type stateFiles struct {
	state   journey.State
	files   []stateFile
	ignored []string // maps of Cilium's that this datapath does not have
}

// readState reads the arguments of --state: [NODE=]PATH, where PATH is a file, a
// directory of one node's files, or one with a directory for each node.
func readState(c *cluster.Cluster, args []string) (*stateFiles, error) {
	s := &stateFiles{state: journey.State{}}
	for _, arg := range args {
		node, path, named := strings.Cut(arg, "=")
		if !named {
			node, path = "", arg
		}
		if err := s.add(c, node, path); err != nil {
			return nil, exitWith(exitUsage, fmt.Errorf("--state %s: %w", arg, err))
		}
	}
	return s, nil
}

func (s *stateFiles) add(c *cluster.Cluster, node, path string) error {
	if node != "" {
		if _, err := c.Node(node); err != nil {
			return err
		}
		if path == asAgent {
			s.state[node] = nil
			return nil
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return s.readNode(c, node, path, []string{path})
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	var files, dirs []string
	for _, e := range entries {
		switch name := filepath.Join(path, e.Name()); {
		case e.IsDir() && node == "":
			dirs = append(dirs, e.Name())
		case filepath.Ext(name) == ".json":
			files = append(files, name)
		}
	}
	for _, dir := range dirs {
		if err := s.add(c, dir, filepath.Join(path, dir)); err != nil {
			return err
		}
	}
	switch {
	case len(files) > 0:
		return s.readNode(c, node, path, files)
	case len(dirs) == 0:
		return errors.New("it has no files MAP.json and no directories of nodes with such")
	}
	return nil
}

// readNode reads the files of one node.
func (s *stateFiles) readNode(c *cluster.Cluster, node, path string, files []string) error {
	if node == "" {
		nodes := c.Nodes()
		if len(nodes) != 1 {
			var names []string
			for _, n := range nodes {
				names = append(names, n.Name)
			}
			return fmt.Errorf("of which node is it? say --state NODE=%s; nodes: %s", path, strings.Join(names, ", "))
		}
		node = nodes[0].Name
	}
	if s.state[node] == nil {
		s.state[node] = journey.NodeState{}
	}
	for _, file := range files {
		if err := s.readFile(node, file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func (s *stateFiles) readFile(node, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if slices.Contains(otherMaps(), name) {
		s.ignored = append(s.ignored, name)
		return nil
	}
	dumps, err := maps.ReadDumps(data, name)
	if err != nil {
		if _, known := maps.SpecOf(name); !known && errors.Is(err, maps.ErrInvalid) {
			if near := nearest(name, maps.NewSet(maps.Sizes{}).Names()); near != "" && strings.Contains(err.Error(), "unknown map") {
				return fmt.Errorf("%w; did you mean %s?", err, near)
			}
		}
		return err
	}
	f := stateFile{node: node, path: path, list: bytes.HasPrefix(bytes.TrimSpace(data), []byte("["))}
	for name, entries := range dumps {
		if _, twice := s.state[node][name]; twice {
			return fmt.Errorf("%s of node %s is given twice", name, node)
		}
		s.state[node][name] = entries
		f.maps = append(f.maps, name)
	}
	s.files = append(s.files, f)
	return nil
}

// otherMaps are maps that a node of Cilium 1.12 has and this datapath does not use.
func otherMaps() []string {
	return []string{
		"cilium_auth_map", "cilium_call_policy6", "cilium_capture4_rules", "cilium_capture_cache", "cilium_cgroup_v2", "cilium_ct6_global",
		"cilium_ct_any6_global", "cilium_egress_gw_policy_v4", "cilium_encrypt_state", "cilium_events", "cilium_ipmasq_v4",
		"cilium_ipv6_frag_datagrams", "cilium_ktime_cache", "cilium_l2_responder_v4", "cilium_lb4_affinity", "cilium_lb4_maglev",
		"cilium_lb4_reverse_sk", "cilium_lb4_source_range", "cilium_lb4_backends", "cilium_lb6_affinity", "cilium_lb6_backends_v2",
		"cilium_lb6_reverse_nat", "cilium_lb6_reverse_sk", "cilium_lb6_services_v2", "cilium_lb6_source_range", "cilium_lb_affinity_match",
		"cilium_node_map", "cilium_nodeport_neigh4", "cilium_nodeport_neigh6", "cilium_per_cluster_ct_tcp4", "cilium_runtime_config",
		"cilium_signals", "cilium_snat_v4_external", "cilium_snat_v6_external", "cilium_srv6_policy_v4", "cilium_srv6_sid",
		"cilium_srv6_vrf_v4", "cilium_throttle", "cilium_vtep_map", "cilium_world_cidrs4",
	}
}

// write writes the state of nodes back into the files that it was read from.
func (s *stateFiles) write(now journey.State) error {
	for _, f := range s.files {
		st, met := now[f.node]
		if !met {
			continue
		}
		if f.list {
			spec, _ := maps.SpecOf(f.maps[0]) // known: it was read
			if err := writeDump(f.path, spec, st[f.maps[0]]); err != nil {
				return err
			}
			continue
		}
		dumps := make(map[string][]maps.Entry)
		for _, name := range f.maps {
			dumps[name] = st[name]
		}
		var b bytes.Buffer
		if err := maps.WriteDumps(&b, dumps); err != nil {
			return err
		}
		if err := replaceFile(f.path, b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// labState reads all maps of a running lab. Traffic goes on meanwhile.
func labState(ctx context.Context, running *lab.Client, c *cluster.Cluster) (journey.State, error) {
	st := journey.State{}
	for _, n := range c.Nodes() {
		m, err := running.Maps(ctx, n.Name)
		if err != nil {
			return nil, err
		}
		dumps, err := dumpsOf(m)
		if err != nil {
			return nil, err
		}
		st[n.Name] = dumps
	}
	return st, nil
}
