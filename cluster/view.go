package cluster

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	stdmaps "maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/maps"
)

// viewKinds are the kinds that View knows.
const viewKinds = "nodes, pods, services, devices, ciliumnodes"

// View is a listing of one kind of object, as a table in kubectl's manner and as
// manifests.
type View struct {
	Columns []string
	Rows    [][]string
	Objects []Object
	single  bool // asked for by name, one only
}

// View lists the objects of a kind (nodes, pods, services, devices, ciliumnodes, or
// their singular), or those that are named. Errors are ErrInput.
func (c *Cluster) View(kind string, names ...string) (View, error) {
	s := c.now()
	var v View
	var err error
	switch kind {
	case "node", "nodes", "no":
		v, err = s.viewNodes(names)
	case "ciliumnode", "ciliumnodes", "cn":
		v, err = s.viewCiliumNodes(names)
	case "pod", "pods", "po":
		v, err = s.viewPods(names)
	case "service", "services", "svc":
		v, err = s.viewServices(names)
	case "device", "devices":
		v, err = c.viewDevices(names)
	default:
		return v, inputErrorf("", "", "%s: unknown kind; known kinds: %s", quote(kind), viewKinds)
	}
	v.single = len(names) == 1 && len(v.Objects) == 1
	return v, err
}

