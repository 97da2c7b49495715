package journey

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/cluster/graph"
	"github.com/hooklab/hooklab/dataplane/dissect"
)

// The page's parts.
var (
	//go:embed page/page.html
	pageHTML string
	//go:embed page/page.css
	pageCSS string
	//go:embed page/page.js
	pageJS string
)

// podsOfPage is how many pods a node of the drawing has, if the journey touches no more.
const podsOfPage = 3

// WriteHTML writes a journey as one page that needs nothing else: the part of the cluster
// that the packets come by with their way drawn on it, and every moment to click through,
// down to the single lines of programs, with the packet's bytes and what changed of them.
func (j *Journey) WriteHTML(w io.Writer) error {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return err
	}
	b := newPageBuilder(j)
	var drawing, whole bytes.Buffer
	if err := b.graph.WriteInner(&drawing); err != nil {
		return err
	}
	if err := j.WriteText(&whole, TextOptions{}); err != nil {
		return err
	}
	return t.Execute(w, map[string]any{
		"Title": j.Question.String(), "About": b.about(), "Assumed": j.Assumed,
		"Outcome": string(j.Verdict.Outcome), "Verdict": j.Verdict.Text, "Because": j.Verdict.Because,
		"Drop": j.Verdict.Drop, "Answer": j.Verdict.Answer,
		"Width": b.graph.W, "Height": b.graph.H, "Text": whole.String(), "Data": b.data(),
		// All four are ours: files of this package and a drawing that escapes its texts.
		"CSS": template.CSS(graph.Style() + pageCSS), "JS": template.JS(pageJS), "Drawing": template.HTML(drawing.String()),
	})
}

// What the page's script reads. Indexes count from 0.
type (
	pageData struct {
		Packets []pagePacket `json:"packets"`
		Steps   []pageStep   `json:"steps"`
		Moments []pageMoment `json:"moments"`
		Frames  []pageFrame  `json:"frames"`
	}
	pagePacket struct {
		ID       int      `json:"id"`
		Relation Relation `json:"relation"`
		Of       int      `json:"of,omitempty"`
		Title    string   `json:"title"`
		Outcome  Outcome  `json:"outcome"`
	}
	pageStep struct {
		*Step
		Packet int           `json:"packet"`
		Text   string        `json:"say"`          // with what changed and who did it
		At     *graph.Point  `json:"at,omitempty"` // on the drawing
		Via    []graph.Point `json:"via,omitempty"`
		Others []string      `json:"decided,omitempty"` // a run's decisions with the other backends
		Entry  []string      `json:"written,omitempty"` // entries that a run changed, a line each
	}
	pageMoment struct {
		Step    int      `json:"s"`
		Line    int      `json:"l"` // of the step's run; -1 before the first, len(lines) at its end
		Frame   int      `json:"f"`
		Marks   [][2]int `json:"d,omitempty"` // offset and length of bytes that are new
		Changes []Change `json:"c,omitempty"`
		Mark    uint32   `json:"m,omitempty"`
	}
	pageFrame struct {
		Hex    string          `json:"hex"`
		Fields []dissect.Field `json:"fields"`
	}
)

// pageBuilder makes the page's data.
type pageBuilder struct {
	journey *Journey
	graph   *graph.Graph
	out     pageData
	frames  map[string]int // by content
}

func newPageBuilder(j *Journey) *pageBuilder {
	b := &pageBuilder{journey: j, frames: map[string]int{}}
	o := graph.Options{Nodes: []string{}, Services: j.services(), Outside: []string{}, PodsPerNode: podsOfPage}
	add := func(to *[]string, name string) {
		if !slices.Contains(*to, name) {
			*to = append(*to, name)
		}
	}
	for _, p := range j.Packets {
		for _, s := range p.Steps {
			switch kind, name, _ := strings.Cut(s.Place, " "); kind {
			case "node":
				add(&o.Nodes, name)
			case "pod":
				add(&o.Pods, name)
			case "external":
				add(&o.Outside, name)
			case "gateway":
				o.Gateway = true
			}
		}
	}
	if j.cluster != nil {
		b.graph = graph.New(j.cluster, o)
	} else {
		b.graph = &graph.Graph{}
	}
	return b
}

// services are those that the question is about.
func (j *Journey) services() []string {
	out := []string{}
	if j.cluster == nil {
		return out
	}
	for _, s := range j.cluster.Services() {
		if name, ok := strings.CutPrefix(j.Question.To, "svc/"); ok && (name == s.Ref() || name == s.Name) || s.ClusterIP.IsValid() && j.Question.To == s.ClusterIP.String() {
			out = append(out, s.Ref())
		}
	}
	return out
}

