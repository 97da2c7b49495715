package journey_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/internal/browser"
	"github.com/hooklab/hooklab/internal/testkit"
)

// TestMermaidAgainstMermaid lets Mermaid parse and draw the approved diagrams, and finds
// their participants and verdicts in the drawing.
func TestMermaidAgainstMermaid(t *testing.T) {
	t.Parallel()
	p := testkit.Mermaid(t)
	page := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(page, []byte(`<!doctype html><script src="file://`+p+`"></script><p id="out">`), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.mmd")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d diagrams, %v", len(files), err)
	}
	b := browser.Open(t, "file://"+page, 1000, 800)
	var refused bool
	b.Eval(`mermaid.parse("sequenceDiagram\n  a->>").then(() => false, () => true)`, &refused)
	if !refused {
		t.Error("half an arrow was accepted")
	}
	for _, file := range files {
		diagram, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code, err := json.Marshal(string(diagram))
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Error, Type, Text string }
		b.Eval(`(async code => { try {
			const kind = await mermaid.parse(code), drawn = await mermaid.render("d", code);
			document.getElementById("out").innerHTML = drawn.svg;
			return {Type: kind.diagramType, Text: document.getElementById("out").textContent};
		} catch (e) { return {Error: String(e)} } })(`+string(code)+`)`, &got)
		if got.Error != "" || got.Type != "sequence" {
			t.Errorf("%s: %q %s", file, got.Type, got.Error)
		}
		for line := range strings.Lines(string(diagram)) {
			if _, name, ok := strings.Cut(strings.TrimSpace(line), " as "); ok && !strings.Contains(got.Text, name) {
				t.Errorf("%s: no participant %q in the drawing", file, name)
			}
		}
		if !strings.Contains(got.Text, "VERDICT DELIVERED") {
			t.Errorf("%s: no verdict in the drawing: %s", file, got.Text)
		}
	}
}