// chosen resolves names among refs; no names choose all.
func chosen(what string, refs, names []string) ([]int, error) {
	var list []int
	if len(names) == 0 {
		for i := range refs {
			list = append(list, i)
		}
	}
	for _, name := range names {
		i, err := find(what, refs, name)
		if err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, nil
}

func (s *state) viewNodes(names []string) (View, error) {
	v := View{Columns: []string{"NAME", "ROLES", "INTERNAL-IP", "POD-CIDR", "ROUTER-IP", "HEALTH-IP", "NODE-ID", "HOST-EP", "MAC", "ENGINE"}}
	list, err := chosen("node", s.nodeNames(), names)
	for _, i := range list {
		n := &s.nodes[i]
		v.Rows = append(v.Rows, []string{
			n.Name, role(n), n.IP.String(), n.PodCIDR.String(), n.Router.String(), addrText(n.Health),
			strconv.Itoa(int(n.ID)), strconv.Itoa(int(n.HostID)), n.MAC.String(), cmp.Or(n.Engine, "<lab>"),
		})
		v.Objects = append(v.Objects, n.manifest())
	}
	return v, err
}

// role is the node's role as kubectl prints it.
func role(n *Node) string {
	if n.ControlPlane {
		return "control-plane"
	}
	return "<none>"
}

func addrText(e Endpoint) string {
	if !e.IP.IsValid() {
		return "<none>"
	}
	return e.IP.String()
}

func (s *state) viewCiliumNodes(names []string) (View, error) {
	v := View{Columns: []string{"NAME", "CILIUMINTERNALIP", "INTERNALIP"}}
	list, err := chosen("node", s.nodeNames(), names)
	for _, i := range list {
		n := &s.nodes[i]
		v.Rows = append(v.Rows, []string{n.Name, n.Router.String(), n.IP.String()})
		v.Objects = append(v.Objects, n.ciliumManifest())
	}
	return v, err
}

func (s *state) viewPods(names []string) (View, error) {
	v := View{Columns: []string{"NAMESPACE", "NAME", "STATUS", "IP", "NODE", "ENDPOINT", "IDENTITY", "IFINDEX", "DEVICE", "MAC", "NODE-MAC"}}
	refs := make([]string, len(s.pods))
	for i := range s.pods {
		refs[i] = s.pods[i].Ref()
	}
	list, err := chosen("pod", refs, names)
	for _, i := range list {
		p := &s.pods[i]
		row := []string{p.Namespace, p.Name, p.Phase.String(), p.IP.String(), p.Node}
		if p.HostNetwork {
			row = append(row, "<none>", code.IdentityName(code.IdentityHost), "<none>", "<none>", "<none>", "<none>")
		} else {
			row = append(row, strconv.Itoa(int(p.ID)), strconv.FormatUint(uint64(p.Identity), 10),
				strconv.FormatUint(uint64(p.Ifindex), 10), p.Device, p.MAC.String(), p.NodeMAC.String())
		}
		v.Rows = append(v.Rows, row)
		v.Objects = append(v.Objects, p.manifest())
	}
	return v, err
}

// viewServices has a row for each port; a backend that is terminating is marked.
func (s *state) viewServices(names []string) (View, error) {
	v := View{Columns: []string{"NAMESPACE", "NAME", "CLUSTER-IP", "PORT", "ID", "BACKENDS"}}
	refs := make([]string, len(s.services))
	for i := range s.services {
		refs[i] = s.services[i].Ref()
	}
	list, err := chosen("service", refs, names)
	for _, i := range list {
		svc := &s.services[i]
		v.Objects = append(v.Objects, svc.manifest())
		if svc.Headless {
			v.Rows = append(v.Rows, []string{svc.Namespace, svc.Name, "None", "<none>", "<none>", "<none>"})
			continue
		}
		for j := range svc.Ports {
			p := &svc.Ports[j]
			backends := []string{}
			for _, b := range p.Backends {
				text := fmt.Sprintf("%d => %s", b.ID, b.Addr)
				if b.Terminating {
					text += " (terminating)"
				}
				backends = append(backends, text)
			}
			v.Rows = append(v.Rows, []string{
				svc.Namespace, svc.Name, svc.ClusterIP.String(), fmt.Sprintf("%d/%s", p.Port, p.Protocol),
				strconv.Itoa(int(p.ID)), cmp.Or(strings.Join(backends, ", "), "<none>"),
			})
		}
	}
	return v, err
}

// viewDevices lists the devices of nodes, or of the nodes that are named.
func (c *Cluster) viewDevices(names []string) (View, error) {
	s := c.now()
	v := View{Columns: []string{"NODE", "IFINDEX", "NAME", "MAC", "MTU", "ENDPOINT", "POD"}}
	list, err := chosen("node", s.nodeNames(), names)
	for _, i := range list {
		for _, d := range s.devices(&s.nodes[i]) {
			v.Rows = append(v.Rows, []string{
				d.Node, strconv.FormatUint(uint64(d.Ifindex), 10), d.Name, d.MAC.String(), strconv.FormatUint(uint64(d.MTU), 10),
				cmp.Or(number(d.Endpoint), "<none>"), cmp.Or(d.Pod, "<none>"),
			})
			o := Object{"node": d.Node, "name": d.Name, "ifindex": d.Ifindex, "mac": d.MAC.String(), "mtu": d.MTU}
			if d.Endpoint != 0 {
				o["endpoint"] = d.Endpoint
			}
			v.Objects = append(v.Objects, o.with("pod", d.Pod))
		}
	}
	return v, err
}

// WriteTable writes the listing as kubectl does: capital headings, columns three
// spaces apart.
func (v View) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range slices.Concat([][]string{v.Columns}, v.Rows) {
		if _, err := fmt.Fprintln(tw, strings.Join(row, "\t")); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// document is the single object that was asked for, or a List of all.
func (v View) document() Object {
	if v.single {
		return v.Objects[0]
	}
	items := []any{}
	for _, o := range v.Objects {
		items = append(items, o)
	}
	return Object{"apiVersion": "v1", "kind": "List", "items": items}
}

// WriteYAML writes the objects as `kubectl get -o yaml` does: one alone if it was
// asked for by name, else a List.
func (v View) WriteYAML(w io.Writer) error {
	b, err := yaml.Marshal(v.document())
	if err == nil {
		_, err = w.Write(b)
	}
	if err != nil {
		return fmt.Errorf("write yaml: %w", err)
	}
	return nil
}

// WriteJSON writes what WriteYAML does as JSON.
func (v View) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "    ")
	if err := enc.Encode(v.document()); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	return nil
}

// MapText is how the maps of this cluster's nodes are written: without node ids in
// profile article, and with the labels of identities.
func (c *Cluster) MapText() maps.TextOptions {
	return maps.TextOptions{NoNodeID: c.now().settings.Profile == Article, Labels: c.IdentityLabels}
}

// IdentityLabels returns the labels of an identity, none if no pod has it.
func (c *Cluster) IdentityLabels(identity uint32) []string {
	if name := code.IdentityName(identity); name != "" {
		return []string{"reserved:" + name}
	}
	s := c.now()
	for i := range s.pods {
		if p := &s.pods[i]; p.Identity == identity && !p.HostNetwork {
			return s.securityLabels(p)
		}
	}
	return nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(stdmaps.Keys(m)) }
