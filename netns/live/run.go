package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// Side names an engine and where its code comes from.
type Side struct {
	Engine string `json:"engine"`
	Source string `json:"source,omitempty"`
	Lab    string `json:"lab"`
}

// String is the side for a report's first line.
func (s Side) String() string {
	if s.Source == "" {
		return fmt.Sprintf("%s in lab %s", s.Engine, s.Lab)
	}
	return fmt.Sprintf("%s (%s) in lab %s", s.Engine, s.Source, s.Lab)
}

// Options say what is compared.
type Options struct {
	Cluster     *cluster.Cluster
	Sources     []string // the cluster's files as the user named them
	Left, Right Side     // the labs' names are made from the cluster's if they are ""
	Script      *Script
	// Generated says that the script is nobody's own: programs that are not installed
	// are left out then.
	Generated bool
	// Engines makes the engines that there are, for each lab anew.
	Engines  func() (map[string]lab.Engine, map[string]lab.Attacher)
	RunDir   lab.RunDir // "" is lab.FindRunDir("")
	Version  string     // of hooklab
	Log      *slog.Logger
	Progress func(done, total int, what string)
}

// Run brings both labs up, runs the script in both and takes them down again, whatever
// happens. When ctx ends it stops and still takes them down.
//
// The error wraps lab.ErrRunning, netns.ErrPermission, netns.ErrNotSupported or
// dataplane.ErrNotSupported if this machine cannot do it, and ErrInput for a script that
// needs what there is not.
func Run(ctx context.Context, o Options) (r *Report, err error) {
	c, err := newComparison(&o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.left.close(), c.right.close()) }()
	if err := c.both(func(s *side) error { return c.up(ctx, s) }); err != nil {
		return nil, err
	}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	o.Log.Debug("capturing", "places", len(c.places))
	for i := range o.Script.Steps {
		st := &o.Script.Steps[i]
		if o.Progress != nil {
			o.Progress(i, len(o.Script.Steps), st.Text)
		}
		began := time.Now()
		if err := c.step(ctx, st); err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", o.Script.Name, st.Line, st.Text, err)
		}
		o.Log.Debug("step", "line", st.Line, "text", st.Text, "took", time.Since(began))
		if err := errors.Join(c.left.lab.Err(), c.right.lab.Err()); err != nil {
			return nil, err
		}
	}
	c.finish()
	return c.report, nil
}

// comparison is a run.
type comparison struct {
	o           *Options
	left, right *side
	places      []place
	attempts    int
	report      *Report
}

