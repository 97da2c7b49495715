package lab

import (
	"fmt"

	"github.com/hooklab/hooklab/cluster"
)

// Pin returns the path of the pinned namespace that ref names in a lab: "POD",
// "NAMESPACE/POD", "node/NAME", "health/NODE" or "wire/underlay". A pod that lives
// in its node's network is the node's namespace. The error wraps ErrNoLab or
// cluster.ErrInput.
func (r RunDir) Pin(lab, ref string) (string, error) {
	h, err := r.home(lab)
	if err != nil {
		return "", err
	}
	s, err := r.State(lab)
	if err != nil {
		return "", err
	}
	at := s.find(ref)
	if at == nil {
		return "", fmt.Errorf("%w: lab %s has no %q; there are %s", cluster.ErrInput, lab, ref, refs(s.Spaces))
	}
	return h.pin(at)
}
