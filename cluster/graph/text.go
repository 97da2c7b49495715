package graph

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// WriteMermaid writes the cluster as a flowchart of Mermaid.
func (g *Graph) WriteMermaid(w io.Writer) error {
	b := bufio.NewWriter(w)
	put := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	label := func(x *Box) string { return mermaidText(x.Name) + "<br/>" + mermaidText(x.About) }
	put("flowchart TB")
	ids := map[*Pod]string{}
	for i, n := range g.Nodes {
		put(`    subgraph n%d["%s"]`, i, label(&n.Box))
		for k, p := range n.Pods {
			ids[p] = fmt.Sprintf("n%dp%d", i, k)
			put(`        %s["%s"]`, ids[p], label(&p.Box))
		}
		if len(n.Pods) == 0 {
			put(`        n%dstack["host stack"]`, i)
		}
		put("    end")
	}
	for i, s := range g.Services {
		put(`    s%d(["%s"])`, i, label(&s.Box))
		for _, p := range s.Pods {
			put("    s%d -.-> %s", i, ids[p])
		}
	}
	put(`    underlay{{"underlay %s"}}`, g.Subnet)
	for i := range g.Nodes {
		put("    n%d --- underlay", i)
	}
	for i, x := range g.outer() {
		put(`    x%d["%s"]`, i, label(x))
		if i == 0 {
			put("    underlay --- x0")
		} else {
			put("    x0 --- x%d", i)
		}
	}
	return b.Flush()
}

// mermaidText replaces what Mermaid would read as its own.
func mermaidText(s string) string {
	return strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ").Replace(s)
}

// WriteDOT writes the cluster for Graphviz.
func (g *Graph) WriteDOT(w io.Writer) error {
	b := bufio.NewWriter(w)
	put := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
	}
	label := func(x *Box) string { return quote(x.Name + "\n" + x.About) }
	put("graph hooklab {")
	put(`    graph [compound=true, fontname="sans-serif", label=%s]`, quote(g.title()))
	put(`    node [shape=box, style=rounded, fontname="sans-serif"]`)
	ids := map[*Pod]string{}
	for i, n := range g.Nodes {
		put("    subgraph cluster_%d {", i)
		put("        label=%s", label(&n.Box))
		put(`        n%d [label="host stack", style="rounded,dashed"]`, i)
		for k, p := range n.Pods {
			ids[p] = fmt.Sprintf("n%dp%d", i, k)
			put("        %s [label=%s]", ids[p], label(&p.Box))
			put("        %s -- n%d", ids[p], i)
		}
		put("    }")
	}
	for i, s := range g.Services {
		put("    s%d [label=%s, shape=ellipse, style=dashed]", i, label(&s.Box))
		for _, p := range s.Pods {
			put("    s%d -- %s [style=dashed]", i, ids[p])
		}
	}
	put("    underlay [label=%s, shape=plaintext]", quote("underlay "+g.Subnet.String()))
	for i := range g.Nodes {
		put("    n%d -- underlay", i)
	}
	for i, x := range g.outer() {
		put("    x%d [label=%s]", i, label(x))
		if i == 0 {
			put("    underlay -- x0")
		} else {
			put("    x0 -- x%d", i)
		}
	}
	put("}")
	return b.Flush()
}
