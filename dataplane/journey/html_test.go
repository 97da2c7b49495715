package journey_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/internal/browser"
	"github.com/hooklab/hooklab/internal/testkit"
)

// htmlPage is a journey as HTML.
func htmlPage(tb testing.TB, j *journey.Journey) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := j.WriteHTML(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// opened is a journey in a browser.
func opened(t *testing.T, j *journey.Journey) *browser.Page {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace.html")
	if err := os.WriteFile(file, htmlPage(t, j), 0o600); err != nil {
		t.Fatal(err)
	}
	return browser.Open(t, "file://"+file, 1440, 1000)
}

// moment is what the page shows at one moment, read from its elements.
type moment struct {
	Moment int
	Kind   string // of the step
	Line   int
	Lines  int
	Place  string
	Hex    string
	New    []int    // bytes that are marked
	On     []string // what is marked in the drawing
	Box    [2]float64
	Way    string
	Dot    string
	Text   string
}

// clickThrough goes to the start and clicks on next until that is not possible.
const clickThrough = `(() => {
	const data = JSON.parse(document.getElementById("data").textContent), out = [];
	const texts = (q, f) => [...document.querySelectorAll(q)].map(f);
	document.getElementById("first").click();
	for (;;) {
		const i = +document.body.dataset.moment, m = data.moments[i], s = data.steps[m.s];
		const device = s.kind === "stack" || !s.device ? s.place + " stack" : s.place + " " + s.device;
		const box = [...document.querySelectorAll("[data-id].on")].find(e => e.dataset.id === device) || document.querySelector("[data-id].on");
		const r = box && box.querySelector("rect");
		out.push({
			Moment: i, Kind: s.kind, Line: m.l, Lines: s.run ? s.run.lines.length : 0, Place: s.place,
			Hex: texts("#bytes .hex [data-i]", e => e.textContent).join(""), New: texts("#bytes .hex .new", e => +e.dataset.i),
			On: texts("[data-id].on", e => e.dataset.id),
			Box: r ? [+r.getAttribute("x") + Math.floor(r.getAttribute("width") / 2), +r.getAttribute("y") + Math.floor(r.getAttribute("height") / 2)] : [0, 0],
			Way: texts(".way.gone", e => e.getAttribute("d")).join(""), Dot: document.getElementById("here").style.display,
			Text: document.getElementById("what").textContent,
		});
		if (document.getElementById("next").disabled) return out;
		document.getElementById("next").click();
	}
})()`

// TestHTMLClickThrough clicks through every moment of pages and compares what they show
// with the capture of the same journey: bytes, marked bytes, way, texts.
func TestHTMLClickThrough(t *testing.T) {
	t.Parallel()
	c := article(t)
	for name, q := range map[string]journey.Question{
		"service":  {From: "pod2-1", To: "svc/web", Protocol: journey.TCP, Port: 80},
		"external": {From: "pod1-1", To: "8.8.8.8"},
		"dropped":  {From: "pod1-1", To: "10.0.1.250"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := ask(t, c, q)
			p := opened(t, j)
			var got []moment
			p.Eval(clickThrough, &got)
			if len(got) < 50 {
				t.Fatalf("%d moments", len(got))
			}
			_, records, err := dissect.ReadAll(bytes.NewReader(capture(t, j)))
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range got {
				if m.Moment != i {
					t.Fatalf("moment %d: the page shows %d", i, m.Moment)
				}
				checkWay(t, i, m)
				if i > 0 && m.Line > -1 {
					checkMarks(t, i, got[i-1].Hex, m)
				}
				if m.Kind == "tap" || m.Kind == "hook" && (m.Line == -1 || m.Line == m.Lines) {
					if want := hex.EncodeToString(records[0].Data); m.Hex != want {
						t.Errorf("moment %d, %s at %s: bytes\n got %s\nwant %s", i, m.Kind, m.Place, m.Hex, want)
					}
					records = records[1:]
				}
			}
			if len(records) > 0 {
				t.Errorf("%d frames of the capture are not in the page", len(records))
			}
			checkTexts(t, j, got)
			for _, complaint := range p.Complaints() {
				t.Errorf("the page complains: %s", complaint)
			}
			for _, url := range p.Requests() {
				if !strings.HasPrefix(url, "file:///") || !strings.HasSuffix(strings.SplitN(url, "#", 2)[0], "/trace.html") {
					t.Errorf("the page asks for %s", url)
				}
			}
		})
	}
}

// checkWay finds the step's place marked, with the way ending there.
func checkWay(t *testing.T, i int, m moment) {
	t.Helper()
	if !slices.Contains(m.On, m.Place) || m.Dot == "none" {
		t.Errorf("moment %d: %s is not marked, but %v", i, m.Place, m.On)
	}
	if end := fmt.Sprintf("%v %v", m.Box[0], m.Box[1]); m.Way != "" && !strings.HasSuffix(m.Way, end) {
		t.Errorf("moment %d at %s: the way %s does not end at %s", i, m.Place, m.Way, end)
	}
}

