package graph

import (
	"bufio"
	_ "embed"
	"fmt"
	"html"
	"io"
)

// style is the look of the drawing, by CSS variables that a page may set.
//
//go:embed graph.css
var style string

// WriteSVG writes the drawing as a file of its own, for light and dark surroundings.
func (g *Graph) WriteSVG(w io.Writer) error {
	d := svg{bufio.NewWriter(w)}
	d.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" class="hooklab-graph" role="img">`, g.W, g.H, g.W, g.H)
	d.put("<title>%s</title>", html.EscapeString(g.title()))
	d.put("<style>\n%s</style>", style)
	d.put(`<rect class="paper" width="%d" height="%d"/>`, g.W, g.H)
	g.draw(d)
	d.put("</svg>")
	return d.w.Flush()
}

// WriteInner writes what stands inside of the svg element, for a page that has the
// element and the style of Style.
func (g *Graph) WriteInner(w io.Writer) error {
	d := svg{bufio.NewWriter(w)}
	g.draw(d)
	return d.w.Flush()
}

// Style is the style sheet of the drawing.
func Style() string { return style }

func (g *Graph) title() string {
	name := "cluster " + g.Title
	if g.Title == "" {
		name = "cluster"
	}
	return fmt.Sprintf("%s: %d nodes, %d services", name, len(g.Nodes), len(g.Services))
}

type svg struct{ w *bufio.Writer }

func (d svg) put(format string, args ...any) { fmt.Fprintf(d.w, format+"\n", args...) }

func (g *Graph) draw(d svg) {
	for i, u := range g.Underlay {
		if i > 0 {
			above := g.Underlay[i-1]
			d.put(`<path class="wire" d="M%d %dV%d"/>`, margin/2, above.Y+above.H/2, u.Y+u.H/2)
			d.put(`<path class="wire" d="M%d %dH%dM%d %dH%d"/>`, margin/2, above.Y+above.H/2, margin, margin/2, u.Y+u.H/2, margin)
		}
		d.put(`<g data-id="underlay"><rect class="underlay" x="%d" y="%d" width="%d" height="%d" rx="%d"/>`, u.X, u.Y, u.W, u.H, u.H/2)
		d.put(`<text class="label" x="%d" y="%d" text-anchor="end">underlay %s</text>`, u.X+u.W-gap, u.Y+u.H/2+4, g.Subnet)
		d.put("</g>")
	}
	for i, n := range g.Nodes {
		n.drawFrame(d, g.Underlay[i/perRow].Y)
	}
	for _, s := range g.Services {
		for _, p := range s.Pods {
			a, b := Point{s.X + s.W/2, s.Y + s.H}, Point{p.X + p.W/2, p.Y}
			d.put(`<path class="backend" d="M%d %dC%d %d %d %d %d %d"/>`, a.X, a.Y, a.X, (a.Y+b.Y)/2, b.X, (a.Y+b.Y)/2, b.X, b.Y)
		}
	}
	d.put(`<g class="ways"></g>`) // behind what is named, for a page that draws ways
	for _, n := range g.Nodes {
		n.draw(d)
	}
	for _, s := range g.Services {
		d.box("service", &s.Box)
	}
	g.drawOutside(d)
}

func (g *Graph) drawOutside(d svg) {
	if g.Gateway == nil {
		return
	}
	c := g.Gateway.Centre()
	bar := g.Underlay[len(g.Underlay)-1]
	d.put(`<path class="wire" d="M%d %dV%d"/>`, c.X, bar.Y+bar.H, g.Gateway.Y)
	at := g.Gateway.Rect
	for _, x := range g.Outside {
		d.put(`<path class="wire" d="M%d %dH%d"/>`, at.X+at.W, c.Y, x.X)
		at = x.Rect
	}
	d.box("gateway", g.Gateway)
	for _, x := range g.Outside {
		d.box("outside", x)
	}
}

// drawFrame draws what is behind everything else of a node.
func (n *Node) drawFrame(d svg, underlay int) {
	d.put(`<g data-id="%s"><rect class="node" x="%d" y="%d" width="%d" height="%d" rx="14"/>`, html.EscapeString(n.ID), n.X, n.Y, n.W, n.H)
	d.left("name", Point{n.X + gap, n.Y + 22}, n.Name, n.W/9)
	about := n.About
	if n.Omitted > 0 {
		about += fmt.Sprintf(" · %d more pods", n.Omitted)
	}
	d.left("about", Point{n.X + gap, n.Y + 38}, about, n.W/7)
	d.put("</g>")
	eth0 := n.Devices[3]
	d.put(`<path class="wire" d="M%d %dV%d"/>`, eth0.Centre().X, eth0.Y+eth0.H, underlay)
}

func (n *Node) draw(d svg) {
	host, net := n.Devices[1], n.Devices[2]
	d.put(`<path class="veth" d="M%d %dH%d"/>`, host.X+host.W, host.Centre().Y, net.X)
	for _, p := range n.Pods {
		if p.Device != nil {
			d.put(`<path class="veth" d="M%d %dV%d"/>`, p.Centre().X, p.Y+p.H, p.Device.Y)
			d.chip(p.Device)
		}
		d.box("pod", &p.Box)
	}
	d.box("stack", n.Stack)
	for _, dev := range n.Devices {
		d.chip(dev)
	}
}

func (d svg) box(class string, b *Box) {
	d.put(`<g data-id="%s"><title>%s</title><rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="9"/>`,
		html.EscapeString(b.ID), html.EscapeString(b.ID+" "+b.About), class, b.X, b.Y, b.W, b.H)
	c := b.Centre()
	d.text("name", Point{c.X, c.Y - 3}, b.Name, b.W/8)
	d.text("about", Point{c.X, c.Y + 13}, b.About, b.W/6)
	d.put("</g>")
}

func (d svg) chip(b *Box) {
	d.put(`<g data-id="%s"><title>%s</title><rect class="device" x="%d" y="%d" width="%d" height="%d" rx="6"/>`,
		html.EscapeString(b.ID), html.EscapeString(b.ID+" "+b.About), b.X, b.Y, b.W, b.H)
	d.text("dev", Point{b.X + b.W/2, b.Y + b.H/2 + 4}, b.Name, b.W/7)
	d.put("</g>")
}

func (d svg) text(class string, p Point, s string, limit int) {
	d.put(`<text class="%s" x="%d" y="%d" text-anchor="middle">%s</text>`, class, p.X, p.Y, html.EscapeString(clip(s, limit)))
}

func (d svg) left(class string, p Point, s string, limit int) {
	d.put(`<text class="%s" x="%d" y="%d">%s</text>`, class, p.X, p.Y, html.EscapeString(clip(s, limit)))
}