func newComparison(o *Options) (*comparison, error) {
	c := &comparison{o: o, places: places(o.Cluster)}
	base := o.Cluster.Settings().Name
	const most = 50 // a lab's name has at most 63 characters
	base = strings.TrimRight(base[:min(len(base), most)], "-.")
	for _, s := range []struct {
		side   *Side
		suffix string
	}{{&o.Left, "-left"}, {&o.Right, "-right"}} {
		if s.side.Lab == "" {
			s.side.Lab = base + s.suffix
		}
	}
	if o.RunDir == "" {
		o.RunDir = lab.FindRunDir("")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ports := map[uint16]bool{}
	for i := range o.Script.Steps {
		st := &o.Script.Steps[i]
		for _, a := range append(st.addrs(), st.To) {
			ports[a.Port()] = true
		}
	}
	for _, s := range o.Cluster.Services() {
		for _, p := range s.Ports {
			ports[p.Port] = true
			for _, b := range p.Backends {
				ports[b.Addr.Port()] = true
			}
		}
	}
	for _, s := range []struct {
		into **side
		of   Side
	}{{&c.left, o.Left}, {&c.right, o.Right}} {
		v := &view{tunnelPort: tunnelPort(o.Cluster), servers: ports, names: map[[6]byte]string{}}
		*s.into = &side{name: s.of.Lab, engine: s.of.Engine, run: o.RunDir, book: newBook(v, len(c.places))}
	}
	c.report = &Report{Left: o.Left, Right: o.Right, Input: o.Script.Name}
	return c, c.programs()
}

func tunnelPort(c *cluster.Cluster) uint16 {
	for _, n := range c.Nodes() {
		if cfg, err := c.NodeConfig(n.Name); err == nil {
			return cfg.TunnelPort
		}
	}
	return 0
}

// programs leaves out steps whose program is not installed if nobody has asked for them,
// and refuses them otherwise.
func (c *comparison) programs() error {
	missing := map[string]int{}
	c.o.Script.Steps = slices.DeleteFunc(c.o.Script.Steps, func(st Step) bool {
		name := programsOf(&st)
		if name == "" {
			return false
		}
		if _, err := exec.LookPath(name); err == nil {
			return false
		}
		missing[name]++
		return true
	})
	for name, n := range missing {
		if !c.o.Generated {
			return fmt.Errorf("%s needs the program %s: %w: it is not installed", c.o.Script.Name, name, netns.ErrNotSupported)
		}
		c.report.gap(name, n, "the program is not installed")
	}
	return nil
}

// both does something on both sides at the same time.
func (c *comparison) both(f func(*side) error) error {
	other := make(chan error, 1)
	go func() { other <- f(c.right) }()
	return errors.Join(f(c.left), <-other)
}

// up brings one lab up, with servers and captures.
func (c *comparison) up(ctx context.Context, s *side) (err error) {
	o := lab.Options{
		Cluster: c.o.Cluster, Name: s.name, RunDir: s.run, Engine: s.engine, Sources: c.o.Sources,
		Version: c.o.Version, Log: c.o.Log.With(slog.String("lab", s.name)),
	}
	o.Engines, o.Attachers = c.o.Engines()
	s.kernel = o.Attachers[s.engine] != nil
	if s.lab, err = lab.Up(ctx, o); err != nil {
		return fmt.Errorf("engine %s: %w", s.engine, err)
	}
	if err := c.prepare(s); err != nil {
		return err
	}
	if s.serve, err = serve(s.run, s.name, services(c.o.Cluster, c.o.Script.Steps)); err != nil {
		return err
	}
	s.cap, err = openCapture(s.run, s.name, c.places)
	return err
}

// prepare lets routers send every ICMP error, as how many were sent a moment ago must not
// matter, and gives names to the MAC addresses that the kernel has chosen.
func (c *comparison) prepare(s *side) error {
	const wire = "wire/underlay"
	refs := []string{wire}
	for _, p := range c.places {
		refs = append(refs, p.ref)
	}
	for _, ref := range refs {
		pin, err := s.run.Pin(s.name, ref)
		if err != nil {
			return err
		}
		ns, err := netns.Open(pin)
		if err != nil {
			return err
		}
		links, err := ns.Links()
		if err := errors.Join(err, ns.SetSysctl("net/ipv4/icmp_ratelimit", "0"), ns.Close()); err != nil {
			return err
		}
		if ref != wire && !strings.HasPrefix(ref, "external/") {
			continue
		}
		for _, l := range links {
			// The loopback device has none, a bridge that of one of its ports.
			if _, ok := s.book.view.names[l.MAC]; !ok && l.MAC != (netns.MAC{}) {
				s.book.view.names[l.MAC] = ref + " " + l.Name
			}
		}
	}
	return nil
}

// ready waits until the programs of the lab listen on both sides. One that listens nowhere
// is waited for in vain, but not for long.
func (c *comparison) ready(ctx context.Context) error {
	const most = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, p := range c.o.Cluster.Pods() {
		if len(p.Run) == 0 || p.HostNetwork {
			continue
		}
		for {
			l, err := listening(c.left.run, c.left.name, p.Ref())
			if err != nil {
				return err
			}
			r, err := listening(c.right.run, c.right.name, p.Ref())
			if err != nil {
				return err
			}
			if l == r && l != "" {
				break
			}
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
			}
			if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				c.report.gap("the server of "+ref(&p), 1, fmt.Sprintf("%q does not listen on the same ports on both sides after %s, or on none", strings.Join(p.Run, " "), most))
				return nil
			}
			return context.Cause(ctx)
		}
	}
	return nil
}

// step runs one step on both sides and compares. What differs is looked at once more, and
// if it still does, run once more.
func (c *comparison) step(ctx context.Context, st *Step) error {
	if st.Side != "" {
		return c.change(ctx, st)
	}
	c.report.Programs++
	first, err := c.play(ctx, st)
	if first = c.explained(st, first); err != nil || len(first) == 0 {
		return err
	}
	again, err := c.play(ctx, st)
	if err != nil {
		return err
	}
	repeated := func(d Difference) bool {
		return slices.ContainsFunc(again, func(e Difference) bool { return d.same(&e) })
	}
	var real []Difference
	for _, d := range first {
		if repeated(d) {
			real = append(real, d)
		} else {
			c.report.Unrepeated = append(c.report.Unrepeated, d)
		}
	}
	c.report.Differences = append(c.report.Differences, real...)
	return nil
}

// explained takes the differences that there may be to the report and returns the rest.
func (c *comparison) explained(st *Step, list []Difference) []Difference {
	var rest []Difference
	for _, d := range list {
		d.Step, d.Line = st.Text, st.Line
		if d.Explained = c.explain(&d); d.Explained != "" {
			c.report.Explained = append(c.report.Explained, d)
		} else {
			rest = append(rest, d)
		}
	}
	return rest
}

