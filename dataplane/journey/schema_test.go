package journey_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/internal/testkit"
)

// words are the values that a type of word may have.
var words = map[reflect.Type][]any{
	reflect.TypeFor[journey.Outcome]():  {journey.Delivered, journey.Dropped, journey.ToStack, journey.Lost, journey.Unknown},
	reflect.TypeFor[journey.Relation](): {journey.Request, journey.Answer, journey.Failure, journey.Asking},
	reflect.TypeFor[journey.Protocol](): {journey.ICMP, journey.TCP, journey.UDP, journey.ARP, journey.Protocol("")},
	reflect.TypeFor[journey.CTState]():  {journey.CTNew, journey.CTEstablished, journey.CTReply},
	reflect.TypeFor[journey.StepKind](): {
		journey.StepSent, journey.StepTap, journey.StepNoTap, journey.StepXDP, journey.StepHook, journey.StepStack, journey.StepWire,
		journey.StepReceived, journey.StepLeft, journey.StepLost,
	},
	reflect.TypeFor[journey.LineKind](): {journey.LineCall, journey.LineTailCall, journey.LineLookup, journey.LineUpdate, journey.LineRewrite, journey.LineHelper},
	reflect.TypeFor[journey.Topic]():    {journey.TopicSource, journey.TopicService, journey.TopicConntrack, journey.TopicPolicy, journey.TopicRoute, journey.TopicNAT},
}

// schemaOf is the JSON Schema of a type. What it defines goes into defs. Fields that are
// not in it are allowed, as later versions of the same schema may add some.
func schemaOf(r reflect.Type, defs map[string]any) map[string]any {
	switch r.Kind() {
	case reflect.Pointer:
		return schemaOf(r.Elem(), defs)
	case reflect.Slice:
		if r.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string"} // base64, or a text of its own
		}
		return map[string]any{"type": []any{"array", "null"}, "items": schemaOf(r.Elem(), defs)}
	case reflect.String:
		if w := words[r]; w != nil {
			return map[string]any{"type": "string", "enum": w}
		}
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Struct:
		ref := map[string]any{"$ref": "#/$defs/" + r.Name()}
		if _, known := defs[r.Name()]; known {
			return ref
		}
		properties, required := map[string]any{}, []any{}
		defs[r.Name()] = nil
		for f := range r.Fields() {
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.IsExported() || name == "-" {
				continue
			}
			properties[name] = schemaOf(f.Type, defs)
			if options == "" {
				required = append(required, name)
			}
		}
		defs[r.Name()] = map[string]any{"type": "object", "properties": properties, "required": required}
		return ref
	default:
		return map[string]any{"type": "integer"}
	}
}

// TestSchema keeps docs/trace.schema.json what the code writes, and validates all
// approved journeys with it by a validator that is not ours.
func TestSchema(t *testing.T) {
	t.Parallel()
	defs := map[string]any{}
	schema := schemaOf(reflect.TypeFor[journey.Journey](), defs)
	schema["$schema"], schema["$id"], schema["$defs"] = "https://json-schema.org/draft/2020-12/schema", journey.Schema, defs
	schema["title"] = "hooklab trace -o json; docs/trace-json.md says what the fields mean"
	own := defs["Journey"].(map[string]any)["properties"].(map[string]any)
	own["schema"] = map[string]any{"const": journey.Schema}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "../../../docs/trace.schema.json", append(text, '\n'))

	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("trace.schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("trace.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		validate := func(data []byte) error {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			return compiled.Validate(v)
		}
		if err := validate(data); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for name, wrong := range map[string][2]string{
			"another version": {journey.Schema, "hooklab.io/trace/v0"}, "another outcome": {`"DELIVERED"`, `"ARRIVED"`},
			"a field less": {`"summary":`, `"summery":`}, "a text for a number": {`"id": 1`, `"id": "1"`}, "another kind": {`"kind": "hook"`, `"kind": "hoop"`},
		} {
			if err := validate(bytes.Replace(data, []byte(wrong[0]), []byte(wrong[1]), 1)); err == nil {
				t.Errorf("%s: %s is valid", file, name)
			}
		}
	}
}
