package graph

import "strings"

// Lengths of the drawing.
const (
	margin    = 24
	gap       = 16
	podW      = 138
	podH      = 46
	chipH     = 24
	vethLen   = 12
	headH     = 50
	stackH    = 38
	rowGap    = 30
	barH      = 26
	nodeGap   = 28
	perRow    = 3 // nodes
	podsInRow = 4
	outsideH  = 46
	serviceH  = 46
)

// place gives everything its place: services on top, nodes in rows, below each row the
// underlay, and below the last one what is outside.
func (g *Graph) place() {
	y := margin
	if len(g.Services) > 0 {
		y += serviceH + rowGap + 14
	}
	for first := 0; first < len(g.Nodes); first += perRow {
		row := g.Nodes[first:min(first+perRow, len(g.Nodes))]
		x, height := margin, 0
		for _, n := range row {
			height = max(height, n.height())
		}
		for _, n := range row {
			n.place(x, y, height)
			x += n.W + nodeGap
		}
		g.W = max(g.W, x-nodeGap+margin)
		y += height + rowGap
		g.Underlay = append(g.Underlay, Rect{X: margin, Y: y, H: barH})
		y += barH + rowGap
	}
	y = g.placeRow(y, outsideH, g.outer())
	g.H = y - rowGap + margin
	g.placeServices()
	for i := range g.Underlay {
		g.Underlay[i].W = g.W - 2*margin
	}
}

// placeServices spreads the services over the top.
func (g *Graph) placeServices() {
	boxes := make([]*Box, len(g.Services))
	for i, s := range g.Services {
		boxes[i] = &s.Box
	}
	g.placeRow(margin, serviceH, boxes)
	for i, b := range boxes {
		b.X = margin + (2*i+1)*(g.W-2*margin)/(2*len(boxes)) - b.W/2
	}
}

// outer are the gateway and what is behind it.
func (g *Graph) outer() []*Box {
	if g.Gateway == nil {
		return nil
	}
	return append([]*Box{g.Gateway}, g.Outside...)
}

// placeRow places boxes in rows and returns where the next row begins.
func (g *Graph) placeRow(y, height int, boxes []*Box) int {
	if len(boxes) == 0 {
		return y
	}
	const width = podW + 30
	g.W = max(g.W, 2*margin+width)
	x := margin
	for _, b := range boxes {
		if x+width+margin > g.W && x > margin {
			g.W = x + width + margin
		}
		b.Rect = Rect{x, y, width, height}
		x += width + gap
	}
	return y + height + rowGap
}

func (n *Node) rows() int { return (len(n.Pods) + podsInRow - 1) / podsInRow }

const podRowH = podH + vethLen + chipH + gap

func (n *Node) height() int {
	h := headH + n.rows()*podRowH + rowGap/2 + chipH + rowGap + stackH + rowGap + chipH/2
	if n.Omitted > 0 {
		h += gap
	}
	return h
}

// place places a node and all that is in it.
func (n *Node) place(x, y, height int) {
	columns := max(3, min(len(n.Pods), podsInRow))
	inner := columns*podW + (columns-1)*gap
	n.Rect = Rect{x, y, inner + 2*gap, height}
	left := x + gap
	for i, p := range n.Pods {
		p.Rect = Rect{left + i%podsInRow*(podW+gap), y + headH + i/podsInRow*podRowH, podW, podH}
		if p.Device != nil {
			p.Device.Rect = Rect{p.X, p.Y + podH + vethLen, podW, chipH}
		}
	}
	// From below, so that all nodes of a row end alike.
	bottom := y + height - chipH/2 - rowGap - stackH
	n.Stack.Rect = Rect{left, bottom, inner, stackH}
	for i, d := range n.Devices[:3] {
		d.Rect = Rect{left + i*(podW+gap), bottom - rowGap - chipH, podW, chipH}
	}
	n.Devices[3].Rect = Rect{x + n.W/2 - podW/2, y + height - chipH/2, podW, chipH}
}

// Centre is the middle of a rectangle.
func (r Rect) Centre() Point { return Point{r.X + r.W/2, r.Y + r.H/2} }

// Anchor is where something happens: a place as a trace calls it ("pod default/web",
// "node worker", "gateway", "external dns", "underlay"), and on a node a device, else
// its host stack. It is false for what is not drawn.
func (g *Graph) Anchor(place, device string) (Point, bool) {
	for _, n := range g.Nodes {
		if n.ID == place {
			return n.anchor(device), true
		}
		for _, p := range n.Pods {
			if p.ID == place {
				return p.Centre(), true
			}
		}
	}
	for _, b := range g.outer() {
		if b.ID == place {
			return b.Centre(), true
		}
	}
	if place == "underlay" && len(g.Underlay) > 0 {
		return g.Underlay[0].Centre(), true
	}
	return Point{}, false
}

func (n *Node) anchor(device string) Point {
	for _, d := range n.Devices {
		if d.Name == device {
			return d.Centre()
		}
	}
	for _, p := range n.Pods {
		if p.Device != nil && p.Device.Name == device {
			return p.Device.Centre()
		}
	}
	return n.Stack.Centre()
}

// clip shortens a text to n runes.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	if i := strings.LastIndexByte(s, '/'); i >= 0 && len(s)-i-1 <= n-1 {
		return "…/" + s[i+1:]
	}
	return string(r[:n-1]) + "…"
}

// OverUnderlay is the way between two points that goes along the underlay: where it
// enters it and where it leaves it.
func (g *Graph) OverUnderlay(a, b Point) []Point {
	var out []Point
	for _, p := range []Point{a, b} {
		for i, u := range g.Underlay {
			if u.Y >= p.Y || i == len(g.Underlay)-1 {
				out = append(out, Point{p.X, u.Centre().Y})
				break
			}
		}
	}
	return out
}
