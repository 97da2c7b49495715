package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/journey"
)

// packetFlags are the flags of trace that give a packet in bytes and say where it
// begins.
type packetFlags struct {
	packet, pcap string
	mark, vni    uint32
	src, dst     string // of the tunnel
}

// register adds the flags.
func (f *packetFlags) register(cmd *cobra.Command, q *journey.Question, t *target) {
	fl := cmd.Flags()
	fl.IntVarP(&q.Count, "number", "n", 1, "send `N` packets, one a second: later ones meet what those before have left")
	fl.StringVar(&f.packet, "packet", "", "trace the packet with these bytes, in `HEX` as tcpdump -xx or xxd prints it, - for standard input; it begins where its source address is at home, at the pod --from or at --hook")
	fl.StringVar(&f.pcap, "pcap", "", "trace each packet of a pcap or pcapng `FILE`, - for standard input")
	fl.StringVar(&q.Hook, "hook", "", "let the packet begin at `HOOK`@WHERE: from-container and to-container of a pod, from-host, to-host, from-overlay, to-overlay, from-netdev and to-netdev of a node")
	fl.Uint32Var(&f.mark, "mark", 0, "`MARK` that the packet has at --hook")
	fl.Uint32Var(&f.vni, "vni", 0, "`VNI` at from-overlay and to-overlay (default the sender's identity)")
	fl.StringVar(&f.src, "tunnel-src", "", "node or `ADDRESS` that a packet at from-overlay comes from (default the sender's node)")
	fl.StringVar(&f.dst, "tunnel-dst", "", "node or `ADDRESS` that a packet at to-overlay goes to (default the receiver's node)")
	completeFunc(cmd, "pcap", cobra.FixedCompletions([]cobra.Completion{"pcap", "pcapng", "gz"}, cobra.ShellCompDirectiveFilterFileExt))
	completeFunc(cmd, "hook", func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		c, err := t.cluster(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return hooks(c), cobra.ShellCompDirectiveNoFileComp
	})
}

// hooks are the hooks of a cluster.
func hooks(c *cluster.Cluster) []string {
	var names []string
	for _, n := range c.Nodes() {
		for _, section := range []string{"from-host", "to-host", "from-overlay", "to-overlay", "from-netdev", "to-netdev"} {
			names = append(names, section+"@"+n.Name)
		}
	}
	pods := c.Pods()
	for i := range pods {
		if !pods[i].HostNetwork {
			names = append(names, "from-container@"+pods[i].Ref(), "to-container@"+pods[i].Ref())
		}
	}
	return names
}

// given says that the packet is given in bytes.
func (f *packetFlags) given(cmd *cobra.Command) bool {
	return cmd.Flags().Changed("packet") || cmd.Flags().Changed("pcap")
}

// read takes over what the flags say about where the packet begins.
func (f *packetFlags) read(cmd *cobra.Command, q *journey.Question) error {
	given := cmd.Flags().Changed
	if f.given(cmd) {
		for _, other := range []string{"to", "icmp", "arp", "tcp", "udp", "sport", "flags", "conversation", "ttl", "df", "size"} {
			if given(other) {
				return fmt.Errorf("--%s: a packet of --packet or --pcap has its own", other)
			}
		}
	}
	if given("number") && (q.Count < 1 || q.Count > journey.MaxCount) {
		return fmt.Errorf("-n %d: from 1 to %d", q.Count, journey.MaxCount)
	}
	if q.Count == 1 {
		q.Count = 0
	}
	if given("mark") {
		q.Mark = &f.mark
	}
	if given("vni") {
		q.VNI = &f.vni
	}
	for _, end := range []struct{ flag, section, value string }{{"tunnel-src", "from-overlay", f.src}, {"tunnel-dst", "to-overlay", f.dst}} {
		if !given(end.flag) {
			continue
		}
		if !strings.HasPrefix(q.Hook, end.section+"@") {
			return fmt.Errorf("--%s is for --hook %s", end.flag, end.section)
		}
		q.Tunnel = end.value
	}
	return nil
}

// asked is a question and when it is asked.
type asked struct {
	q     journey.Question
	after time.Duration // since the one before
	why   string        // it cannot be answered; "" if it can
}

// questions are the flags' question, or one for each packet of --pcap.
func (f *packetFlags) questions(cmd *cobra.Command, q journey.Question) ([]asked, error) {
	switch {
	case cmd.Flags().Changed("pcap"):
		return f.capture(cmd, q)
	case !cmd.Flags().Changed("packet"):
		return []asked{{q: q}}, nil
	}
	text := f.packet
	if text == "-" {
		b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
		if err != nil {
			return nil, fmt.Errorf("--packet -: %w", err)
		}
		text = string(b)
	}
	frame, err := journey.ParsePacket(text)
	if err != nil {
		return nil, usagef("--packet: %w", err)
	}
	q.Packet = frame
	return []asked{{q: q}}, nil
}

// capture makes a question of each packet of a capture. All of it is read before
// anything is answered.
func (f *packetFlags) capture(cmd *cobra.Command, q journey.Question) (out []asked, err error) {
	name, r := f.pcap, cmd.InOrStdin()
	if name == "-" {
		name = "standard input"
	} else {
		file, err := os.Open(name)
		if err != nil {
			return nil, usagef("--pcap: %w", err)
		}
		defer file.Close() //nolint:errcheck // only read from
		r = file
	}
	interfaces, records, err := dissect.ReadAll(r)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, usagef("--pcap %s: the capture is cut off after packet %d: %w", name, len(records), err)
	case err != nil:
		return nil, usagef("--pcap %s: %w", name, err)
	case len(records) == 0:
		return nil, usagef("--pcap %s: the capture has no packets", name)
	}
	for i := range records {
		rec := &records[i]
		a := asked{q: q}
		a.q.Origin = fmt.Sprintf("packet %d of %s", i+1, name)
		a.q.Packet, err = dissect.EthernetFrame(interfaces[rec.Interface].LinkType, rec.Data)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return nil, usagef("--pcap %s: packet %d: %w", name, i+1, err)
		case err != nil, len(rec.Data) == 0:
			return nil, usagef("--pcap %s: packet %d is no frame: %w", name, i+1, errors.Join(err, errEmpty(rec.Data)))
		case rec.OrigLen > len(rec.Data):
			a.why = fmt.Sprintf("the capture has only the first %d of its %d bytes", len(rec.Data), rec.OrigLen)
		}
		if i > 0 {
			a.after = max(rec.Time.Sub(records[i-1].Time), 0)
		}
		out = append(out, a)
	}
	return out, nil
}

func errEmpty(b []byte) error {
	if len(b) == 0 {
		return errors.New("it has no bytes")
	}
	return nil
}
