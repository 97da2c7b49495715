package conformance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/internal/conformance"
)

const worldJSON = `{"node": {"cilium_net_mac": "0e:4e:45:54:00:03", "loopback_snat": "169.254.42.1", "pod_cidr_mask": "255.255.255.0"}, "devices": [], "endpoints": [], "maps": []}`

func TestLoad(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string // in the error; empty: none
		steps int
	}{
		{"nothing", nil, "base.json", 0},
		{"no groups", map[string]string{"base.json": worldJSON}, "", 0},
		{"no JSON", map[string]string{"base.json": "x"}, "base.json", 0},
		{"bad MAC", map[string]string{"base.json": strings.ReplaceAll(worldJSON, "0e:4e", "0e")}, "want six colon-separated bytes", 0},
		{"MAC of letters", map[string]string{"base.json": strings.ReplaceAll(worldJSON, "0e:4e", "xx:4e")}, "want six colon-separated bytes", 0},
		{"bad group", map[string]string{"base.json": worldJSON, "a.json": "{"}, "a.json", 0},
		{"bad hex", map[string]string{"base.json": worldJSON, "a.json": `{"scenarios": [{"steps": [{"in": "0g"}]}]}`}, "a.json", 0},
		{"a group", map[string]string{"base.json": worldJSON, "a.json": `{"scenarios": [{"steps": [{"in": "00"}]}]}`}, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, content := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			v, err := conformance.Load(dir)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want one with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			steps := 0
			for _, g := range v.Groups {
				for _, s := range g.Scenarios {
					steps += len(s.Steps)
				}
			}
			if steps != tt.steps {
				t.Errorf("%d steps, want %d", steps, tt.steps)
			}
		})
	}
}

// TestRecordedPackets: all that was recorded is read, no group silently left out.
func TestRecordedPackets(t *testing.T) {
	t.Parallel()
	v, err := conformance.Load("../../testdata/vectors")
	if err != nil {
		t.Fatal(err)
	}
	scenarios, steps := 0, 0
	for _, g := range v.Groups {
		scenarios += len(g.Scenarios)
		for _, s := range g.Scenarios {
			steps += len(s.Steps)
		}
	}
	if len(v.Groups) != 18 || scenarios != 181 || steps != 533 {
		t.Errorf("%d groups, %d scenarios, %d steps, want 18, 181 and 533", len(v.Groups), scenarios, steps)
	}
}
