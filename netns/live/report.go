package live

import (
	"slices"
)

// Report is what two labs did differently.
type Report struct {
	Left, Right             Side
	Input                   string
	Programs                int // steps that were run on both sides
	Places                  int // where frames were captured
	LeftFrames, RightFrames int // captured
	Fields                  int // compared
	Changes                 []string
	Differences             []Difference
	Explained               []Difference // legitimate ones
	Unrepeated              []Difference // not there when the program ran once more
	NotCompared             []Gap
}

// Gap is something that was not compared, and why not.
type Gap struct {
	What  string `json:"what"`
	Count int    `json:"count,omitempty"` // 0: not counted
	Why   string `json:"why"`
}

// Same says that nothing differs that should not.
func (r *Report) Same() bool { return len(r.Differences) == 0 }

func (r *Report) gap(what string, n int, why string) {
	r.NotCompared = append(r.NotCompared, Gap{what, n, why})
}

// reasons are the explanations with how often each was needed.
func (r *Report) reasons() []Gap {
	var list []Gap
	for _, d := range r.Explained {
		i := slices.IndexFunc(list, func(g Gap) bool { return g.Why == d.Explained })
		if i < 0 {
			i, list = len(list), append(list, Gap{What: d.Place + ": " + d.What, Why: d.Explained})
		}
		list[i].Count++
	}
	return list
}

// gaps says what is never compared, and what was not this time.
func (c *comparison) gaps(arp int) {
	r := c.report
	r.gap("TCP: sequence and acknowledgement numbers, windows, options, pure acknowledgements, how data is cut into segments and how often one is sent", 0,
		"chosen by chance or by timers, or cut by whoever is nearest to the wire")
	r.gap("ports of clients, ICMP echo ids, the source port of tunnels", 0, "chosen by chance, or a hash of what is")
	r.gap("IPv4 ids and all checksums", 0, "they follow from what is not compared; wrong ones show as what is lost")
	r.gap("payload in captures, and what programs print", 0, "it has times in it; hooklab's own clients compare what comes back, byte for byte")
	r.gap("order and times", 0, "two labs share this machine's processors")
	for _, n := range c.o.Cluster.Nodes() {
		if n.Engine != "" {
			r.gap("engines of node "+n.Name, 0, "its description names engine "+n.Engine+", which it has in both labs")
		}
	}
	if arp > 0 {
		r.gap("ARP answers that one side did not ask for", arp, "which neighbours a kernel asks for again depends on when it last used them")
	}
	if n := c.left.book.other + c.right.book.other; n > 0 {
		r.gap("frames that are neither IPv4 nor ARP", n, "no part of Cilium's IPv4 datapath")
	}
	if n := c.left.cap.untold.Load() + c.right.cap.untold.Load(); n > 0 {
		r.gap("aggregates of several frames", int(n), "the kernel cannot tell a capture how they are to be cut")
	}
	for i, p := range c.places {
		for _, s := range []*side{c.left, c.right} {
			if n := s.cap.lost(i); n > 0 {
				r.gap("frames at "+p.label+" in lab "+s.name, n, "the kernel had no room to keep them for the capture")
			}
		}
	}
}