// change runs a step that is for one side.
func (c *comparison) change(ctx context.Context, st *Step) error {
	s := c.left
	if st.Side == "right" {
		s = c.right
	}
	c.report.Changes = append(c.report.Changes, st.Text)
	n := c.next()
	s.cap.attempt.Store(int64(n))
	result, err := s.attempt(ctx, st, n)
	if err == nil && result != "exit status 0" {
		err = fmt.Errorf("%w: %s: %s", ErrInput, result, strings.TrimSpace(s.output))
	}
	return err
}

func (c *comparison) next() int {
	c.attempts++
	return c.attempts
}

// tries is how often a service with several backends is asked until each has answered.
func tries(backends int) int {
	const each = 12
	return each * backends
}

// play runs a step until there is something to compare, and compares it. Which backend of
// a service is chosen is left to chance on both sides: it is asked until all have been, and
// like is compared with like.
func (c *comparison) play(ctx context.Context, st *Step) ([]Difference, error) {
	if len(st.backends) < 2 {
		n := c.next()
		l, r, err := c.attempt(ctx, st, n)
		if err != nil {
			return nil, err
		}
		return c.compare(ctx, st, n, n, l, r), nil
	}
	type seen struct {
		attempt int
		result  string
	}
	left, right := map[string]seen{}, map[string]seen{}
	addrs := st.addrs()
	for range tries(len(addrs)) {
		n := c.next()
		l, r, err := c.attempt(ctx, st, n)
		if err != nil {
			return nil, err
		}
		for _, x := range []struct {
			s      *side
			into   map[string]seen
			result string
		}{{c.left, left, l}, {c.right, right, r}} {
			b := x.s.book.talk(n).backend(addrs)
			if _, ok := x.into[b]; !ok {
				x.into[b] = seen{n, x.result}
			}
		}
		if len(left) >= len(addrs) && len(right) >= len(addrs) {
			break
		}
	}
	var all []Difference
	for _, b := range append(texts(addrs), "") {
		l, inLeft := left[b]
		r, inRight := right[b]
		switch {
		case inLeft && inRight:
			all = append(all, c.compare(ctx, st, l.attempt, r.attempt, l.result, r.result)...)
		case inLeft != inRight:
			say := map[bool]string{true: "chosen", false: fmt.Sprintf("not in %d tries", tries(len(addrs)))}
			name := b
			if b == "" {
				name = "no backend"
			}
			all = append(all, Difference{Class: classAnswers, What: "backend " + name, Fields: []Row{{"backend", say[inLeft], say[inRight]}}})
		}
	}
	return all, nil
}

func texts(list []netip.AddrPort) []string {
	var all []string
	for _, a := range list {
		all = append(all, a.String())
	}
	return all
}

// attempt runs a step's program on both sides at the same time and waits for what is under
// way.
func (c *comparison) attempt(ctx context.Context, st *Step, n int) (left, right string, err error) {
	results := map[*side]*string{c.left: &left, c.right: &right}
	err = c.both(func(s *side) (err error) {
		s.cap.attempt.Store(int64(n))
		if *results[s], err = s.attempt(ctx, st, n); err != nil {
			return err
		}
		s.cap.quiet(ctx)
		s.look()
		return context.Cause(ctx)
	})
	return left, right, err
}

// compare compares two attempts. If they differ it waits once more for what may be late.
func (c *comparison) compare(ctx context.Context, st *Step, l, r int, left, right string) []Difference {
	var all []Difference
	for range 2 {
		fields := 1
		all = nil
		if left != right {
			all = append(all, Difference{Class: classResult, What: string(st.Kind), Fields: []Row{{"result", left, right}}})
		}
		counted := st.Kind != Command && st.Kind != Shell
		all = append(all, compareTalks(c.left.book.talk(l), c.right.book.talk(r), c.places, counted, &fields)...)
		if len(all) == 0 {
			c.report.Fields += fields
			return nil
		}
		_ = c.both(func(s *side) error {
			s.cap.quiet(ctx)
			s.look()
			return nil
		})
	}
	return all
}

// finish compares what is not of one program, and counts.
func (c *comparison) finish() {
	skipped := 0
	all := compareARP(c.left.book.arp, c.right.book.arp, c.places, &c.report.Fields, &skipped)
	c.report.Differences = append(c.report.Differences, all...)
	c.report.Places = len(c.places)
	c.report.LeftFrames, c.report.RightFrames = c.left.book.frames, c.right.book.frames
	c.gaps(skipped)
}