func (b *pageBuilder) about() string {
	j := b.journey
	return fmt.Sprintf("cluster %s · profile %s · kernel %s", orUnnamed(j.Cluster), j.Profile, j.Kernel)
}

func (b *pageBuilder) data() pageData {
	for i, p := range b.journey.Packets {
		b.out.Packets = append(b.out.Packets, pagePacket{ID: p.ID, Relation: p.Relation, Of: p.Of, Title: p.brief, Outcome: p.Fate.Outcome})
		var last []byte
		for k, s := range p.Steps {
			var before *Step
			if k > 0 {
				before = p.Steps[k-1]
			}
			b.step(i, s, before)
			last = b.moments(s, last)
		}
	}
	return b.out
}

// step adds a step with its place on the drawing.
func (b *pageBuilder) step(packet int, s, before *Step) {
	t := pageStep{Step: s, Packet: packet, Text: s.withChanges()}
	if s.Run != nil {
		for _, d := range s.Run.Decisions {
			t.Others = append(t.Others, d.withOthers())
		}
		for _, e := range s.Run.Entries {
			t.Entry = append(t.Entry, e.line())
		}
	}
	if at, ok := b.graph.Anchor(s.Place, s.anchor()); ok {
		t.At = &at
		if before != nil && before.Place != s.Place && before.Device == "eth0" && s.Device == "eth0" && b.onUnderlay(before) && b.onUnderlay(s) {
			if from, ok := b.graph.Anchor(before.Place, before.anchor()); ok {
				t.Via = b.graph.OverUnderlay(from, at)
			}
		}
	}
	b.out.Steps = append(b.out.Steps, t)
}

// anchor is the device at which a step happens; the host stack's steps are its own,
// whatever device they are about.
func (s *Step) anchor() string {
	if s.Kind == StepStack {
		return ""
	}
	return s.Device
}

// onUnderlay says that eth0 of a step's place is on the underlay.
func (b *pageBuilder) onUnderlay(s *Step) bool {
	return strings.HasPrefix(s.Place, "node ") || s.Place == "gateway"
}

// moments adds what can be looked at of a step, and returns the frame at its end.
func (b *pageBuilder) moments(s *Step, last []byte) []byte {
	if s.Run == nil {
		b.moment(-1, s.frame, last, s.mark)
		return s.frame
	}
	b.moment(-1, s.Run.before, last, s.Run.markBefore)
	frame, mark := s.Run.before, s.Run.markBefore
	for i := range s.Run.Lines {
		next := frame
		if l := &s.Run.Lines[i]; l.frame != nil {
			next = l.frame
		}
		b.moment(i, next, frame, mark)
		frame = next
	}
	b.moment(len(s.Run.Lines), s.frame, frame, s.mark)
	return s.frame
}

func (b *pageBuilder) moment(line int, frame, last []byte, mark uint32) {
	m := pageMoment{Step: len(b.out.Steps) - 1, Line: line, Frame: b.frame(frame), Mark: mark}
	if last != nil && !bytes.Equal(last, frame) {
		m.Changes, m.Marks = changes(last, frame), newBytes(last, frame)
	}
	b.out.Moments = append(b.out.Moments, m)
}

func (b *pageBuilder) frame(data []byte) int {
	i, ok := b.frames[string(data)]
	if !ok {
		i = len(b.out.Frames)
		b.frames[string(data)] = i
		b.out.Frames = append(b.out.Frames, pageFrame{Hex: fmt.Sprintf("%x", data), Fields: dissect.Fields(data)})
	}
	return i
}

// newBytes are the stretches, as offset and length, in which a frame differs from what
// it was. A frame around another one, or out of it, is compared from its end.
func newBytes(before, after []byte) [][2]int {
	shift := 0
	if tunnelled(before) != tunnelled(after) {
		shift = len(after) - len(before)
	}
	var out [][2]int
	for i := range after {
		if k := i - shift; k >= 0 && k < len(before) && before[k] == after[i] {
			continue
		}
		if n := len(out); n > 0 && out[n-1][0]+out[n-1][1] == i {
			out[n-1][1]++
		} else {
			out = append(out, [2]int{i, 1})
		}
	}
	return out
}

// tunnelled says that a frame carries another one.
func tunnelled(frame []byte) bool {
	return slices.ContainsFunc(dissect.Fields(frame), func(f dissect.Field) bool { return strings.HasPrefix(f.Name, "inner.") })
}
