package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/journey"
)

// Values of --expect.
const (
	expectDelivered = "delivered"
	expectDropped   = "dropped"
)

// traceFlags are the flags of trace beside those of its target.
type traceFlags struct {
	question journey.Question
	packet   packetFlags
	each     bool
	commit   bool
	states   []string
	icmp     bool
	arp      bool
	tcp, udp uint16
	detail   oneOf
	expect   oneOf
	profiles []string
	engine   oneOf
	setCT    oneOf
	objects  objects

	interactive bool
}

// newTrace makes the command trace.
func newTrace(*app) *cobra.Command {
	f := &traceFlags{
		detail: oneOf{value: string(journey.Full), values: []string{string(journey.Full), string(journey.Summary), string(journey.Minimal)}},
		expect: oneOf{values: []string{expectDelivered, expectDropped}},
		engine: oneOf{value: engineEmulated, values: []string{engineEmulated, bytecode.Name}},
		setCT:  oneOf{values: journey.CTStates()},
	}
	cmd := &cobra.Command{
		Use:     "trace --from NAME --to NAME",
		Short:   "Show what happens to a packet, and why",
		Long:    traceLong,
		Example: traceExample,
		Args:    wants(),
	}
	t := targetFlags(cmd)
	f.register(cmd, t)
	out := traceOutputFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.read(cmd); err != nil {
			return err
		}
		if err := out.check(cmd); err != nil {
			return err
		}
		if err := f.objects.check(cmd, f.engine.value); err != nil {
			return err
		}
		questions, err := f.packet.questions(cmd, f.question)
		if err != nil {
			return err
		}
		if err := f.checkForm(cmd, out, len(questions)); err != nil {
			return usageError(cmd, err)
		}
		c, err := t.cluster(cmd)
		if err != nil {
			return err
		}
		if err := f.objects.adopt(c); err != nil {
			return err
		}
		if err := f.checkEnds(c); err != nil {
			return err
		}
		st, err := f.state(cmd, t, c)
		if err != nil {
			return err
		}
		if f.interactive {
			return f.step(cmd, c, st, questions)
		}
		js, err := f.answer(c, st, questions)
		if err != nil {
			return err
		}
		out.parting = len(f.profiles) == 2
		if err := out.write(cmd, js, f.detail.value); err != nil {
			return err
		}
		return f.judgeAll(js)
	}
	return cmd
}

