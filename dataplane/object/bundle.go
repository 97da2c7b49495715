package object

import (
	"github.com/hooklab/hooklab/dataplane"
)

// Bundle is the objects of a node. It is not changed once made and may be shared by nodes.
type Bundle struct {
	objects [numKinds]*Object
}

// NewBundle parses the objects of a node, for messages named as Cilium does.
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

// Object is the bundle's object of a kind.
func (b *Bundle) Object(k Kind) *Object { return b.objects[k] }

// Instance is an instance of the object that has the hook's program.
func (b *Bundle) Instance(h dataplane.Hook, c dataplane.Config) (*Instance, error) {
	return b.objects[KindOf(h.Prog)].Instance(h, c)
}