// checkMarks finds exactly those bytes marked that a line of a program changed.
func checkMarks(t *testing.T, i int, before string, m moment) {
	t.Helper()
	var want []int
	for k := 0; k+2 <= len(m.Hex); k += 2 {
		if len(before) == len(m.Hex) && before[k:k+2] != m.Hex[k:k+2] {
			want = append(want, k/2)
		}
	}
	if !slices.Equal(m.New, want) {
		t.Errorf("moment %d: marked %v, changed %v", i, m.New, want)
	}
}

// checkTexts finds functions, map entries, decisions and results of every run at its end.
func checkTexts(t *testing.T, j *journey.Journey, got []moment) {
	t.Helper()
	var ends []string
	for _, m := range got {
		if m.Kind == "hook" && m.Line == m.Lines {
			ends = append(ends, m.Text)
		}
	}
	for _, k := range j.Packets {
		for _, s := range k.Steps {
			if s.Run == nil {
				continue
			}
			var want []string
			for _, l := range s.Run.Lines {
				want = append(want, l.Func, l.Map, l.Key)
				if l.Kind == journey.LineLookup {
					want = append(want, l.Value)
				}
			}
			for _, d := range s.Run.Decisions {
				want = append(want, d.Text)
			}
			for _, e := range s.Run.Entries {
				want = append(want, e.Map+" "+e.Key)
			}
			for _, w := range append(want, s.Run.Program, s.Run.Result) {
				if len(ends) == 0 || !strings.Contains(ends[0], w) {
					t.Fatalf("%s at %s: no %q in what the page shows", s.Run.Program, s.Place, w)
				}
			}
			ends = ends[1:]
		}
	}
}

// TestHTMLKeys moves with keys, chooses packets and changes the colours. It writes the
// picture that stands in the README when files are to be rewritten: a picture is looked
// at, not compared.
func TestHTMLKeys(t *testing.T) {
	t.Parallel()
	p := opened(t, ask(t, article(t), journey.Question{From: "pod2-1", To: "svc/web", Protocol: journey.TCP, Port: 80}))
	p.Size(1440, 1000)
	p.Eval(`(() => { const d = JSON.parse(document.getElementById("data").textContent), slider = document.getElementById("slider");
		slider.value = d.moments.findIndex(m => m.c && d.steps[m.s].run && m.l >= 0 && d.packets[d.steps[m.s].packet].relation === "request");
		slider.dispatchEvent(new Event("input")) })()`, nil)
	p.Eval(`Promise.all(document.getAnimations().map(a => a.finished)).then(() => 0)`, nil)
	png := p.Picture()
	if len(png) < 20000 {
		t.Fatalf("a picture of %d bytes", len(png))
	}
	testkit.Rewrite(t, "../../docs/trace.png", png)
	at := func() (n int) {
		t.Helper()
		p.Eval("+document.body.dataset.moment", &n)
		return n
	}
	p.Key("Home")
	for _, tt := range []struct {
		key  string
		want func(was, is int) bool
	}{
		{"ArrowRight", func(_, is int) bool { return is == 1 }},
		{"ArrowRight", func(_, is int) bool { return is == 2 }},
		{"ArrowLeft", func(_, is int) bool { return is == 1 }},
		{"End", func(was, is int) bool { return is > was+50 }},
		{"ArrowRight", func(was, is int) bool { return is == was }},
		{"Home", func(_, is int) bool { return is == 0 }},
		{"2", func(was, is int) bool { return is > was }},
		{"PageDown", func(was, is int) bool { return is > was }},
		{"PageUp", func(was, is int) bool { return is < was }},
	} {
		was := at()
		p.Key(tt.key)
		if is := at(); !tt.want(was, is) {
			t.Errorf("%s: from %d to %d", tt.key, was, is)
		}
	}
	var colours [2]string
	for i := range colours {
		p.Eval("getComputedStyle(document.body).backgroundColor", &colours[i])
		p.Key("t")
	}
	if colours[0] == colours[1] {
		t.Errorf("light and dark are both %s", colours[0])
	}
}

// TestHTMLIsSelfContained finds nothing in the page that would need a network, and the
// same page each time.
func TestHTMLIsSelfContained(t *testing.T) {
	t.Parallel()
	c := article(t)
	q := journey.Question{From: "pod2-1", To: "svc/web", Protocol: journey.TCP, Port: 80}
	page := htmlPage(t, ask(t, c, q))
	if !bytes.Equal(page, htmlPage(t, ask(t, c, q))) {
		t.Error("two pages of one question differ")
	}
	text := strings.ReplaceAll(string(page), "http://www.w3.org/2000/svg", "")
	for _, bad := range []string{"http:", "https:", "@import", " src="} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is in the page", bad)
		}
	}
	_, data, _ := strings.Cut(string(page), `type="application/json">`)
	data, _, _ = strings.Cut(data, "</script>")
	if !json.Valid([]byte(data)) {
		t.Error("the page's data is no JSON")
	}
}
