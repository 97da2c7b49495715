package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/cluster"
)

// etcDir holds what commands in a lab see as /etc/hosts, one file for each namespace
// of Kubernetes: a name without a namespace means another pod or service in each.
const (
	etcDir      = "etc"
	hostsPrefix = "hosts-"
)

// hostsFile is the file for commands in a space, relative to the lab's directory.
func (s *Space) hostsFile() string {
	namespace := s.Namespace
	if namespace == "" {
		namespace = "default"
	}
	return filepath.Join(etcDir, hostsPrefix+short(namespace))
}

// files are the files that commands in a space see in other places.
func (h home) files(at *Space) map[string]string {
	return map[string]string{"/etc/hosts": h.path(at.hostsFile())}
}

// writeHosts writes the hosts files of all namespaces. A file that exists keeps its
// inode, which running commands have mounted.
func (h home) writeHosts(c *cluster.Cluster) error {
	namespaces := []string{"default"}
	for _, p := range c.Pods() {
		namespaces = append(namespaces, p.Namespace)
	}
	slices.Sort(namespaces)
	for _, ns := range slices.Compact(namespaces) {
		at := newSpace(KindPod, ns, "")
		if err := rewrite(h.path(at.hostsFile()), hosts(c, ns)); err != nil {
			return fmt.Errorf("hosts of namespace %s: %w", ns, err)
		}
	}
	return nil
}

// rewrite replaces a file's contents in place. A reader meanwhile sees a mixture of
// both, but never nothing.
func rewrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Truncate(int64(len(data))), f.Close())
}

// hosts is an /etc/hosts for a namespace: nodes, pods, services and hosts outside by
// name, those of other namespaces as NAME.NAMESPACE only, as a cluster's DNS has them.
func hosts(c *cluster.Cluster, namespace string) []byte {
	var b bytes.Buffer
	line := func(ip netip.Addr, names ...string) { fmt.Fprintf(&b, "%s\t%s\n", ip, strings.Join(names, " ")) }
	b.WriteString("# written by hooklab; changes are lost\n127.0.0.1\tlocalhost\n")
	taken := make(map[string]bool)
	for _, s := range c.Services() {
		if !s.ClusterIP.IsValid() {
			continue
		}
		names := []string{s.Name + "." + s.Namespace, s.Name + "." + s.Namespace + ".svc", s.Name + "." + s.Namespace + ".svc.cluster.local"}
		if s.Namespace == namespace {
			names = append([]string{s.Name}, names...)
			taken[s.Name] = true
		}
		line(s.ClusterIP, names...)
	}
	// The shortest names belong to services, as in a cluster's DNS.
	short := func(name string) []string {
		if taken[name] {
			return nil
		}
		taken[name] = true
		return []string{name}
	}
	for _, p := range c.Pods() {
		if p.HostNetwork {
			continue
		}
		var names []string
		if p.Namespace == namespace {
			names = short(p.Name)
		}
		line(p.IP, append(names, p.Name+"."+p.Namespace+".pod")...)
	}
	for _, n := range c.Nodes() {
		if names := short(n.Name); names != nil {
			line(n.IP, names...)
		}
	}
	for _, e := range c.Settings().External {
		if names := short(e.Name); names != nil {
			line(e.IP, names...)
		}
	}
	return b.Bytes()
}
