package compare

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// listLen is how many items a list in the spec of a Lab document has.
func listLen(doc []byte, list string) int {
	_, items, err := specList(doc, list)
	if err != nil {
		return 0
	}
	return len(items)
}

// without is a Lab document without item i of a list in its spec.
func without(doc []byte, list string, i int) ([]byte, error) {
	lab, items, err := specList(doc, list)
	if err != nil || i >= len(items) {
		return nil, fmt.Errorf("no %s[%d]: %w", list, i, err)
	}
	spec, _ := lab["spec"].(map[string]any)
	left := append(append([]any(nil), items[:i]...), items[i+1:]...)
	if len(left) == 0 {
		delete(spec, list)
	} else {
		spec[list] = left
	}
	return yaml.Marshal(lab)
}

// withoutKeys is a Lab document without some keys of its spec.
func withoutKeys(doc []byte, keys []string) ([]byte, error) {
	lab, _, err := specList(doc, "")
	if err != nil {
		return nil, err
	}
	spec, _ := lab["spec"].(map[string]any)
	n := len(spec)
	for _, k := range keys {
		delete(spec, k)
	}
	if len(spec) == n {
		return nil, fmt.Errorf("no %s: %w", keys[0], ErrInput)
	}
	return yaml.Marshal(lab)
}

func specList(doc []byte, list string) (lab map[string]any, items []any, err error) {
	if err := yaml.Unmarshal(doc, &lab); err != nil {
		return nil, nil, err
	}
	spec, ok := lab["spec"].(map[string]any)
	if !ok || lab["kind"] != "Lab" {
		return nil, nil, fmt.Errorf("%w: not a Lab document", ErrInput)
	}
	items, _ = spec[list].([]any)
	return lab, items, nil
}