// register adds the flags.
func (f *traceFlags) register(cmd *cobra.Command, t *target) {
	fl, q := cmd.Flags(), &f.question
	fl.StringVar(&q.From, "from", "", "`NAME` of who sends: a pod, node/NODE, an external host or an IP address")
	fl.StringVar(&q.To, "to", "", "`NAME` of the receiver: also svc/NAME")
	fl.BoolVar(&f.icmp, "icmp", false, "send an ICMP echo request (the default)")
	fl.BoolVar(&f.arp, "arp", false, "let the pod ask with ARP for the address of --to")
	fl.Uint16Var(&f.tcp, "tcp", 0, "send a TCP segment to `PORT`")
	fl.Uint16Var(&f.udp, "udp", 0, "send a UDP datagram to `PORT`")
	fl.Uint16Var(&q.SourcePort, "sport", 0, "source `PORT`, or id of the echo request (default by chance)")
	fl.StringVar(&q.Flags, "flags", "", "`FLAGS` of the TCP segment, such as SYN,ACK (default SYN)")
	fl.BoolVar(&q.Conversation, "conversation", false, "with --tcp: connect, send the data of --size, close; the verdict is about the first packet that does not arrive")
	fl.Uint8Var(&q.TTL, "ttl", 0, "`TTL` of the packet, 1 to 255 (default 64)")
	fl.BoolVar(&q.DontFragment, "df", false, "set DF even if the packet is too long for the route")
	fl.IntVar(&q.Size, "size", 0, "`BYTES` of data (default 56 for ICMP, 0 otherwise)")
	fl.Var(&f.setCT, "set-ct", "what Cilium's conntrack knows of the packet's connection, whatever the maps say: "+strings.Join(f.setCT.values, ", "))
	fl.BoolVar(&f.each, "each-backend", false, "one trace for each backend that the service may choose")
	fl.BoolVar(&f.commit, "commit", false, "keep what the packets change: for the next one of --pcap, and in the files of --state; else nothing changes")
	fl.StringArrayVar(&f.states, "state", nil, "maps as 'map dump' or bpftool wrote them: [NODE=]`PATH` of a file or directory, NODE=agent for those that the agent writes; may be repeated")
	f.packet.register(cmd, q, t)
	fl.BoolVarP(&f.interactive, "interactive", "i", false, "go through it step by step, with commands from standard input; help lists them")
	fl.Var(&f.detail, "detail", "how much the text tells: "+strings.Join(f.detail.values, ", "))
	fl.Var(&f.engine, "engine", "what runs the datapath: "+strings.Join(f.engine.values, ", ")+"; bytecode shows a BPF object's way through its own code")
	f.objects.register(cmd)
	fl.Var(&f.expect, "expect", "exit with 1 unless the packet is: "+strings.Join(f.expect.values, ", "))
	fl.StringSliceVar(&f.profiles, "profile", nil, "trace as another `PROFILE` would do it; two, separated by a comma, show where they part: "+strings.Join(profileNames(), ", "))
	complete(cmd, "profile", profileNames()...)
	complete(cmd, "set-ct", f.setCT.values...)
	complete(cmd, "detail", f.detail.values...)
	complete(cmd, "engine", f.engine.values...)
	complete(cmd, "expect", f.expect.values...)
	for _, flag := range []string{"from", "to"} {
		completeFunc(cmd, flag, func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return endNames(cmd, t, flag == "to"), cobra.ShellCompDirectiveNoFileComp
		})
	}
	cmd.MarkFlagsMutuallyExclusive("icmp", "arp", "tcp", "udp")
	cmd.MarkFlagsMutuallyExclusive("packet", "pcap")
}

// endNames completes an end of a question.
func endNames(cmd *cobra.Command, t *target, services bool) []string {
	c, err := t.cluster(cmd)
	if err != nil {
		return nil
	}
	return ends(c, services)
}

// ends are the names that an end of a question may have.
func ends(c *cluster.Cluster, services bool) []string {
	var names []string
	for _, p := range c.Pods() {
		names = append(names, p.Ref())
	}
	for _, n := range c.Nodes() {
		names = append(names, "node/"+n.Name)
	}
	for _, s := range c.Services() {
		if services && !s.Headless {
			names = append(names, "svc/"+s.Ref())
		}
	}
	settings := c.Settings()
	for _, x := range settings.External {
		names = append(names, x.Name)
	}
	return names
}

// read makes the question of the flags.
func (f *traceFlags) read(cmd *cobra.Command) error {
	q, given := &f.question, cmd.Flags().Changed
	if err := f.packet.read(cmd, q); err != nil {
		return usageError(cmd, err)
	}
	q.SetCT = journey.CTState(f.setCT.value)
	if err := f.readProfiles(); err != nil {
		return usageError(cmd, err)
	}
	switch {
	case f.packet.given(cmd):
		return nil // Check is for each packet
	case given("tcp"):
		q.Protocol, q.Port = journey.TCP, f.tcp
	case given("udp"):
		q.Protocol, q.Port = journey.UDP, f.udp
	case f.arp:
		q.Protocol = journey.ARP
	default:
		q.Protocol = journey.ICMP
	}
	for _, end := range []string{"from", "to"} {
		if !given(end) {
			return usageError(cmd, fmt.Errorf("--%s is missing", end))
		}
	}
	if given("sport") && q.SourcePort == 0 {
		return usageError(cmd, errors.New("--sport 0: from 1 to 65535"))
	}
	if given("ttl") && q.TTL == 0 {
		return usageError(cmd, errors.New("--ttl 0: a packet with TTL 0 is not sent"))
	}
	if err := q.Check(); err != nil {
		return usageError(cmd, err)
	}
	return nil
}

