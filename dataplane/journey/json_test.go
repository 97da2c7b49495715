package journey_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane/journey"
)

// TestJSONIsDocumented finds every field of the JSON form in its description.
func TestJSONIsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/trace-json.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), journey.Schema) {
		t.Errorf("%s is not there", journey.Schema)
	}
	seen := map[reflect.Type]bool{}
	var visit func(r reflect.Type)
	visit = func(r reflect.Type) {
		for r.Kind() == reflect.Pointer || r.Kind() == reflect.Slice {
			r = r.Elem()
		}
		if r.Kind() != reflect.Struct || seen[r] {
			return
		}
		seen[r] = true
		for f := range r.Fields() {
			if !f.IsExported() {
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !strings.Contains(string(doc), "`"+name+"`") {
				t.Errorf("%s.%s: `%s` is not described", r.Name(), f.Name, name)
			}
			visit(f.Type)
		}
	}
	visit(reflect.TypeFor[journey.Journey]())
	if len(seen) < 10 {
		t.Errorf("looked at %d types only", len(seen))
	}
}
