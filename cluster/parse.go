package cluster

import (
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// knownKinds and unsupportedKinds are all that a cluster file may hold.
const (
	knownKinds       = "Lab, Node, Pod, Service, EndpointSlice, CiliumNode, CiliumEndpoint, Namespace, List"
	unsupportedKinds = "NetworkPolicy, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy"
)

// maxListDepth bounds lists within lists.
const maxListDepth = 4

// parser turns sources into a description.
type parser struct {
	desc     *description
	budget   int
	problems problems
}

// parse reads all sources. The error is an InputError with everything wrong in
// single documents; what documents say of each other is checked by complete.
func parse(sources []Source) (*description, error) {
	p := &parser{desc: newDescription(), budget: maxNodes}
	for _, src := range sources {
		docs, err := src.documents()
		if err != nil {
			return nil, err
		}
		if len(docs) == 0 {
			p.problems.add(Problem{File: src.Name, Text: "empty: a cluster file has at least one document; known kinds: " + knownKinds})
		}
		for _, doc := range docs {
			p.object(doc.origin, doc.root, 0)
		}
	}
	p.desc.join(&p.problems)
	return p.desc, p.problems.err()
}

// header is what every object has.
type header struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

// object takes in one object, or a list of them.
func (p *parser) object(o origin, n *yaml.Node, depth int) {
	var h header
	if len(p.problems) >= maxProblems {
		return
	}
	if n.Kind != yaml.MappingNode {
		p.problems.addf(o, "", "%s given where an object is wanted: a mapping with kind, metadata and so on", describe(n))
		return
	}
	headerProblems := problems{}
	(&decoder{origin: o, budget: &p.budget, problems: &headerProblems}).decode(n, "", reflect.ValueOf(&h).Elem(), "")
	o.object = strings.TrimSpace(h.Kind + " " + h.Metadata.Name)
	if h.Metadata.Namespace != "" {
		o.object = h.Kind + " " + h.Metadata.Namespace + "/" + h.Metadata.Name
	}
	if len(o.object) > 128 {
		o.object = quote(o.object)
	}
	switch {
	case h.Kind == "" && len(headerProblems) > 0:
		p.problems.add(headerProblems[0])
	case h.Kind == "":
		p.problems.addf(o, "kind", "missing; known kinds: %s", knownKinds)
	case h.Kind == "List":
		p.list(o, n, depth)
	case slices.Contains(strings.Split(unsupportedKinds, ", "), h.Kind):
		p.problems.addf(o, "kind", "not supported yet: %s; known kinds: %s", h.Kind, knownKinds)
	case !p.known(h.Kind, o, n):
		o.object = ""
		p.problems.addf(o, "kind", "%s: unknown kind; known kinds: %s", quote(h.Kind), knownKinds)
	}
}

// describe is a node in words, for messages.
func describe(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return quote(n.Value)
	}
	return kindWord(n.Kind)
}

// list takes in the items of a List, as `kubectl get -o yaml` writes them.
func (p *parser) list(o origin, n *yaml.Node, depth int) {
	if depth == maxListDepth {
		p.problems.addf(o, "items", "lists within lists, more than %d deep", maxListDepth)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "items" {
			continue
		}
		d := decoder{origin: o, budget: &p.budget, problems: &p.problems}
		items := d.resolve(n.Content[i+1], "items")
		if items == nil || !d.want(items, "items", yaml.SequenceNode) {
			return
		}
		for _, item := range items.Content {
			if item = d.resolve(item, "items"); item == nil {
				return
			}
			o.line = item.Line
			p.object(o, item, depth+1)
		}
		return
	}
}

// known takes in an object of a kind that we know, and says whether we do.
func (p *parser) known(kind string, o origin, n *yaml.Node) bool {
	d := p.desc
	switch kind {
	case "Lab":
		parseAs(p, o, n, true, d.lab)
	case "Namespace":
		parseAs(p, o, n, false, d.kubeNamespace)
	case "Node":
		parseAs(p, o, n, false, d.kubeNode)
	case "CiliumNode":
		parseAs(p, o, n, false, d.ciliumNode)
	case "Pod":
		parseAs(p, o, n, false, d.kubePod)
	case "CiliumEndpoint":
		parseAs(p, o, n, false, d.ciliumEndpoint)
	case "Service":
		parseAs(p, o, n, false, d.kubeService)
	case "EndpointSlice":
		parseAs(p, o, n, false, d.endpointSlice)
	default:
		return false
	}
	return true
}

// parseAs decodes an object and hands it to take, unless its own fields are bad.
func parseAs[T any](p *parser, o origin, n *yaml.Node, strict bool, take func(origin, *T, *problems)) {
	var doc T
	before := len(p.problems)
	(&decoder{origin: o, strict: strict, budget: &p.budget, problems: &p.problems}).decode(n, "", reflect.ValueOf(&doc).Elem(), "")
	if len(p.problems) == before {
		take(o, &doc, &p.problems)
	}
}

// annotationPrefix begins the annotations that are ours.
const annotationPrefix = "hooklab.io/"

// annotations decodes those annotations of an object that are ours into to, a
// pointer to a struct. An unknown one is a problem.
func annotations(o origin, m *meta, to any, ps *problems) {
	var keys []string
	for key := range m.Annotations {
		if strings.HasPrefix(key, annotationPrefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, key := range keys {
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key},
			&yaml.Node{Kind: yaml.ScalarNode, Value: m.Annotations[key]})
	}
	budget := maxNodes
	(&decoder{origin: o, strict: true, budget: &budget, problems: ps}).decode(n, "metadata.annotations", reflect.ValueOf(to).Elem(), "")
}
