package cluster

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder fills structs from YAML nodes. It exists beside the YAML library's own
// decoder because that one cannot say which field of which object is wrong.
//
// Fields are named by their json tag. A tag allow:"1..65535" or allow:"a|b"
// restricts what a scalar may be. Types that are not plain implement
// encoding.TextUnmarshaler, whose error completes the sentence `"x": …`.
// A type that also accepts a scalar in place of a mapping implements shorthand.
// A struct's field Line int, without a tag, receives the mapping's line.
type decoder struct {
	origin
	strict   bool // unknown fields are problems
	budget   *int // nodes left to look at, shared by one load
	problems *problems
}

// shorthand is a struct that may be written as one scalar.
type shorthand interface {
	setScalar(text string) error
}

func (d *decoder) addf(n *yaml.Node, path, format string, args ...any) {
	p := d.problem(path, fmt.Sprintf(format, args...))
	if n != nil && n.Line > 0 {
		p.Line = n.Line
	}
	d.problems.add(p)
}

// resolve follows an alias and counts the node. It returns nil at the budget's end.
func (d *decoder) resolve(n *yaml.Node, path string) *yaml.Node {
	if *d.budget <= 0 {
		if *d.budget == 0 {
			d.addf(n, path, "too much: more than %d values, aliases expanded", maxNodes)
			*d.budget--
		}
		return nil
	}
	*d.budget--
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// decode fills v, which is settable, from n. Problems are collected, and what is
// wrong stays at its zero value.
func (d *decoder) decode(n *yaml.Node, path string, v reflect.Value, allow string) {
	n = d.resolve(n, path)
	if n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if t, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		if d.want(n, path, yaml.ScalarNode) {
			if err := t.UnmarshalText([]byte(n.Value)); err != nil {
				d.addf(n, path, "%s: %v", quote(n.Value), err)
			}
		}
		return
	}
	if s, ok := reflect.TypeAssert[shorthand](v.Addr()); ok && n.Kind == yaml.ScalarNode {
		if err := s.setScalar(n.Value); err != nil {
			d.addf(n, path, "%s: %v", quote(n.Value), err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.decode(n, path, p.Elem(), allow)
		v.Set(p)
	case reflect.Struct:
		d.mapping(n, path, v)
	case reflect.Map:
		d.table(n, path, v)
	case reflect.Slice:
		if !d.want(n, path, yaml.SequenceNode) {
			return
		}
		s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			d.decode(item, path+"["+strconv.Itoa(i)+"]", s.Index(i), allow)
		}
		v.Set(s)
	default:
		d.scalar(n, path, v, allow)
	}
}

// want checks a node's kind.
func (d *decoder) want(n *yaml.Node, path string, kind yaml.Kind) bool {
	if n.Kind == kind {
		return true
	}
	got := kindWord(n.Kind)
	if n.Kind == yaml.ScalarNode {
		got = quote(n.Value)
	}
	d.addf(n, path, "%s given where %s is wanted", got, kindWord(kind))
	return false
}

func kindWord(k yaml.Kind) string {
	switch k {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

// pairs calls fn for the entries of a mapping, in order, without duplicates.
func (d *decoder) pairs(n *yaml.Node, path string, fn func(key string, k, val *yaml.Node)) {
	if !d.want(n, path, yaml.MappingNode) {
		return
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := d.resolve(n.Content[i], path)
		if k == nil {
			return
		}
		if k.Kind != yaml.ScalarNode {
			d.addf(k, path, "%s as a field name", kindWord(k.Kind))
			continue
		}
		if seen[k.Value] {
			d.addf(k, join(path, k.Value), "given twice")
			continue
		}
		seen[k.Value] = true
		fn(k.Value, k, n.Content[i+1])
	}
}

func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value) {
	fields := fieldsOf(v.Type())
	if line := v.FieldByName("Line"); line.IsValid() && line.Kind() == reflect.Int {
		line.SetInt(int64(n.Line))
	}
	d.pairs(n, path, func(key string, k, val *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key })
		switch {
		case i >= 0:
			d.decode(val, join(path, key), v.Field(fields[i].index), fields[i].allow)
		case d.strict:
			d.addf(k, join(path, key), "unknown field; allowed: %s", fieldNames(fields))
		}
	})
}

func (d *decoder) table(n *yaml.Node, path string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	d.pairs(n, path, func(key string, k, val *yaml.Node) {
		kv, ev := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		d.decode(k, join(path, key), kv, "")
		d.decode(val, join(path, key), ev, "")
		v.SetMapIndex(kv, ev)
	})
}

// scalar fills a string, bool or integer.
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value, allow string) {
	if !d.want(n, path, yaml.ScalarNode) {
		return
	}
	var ok bool
	want := allow
	switch v.Kind() {
	case reflect.Bool:
		ok, want = n.Value == "true" || n.Value == "false", "true, false"
		v.SetBool(n.Value == "true")
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(n.Value, 10, v.Type().Bits())
		if ok = err == nil && within(u, allow); ok {
			v.SetUint(u)
		}
		if want == "" {
			want = "0.." + strconv.FormatUint(1<<v.Type().Bits()-1, 10)
		}
	default:
		if ok = allow == "" || slices.Contains(strings.Split(allow, "|"), n.Value); ok {
			v.SetString(n.Value)
		}
		want = strings.ReplaceAll(allow, "|", ", ")
	}
	if !ok {
		d.addf(n, path, "%s: allowed: %s", quote(n.Value), want)
	}
}

// within checks a number against "low..high".
func within(u uint64, allow string) bool {
	low, high, ok := strings.Cut(allow, "..")
	if !ok {
		return true
	}
	l, errLow := strconv.ParseUint(low, 10, 64)
	h, errHigh := strconv.ParseUint(high, 10, 64)
	return errLow == nil && errHigh == nil && l <= u && u <= h
}

type field struct {
	name, allow string
	index       int
}

func fieldsOf(t reflect.Type) []field {
	fields := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("json"); name != "" {
			fields = append(fields, field{name: name, allow: f.Tag.Get("allow"), index: i})
		}
	}
	return fields
}

func fieldNames(fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

// join appends a field name to a path. Names that no field has are quoted.
func join(path, field string) string {
	plain := func(r rune) bool {
		return r == '_' || r == '-' || r == '.' || r == '/' || r == ':' ||
			'0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if len(field) > 48 || strings.TrimFunc(field, plain) != "" {
		field = quote(field)
	}
	if path == "" {
		return field
	}
	return path + "." + field
}
