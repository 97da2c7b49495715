package object

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/dataplane"
)

// Bundle is the objects of a node. It is not changed once made and may be shared by nodes.
type Bundle struct {
	objects [numKinds]*Object
	said    defines  // by headers and user
	fixed   []string // names of constants that are said
}

// NewBundle parses the objects of a node, for messages named as Cilium does. All their constants are the loader's to set.
func NewBundle(lxc, host, overlay []byte) (*Bundle, error) {
	b := &Bundle{}
	for k, file := range [numKinds][]byte{lxc, host, overlay} {
		o, err := Parse(Kind(k), Kind(k).String()+".o", file)
		if err != nil {
			return nil, err
		}
		b.objects[k] = o
	}
	return b, nil
}

// Read reads the objects of a directory, bpf_lxc.o, bpf_host.o and bpf_overlay.o, and what they were compiled with: from
// node_config.h, netdev_config.h and ep_config.h beside them, and from user, which goes before. Constants that are compiled
// in but said nowhere are refused by name.
func Read(dir string, user map[string]string) (*Bundle, error) {
	b := &Bundle{}
	for k := range numKinds {
		path := filepath.Join(dir, k.String()+".o")
		file, err := readFile(path)
		if err != nil {
			return nil, err
		}
		if b.objects[k], err = Parse(k, path, file); err != nil {
			return nil, err
		}
	}
	var err error
	if b.said, err = readHeaders(dir); err != nil {
		return nil, err
	}
	if err := b.said.add(user); err != nil {
		return nil, err
	}
	if b.fixed, err = b.said.config(&dataplane.Config{}); err != nil {
		return nil, err
	}
	return b, b.complete(dir)
}

func readFile(path string) ([]byte, error) {
	s, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrObject, err)
	}
	if !s.Mode().IsRegular() || s.Size() > maxFile {
		return nil, refuse(path, "want a regular file of at most %d bytes", maxFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrObject, err)
	}
	return b, nil
}

// complete refuses a bundle of which a constant is not known.
func (b *Bundle) complete(dir string) error {
	lxc := b.objects[LXC]
	for _, name := range []string{"LXC_ID", "LXC_IPV4", "SECLABEL", "NODE_MAC"} {
		if !lxc.has(name) && !lxc.has(name+"_1") {
			return lxc.refuse("no symbol %s: the object was compiled for one endpoint and cannot serve others", name)
		}
	}
	var missing []string
	for _, name := range sortedKeys(compiledIn()) {
		needed := slices.ContainsFunc(b.objects[:], func(o *Object) bool {
			return !o.leaves(name) && (name != nameOverlayMAC || o.Kind == Overlay)
		})
		if needed && !slices.Contains(b.fixed, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return refuse(dir, "compiled-in constants that no header there says (%s): %s; --define NAME=VALUE supplies one",
		strings.Join(headers(), ", "), strings.Join(missing, ", "))
}

// has tells whether a constant is the loader's to set.
func (o *Object) has(name string) bool {
	return slices.ContainsFunc(o.vars, func(v variable) bool { return v.name == name }) ||
		slices.ContainsFunc(o.inline, func(c inlineConstant) bool { return c.name == name })
}

// leaves tells whether the object leaves its constants to the loader: one that has any in read-only data does, and what is
// not among them it does not use.
func (o *Object) leaves(name string) bool {
	if name == nameOverlayMAC {
		name = "NODE_MAC"
	}
	return len(o.vars) > 0 || o.has(name)
}

// Config puts what is compiled into the objects over a configuration, so that all engines run with the objects' constants.
func (b *Bundle) Config(c dataplane.Config) dataplane.Config {
	_, _ = b.said.config(&c) // Read has tried it
	return c
}

// Object is the bundle's object of a kind.
func (b *Bundle) Object(k Kind) *Object { return b.objects[k] }

// Instance is an instance of the object that has the hook's program. A configuration that contradicts what is compiled in
// is refused by the constant's name.
func (b *Bundle) Instance(h dataplane.Hook, c dataplane.Config) (*Instance, error) {
	o := b.objects[KindOf(h.Prog)]
	known := constants()
	said := b.Config(c)
	for _, name := range b.fixed {
		value := known[strings.Replace(name, nameOverlayMAC, "NODE_MAC", 1)]
		if o.leaves(name) || name == nameOverlayMAC && o.Kind != Overlay {
			continue
		}
		if is, asked := value(o.Kind, &said), value(o.Kind, &c); !bytes.Equal(is, asked) {
			return nil, o.refuse("%s: compiled in as %x, the configuration says %x", name, is, asked)
		}
	}
	return o.Instance(h, c)
}
