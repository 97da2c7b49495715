package cluster

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// description is what the user has said, from all documents together: objects with
// zero fields where nothing was given, and where each of them stands.
type description struct {
	state
	labFrom       origin
	underlayGiven bool
	claimed       map[string]place // by kind and name
	objects       map[string]place // by object, "Pod default/web"
	fields        map[fieldKey]place
	nodeIndex     map[string]int
	podIndex      map[string]int        // by namespace/name
	serviceIndex  map[string]int        // by namespace/name
	hostIPs       map[string]netip.Addr // of the pods' nodes, by namespace/name
	slices        []givenSlice
}

// fieldKey names a field of an object in the words of a Lab document.
type fieldKey struct{ object, field string }

// place is where an object or a field was described; path leads to it.
type place struct {
	origin
	path string
}

func newDescription() *description {
	return &description{
		state:     state{settings: defaultSettings()},
		claimed:   make(map[string]place),
		objects:   make(map[string]place),
		fields:    make(map[fieldKey]place),
		nodeIndex: make(map[string]int), podIndex: make(map[string]int), serviceIndex: make(map[string]int),
		hostIPs: make(map[string]netip.Addr),
	}
}

// item is the place of element i of a list in a Lab document.
func (o origin) item(line int, path string, i int) place {
	if line > 0 {
		o.line = line
	}
	return place{origin: o, path: path + "[" + strconv.Itoa(i) + "]"}
}

// note remembers that a field was given somewhere else than in the object's first
// document.
func (d *description) note(object, field string, o origin, path string) {
	d.fields[fieldKey{object, field}] = place{origin: o, path: path}
}

// problem is a complaint about a field of an object, at the place where it was given.
func (d *description) problem(object, field, format string, args ...any) Problem {
	text := fmt.Sprintf(format, args...)
	if p, ok := d.fields[fieldKey{object, field}]; ok {
		return p.problem(p.path, text)
	}
	if p, ok := d.objects[object]; ok {
		return p.problem(strings.Trim(p.path+"."+field, "."), text)
	}
	return Problem{Object: object, Field: field, Text: text}
}

// claim registers an object. It says no, with a problem, to a bad name and to a
// second object of the same name.
func (d *description) claim(kind, namespace, name string, at place, namePath string, ps *problems) bool {
	if err := checkName(name); err != nil {
		ps.add(at.problem(join(at.path, namePath), err.Error()))
		return false
	}
	if namespace != "" {
		if err := checkName(namespace); err != nil {
			ps.add(at.problem(join(at.path, namePath+"space"), err.Error()))
			return false
		}
		name = namespace + "/" + name
	}
	object := kind + " " + name
	if first, ok := d.claimed[object]; ok {
		ps.add(at.problem(join(at.path, namePath), fmt.Sprintf("a second %s %s; the first is in document %d of %s, line %d",
			kind, name, first.doc, first.file, first.line)))
		return false
	}
	d.claimed[object], d.objects[object] = at, at
	return true
}

// namespaceOr is the namespace of an object that may leave it out.
func namespaceOr(namespace string) string {
	if namespace == "" {
		return "default"
	}
	return namespace
}
