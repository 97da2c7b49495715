package browser_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/internal/browser"
)

// TestPage drives a page, and sees what it complains about and asks for.
func TestPage(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "page.html")
	page := `<!doctype html><title>t</title><p id=p>0</p><script>
addEventListener("keydown", e => { document.title = e.key });
console.error("a complaint"); setTimeout(() => { throw new Error("another") });
new Image().src = "http://example.invalid/x.png";
</script>`
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	p := browser.Open(t, "file://"+file, 800, 600)
	var n int
	p.Eval("new Promise(r => setTimeout(() => r(6*7)))", &n)
	if n != 42 {
		t.Errorf("got %d", n)
	}
	p.Key("ArrowRight")
	var title string
	p.Eval("document.title", &title)
	if title != "ArrowRight" {
		t.Errorf("title: got %q", title)
	}
	p.Dark(true)
	var dark bool
	p.Eval(`matchMedia("(prefers-color-scheme: dark)").matches`, &dark)
	if !dark {
		t.Error("not dark")
	}
	all := strings.Join(p.Complaints(), "\n")
	for _, want := range []string{"a complaint", "another"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in %s", want, all)
		}
	}
	if got := strings.Join(p.Requests(), " "); !strings.Contains(got, "example.invalid") {
		t.Errorf("requests: got %s", got)
	}
	if png := p.Picture(); len(png) < 100 || string(png[1:4]) != "PNG" {
		t.Errorf("got %d bytes", len(png))
	}
}