// readProfiles checks flags that go for any packet.
func (f *traceFlags) readProfiles() error {
	if f.commit && f.each {
		return errors.New("--commit and --each-backend: each backend is tried with the same maps")
	}
	if f.commit && f.setCT.value != "" {
		return errors.New("--commit and --set-ct: what is only assumed is not kept")
	}
	if len(f.profiles) > 1 && (f.commit || len(f.states) > 0) {
		return errors.New("--state and --commit need one profile: the maps of one do not fit another")
	}
	if len(f.profiles) > 2 {
		return fmt.Errorf("--profile %s: at most two", strings.Join(f.profiles, ","))
	}
	for _, p := range f.profiles {
		if !slices.Contains(profileNames(), p) {
			return fmt.Errorf("--profile %q; allowed: %s", p, strings.Join(profileNames(), ", "))
		}
	}
	return nil
}

// checkForm refuses forms that cannot show as many journeys as were asked for.
func (f *traceFlags) checkForm(cmd *cobra.Command, out traceOutput, questions int) error {
	switch several := f.each || questions > 1; {
	case len(f.profiles) > 1 && (out.format != formatText || cmd.Flags().Changed("detail")):
		return errors.New("-o and --detail show one journey: give one profile")
	case len(f.profiles) > 1 && several:
		return errors.New("--each-backend and several packets of --pcap: give one profile")
	case several && out.format == formatHTML:
		return fmt.Errorf("-o %s shows one journey; --each-backend and several packets of --pcap need another form", out.format)
	}
	return nil
}

// checkEnds finds both ends and the hook in the cluster, or the names that may have
// been meant.
func (f *traceFlags) checkEnds(c *cluster.Cluster) error {
	for _, end := range []string{f.question.From, f.question.To} {
		if end == "" {
			continue
		}
		if err := meant(journey.CheckEnd(c, end), end, ends(c, true)); err != nil {
			return err
		}
	}
	if f.question.Hook == "" {
		return nil
	}
	_, err := journey.ParseHook(c, f.question.Hook)
	return meant(err, f.question.Hook, hooks(c))
}

// meant is an error about a name with those that somebody may have meant.
func meant(err error, word string, names []string) error {
	if err == nil {
		return nil
	}
	if near := nearestEnds(word, names); len(near) > 0 && errors.Is(err, cluster.ErrInput) {
		return usagef("nobody is called %q; did you mean %s?", word, strings.Join(near, " or "))
	}
	return exitWith(exitUsage, err)
}

// nearestEnds are the names that somebody may have meant, at most three of those that
// differ least.
func nearestEnds(word string, names []string) []string {
	least := len(word)/2 + 1
	var near []string
	for _, name := range names {
		d := min(distance(word, name), distance(word, strings.TrimPrefix(name, "default/")),
			distance(word, strings.Replace(name, "svc/default/", "svc/", 1)), distance(word, strings.TrimPrefix(name, "node/")))
		switch {
		case d > least:
		case d < least:
			least, near = d, []string{name}
		case len(near) < 3:
			near = append(near, name)
		}
	}
	return near
}

// judgeAll is the exit code of all journeys: what is not known counts first.
func (f *traceFlags) judgeAll(js []*journey.Journey) error {
	var first error
	for _, j := range js {
		err := f.judge(j.Verdict.Outcome)
		if exitCode(err) == exitUnknown {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// judge is the exit code of an outcome.
func (f *traceFlags) judge(o journey.Outcome) error {
	met := true
	switch f.expect.value {
	case expectDelivered:
		met = o == journey.Delivered || o == journey.ToStack
	case expectDropped:
		met = o == journey.Dropped || o == journey.Lost
	}
	switch {
	case o == journey.Unknown:
		return exitWith(exitUnknown, nil)
	case !met:
		return exitWith(exitFailed, fmt.Errorf("expected the packet to be %s, but it is %s", f.expect.value, o))
	}
	return nil
}

// oneOf is a flag with a few values.
type oneOf struct {
	value  string
	values []string
}

// String is the chosen value.
func (o *oneOf) String() string { return o.value }

// Set takes one of the values.
func (o *oneOf) Set(s string) error {
	if !slices.Contains(o.values, s) {
		return fmt.Errorf("allowed: %s", strings.Join(o.values, ", "))
	}
	o.value = s
	return nil
}

// Type is what the help text calls the flag's value.
func (o *oneOf) Type() string { return "WORD" }
