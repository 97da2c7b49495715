package compare

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
)

// startTime is what the clock shows at a scenario's beginning.
const startTime = 1000 * time.Second

// Parse reads a scenario. The text is a txtar archive: statements, one a line, and then
// the cluster's description as files named *.yaml; without such files the cluster is
// the one given. Statements are
//
//	# a comment
//	node NAME                       the node that is looked at; first of all
//	set NAME VALUE                  a setting of its datapath (SettingNames)
//	set verdicts POD 0-3            report policy verdicts: 1 ingress, 2 egress
//	set reload POD 1                load its programs, unload them, load them again
//	at DURATION, after DURATION     the clock, 1000s at the beginning
//	map NAME set KEY VALUE          write a map entry, both in hex
//	map NAME del KEY                remove one, or the program in a slot of a prog array
//	policy POD allow|deny|del ingress|egress [identity N] [PROTO PORT] [proxy PORT]
//	A > B tcp SYN [KEY=VALUE]...    a packet; A and B are pods, node/NAME, svc/NAME or
//	                                addresses, with :PORT; also udp, icmp KIND, arp,
//	                                proto N; keys: sport, dport, ttl, tos, id, echo,
//	                                frag, more, df, len, mark, tc_index, vni, rand, fail
//	reply tcp SYN,ACK [KEY=VALUE]...  the receiver of the packet before answers
//	packet PROG DEVICE frame=HEX [KEY=VALUE]...  exactly that frame at that hook; keys:
//	                                iif, mark, hash, tc_index, queue, cb=A,B,C,D,E,
//	                                tunnel=VNI@IP/TTL/TOS, csum=partial, rand,
//	                                fail=HELPER,… (store-bytes, l4-csum, ct-update)
//	expect ok|unspec|drop [REASON]|redirect [DEVICE]  what must come of the packet before
//	expect mark N|vni N|events N|FIELD VALUE          FIELD: of the frame, such as ip.ttl
//
// Errors satisfy errors.Is(err, ErrInput), or cluster.ErrInput for the description, and
// begin with name and line.
func Parse(name string, data []byte, given []cluster.Source) (*Scenario, error) {
	a := txtar.Parse(data)
	p := parser{s: &Scenario{Name: name, Cluster: given}, now: startTime}
	var files []cluster.Source
	for _, f := range a.Files {
		if !strings.HasSuffix(f.Name, ".yaml") && !strings.HasSuffix(f.Name, ".yml") && !strings.HasSuffix(f.Name, ".json") {
			return nil, inputErrorf(name, 0, "file %s in the archive: only *.yaml, *.yml and *.json describe a cluster", f.Name)
		}
		files = append(files, cluster.Source{Name: name + ":" + f.Name, Data: f.Data})
	}
	if len(files) > 0 {
		p.s.Cluster = files
	}
	if len(p.s.Cluster) == 0 {
		return nil, inputErrorf(name, 0, "no cluster: give -f FILE, or put '-- cluster.yaml --' and the description behind the steps")
	}
	line := 0
	for text := range strings.Lines(string(a.Comment)) {
		line++
		if err := p.line(line, strings.TrimSpace(text)); err != nil {
			return nil, inputErrorf(name, line, "%w", err)
		}
	}
	if len(p.s.Steps) == 0 {
		return nil, inputErrorf(name, 0, "no packet: a step is 'POD > POD tcp SYN', 'packet …', 'map …' or 'policy …'")
	}
	return p.s, p.resolve()
}

// parser is a scenario being read.
type parser struct {
	s   *Scenario
	now time.Duration
}

// line reads one statement.
func (p *parser) line(n int, text string) error {
	text, _, _ = strings.Cut(text, "#")
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil
	}
	if len(words) > 1 && words[1] == ">" {
		if len(words) < 3 {
			return errors.New("to whom? want 'A > B PROTOCOL'")
		}
		p.add(Step{Line: n, talk: &talk{from: words[0], to: words[2], words: words[3:]}})
		return nil
	}
	args := words[1:]
	switch words[0] {
	case "node":
		if len(args) != 1 || p.s.Node != "" || len(p.s.Steps) > 0 {
			return errors.New("node: want one NAME, once and before all steps")
		}
		p.s.Node = args[0]
	case "set":
		return p.set(n, args)
	case "at", "after":
		return p.clock(words[0], args)
	case "map":
		return p.edit(n, args)
	case "policy":
		p.add(Step{Line: n, policy: args})
	case "packet":
		in, err := parsePacket(args)
		if err != nil {
			return err
		}
		p.add(Step{Line: n, Packet: in})
	case "reply":
		p.add(Step{Line: n, talk: &talk{words: args}})
	case "expect":
		return p.expect(n, args)
	default:
		return fmt.Errorf("%q: allowed: node, set, at, after, map, policy, packet, reply, expect, and A > B", words[0])
	}
	return nil
}

func (p *parser) add(st Step) {
	st.At = p.now
	p.s.Steps = append(p.s.Steps, st)
}

func (p *parser) set(n int, args []string) error {
	x := Setting{Line: n}
	switch {
	case len(args) == 3 && ofEndpoint(args[0]):
		x.Name, x.Device = args[0], args[1]
	case len(args) == 2 && !ofEndpoint(args[0]):
		x.Name = args[0]
	default:
		return fmt.Errorf("set: want NAME VALUE, or %s POD VALUE, or %s POD VALUE", settingVerdicts, settingReload)
	}
	v, err := settingValue(x.Name, args[len(args)-1])
	if err != nil {
		return err
	}
	if len(p.s.Steps) > 0 {
		return errors.New("set: settings come before all steps")
	}
	x.Value = v
	p.s.Settings = append(p.s.Settings, x)
	return nil
}

func (p *parser) clock(word string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s: want one DURATION, such as 90s or 6h", word)
	}
	d, err := time.ParseDuration(args[0])
	if err != nil || d < 0 {
		return fmt.Errorf("%s %s: not a DURATION, such as 90s or 6h", word, args[0])
	}
	if word == "after" {
		d += p.now
	}
	if d < p.now {
		return fmt.Errorf("%s %s: the clock shows %s already", word, args[0], p.now)
	}
	p.now = d
	return nil
}

func (p *parser) edit(n int, args []string) error {
	if len(args) < 3 || args[1] == "set" && len(args) != 4 || args[1] == "del" && len(args) != 3 || args[1] != "set" && args[1] != "del" {
		return errors.New("map: want NAME set KEY VALUE, or NAME del KEY")
	}
	e := &Edit{Map: args[0]}
	var err error
	if e.Key, err = hex.DecodeString(args[2]); err != nil {
		return fmt.Errorf("map %s: key: %w", e.Map, err)
	}
	if args[1] == "set" {
		if e.Value, err = hex.DecodeString(args[3]); err != nil {
			return fmt.Errorf("map %s: value: %w", e.Map, err)
		}
	}
	if k, v := layoutOf(e.Map); k != nil && v == nil && e.Value != nil {
		return fmt.Errorf("map %s: the numbers of programs are an engine's own: slots can only be emptied, by del", e.Map)
	} else if k == nil {
		return fmt.Errorf("map %s: not a map that packets are compared on", e.Map)
	} else if !decodeInto(k, e.Key) || e.Value != nil && !decodeInto(v, e.Value) {
		return fmt.Errorf("map %s: key or value has the wrong size", e.Map)
	}
	p.add(Step{Line: n, Edit: e})
	return nil
}

func (p *parser) expect(n int, args []string) error {
	if len(p.s.Steps) == 0 || p.s.Steps[len(p.s.Steps)-1].Edit != nil || p.s.Steps[len(p.s.Steps)-1].policy != nil {
		return errors.New("expect: no packet before it")
	}
	if len(args) == 0 {
		return errors.New("expect: what? ok, unspec, drop, redirect, mark, vni, events or a field of the frame")
	}
	e := Expectation{Line: n, Field: args[0], Value: strings.Join(args[1:], " ")}
	switch e.Field {
	case expectOK, expectUnspec:
		if e.Value != "" {
			return fmt.Errorf("expect %s: nothing belongs behind it", e.Field)
		}
	case expectDrop, expectRedirect: // alone or with more
	case expectMark, expectVNI, expectEvents:
		if _, err := strconv.ParseUint(e.Value, 0, 32); err != nil {
			return fmt.Errorf("expect %s: want a number", &e)
		}
	default:
		if e.Value == "" || !strings.Contains(e.Field, ".") {
			return fmt.Errorf("expect %s: want ok, unspec, drop, redirect, mark N, vni N, events N, or a field of the frame such as ip.ttl with its value", e.Field)
		}
	}
	last := &p.s.Steps[len(p.s.Steps)-1]
	last.Expect = append(last.Expect, e)
	return nil
}

// resolve checks every step against the world, and makes what needs the cluster.
func (p *parser) resolve() error {
	w, err := p.s.Build()
	if err != nil {
		return err
	}
	for i := range p.s.Steps {
		st := &p.s.Steps[i]
		if err := st.resolve(w); err != nil {
			return inputErrorf(p.s.Name, st.Line, "%w", err)
		}
	}
	return nil
}

func (st *Step) resolve(w *World) (err error) {
	switch {
	case st.policy != nil:
		if st.Edit, err = w.policyEdit(st.policy); err != nil {
			return err
		}
		st.policy = nil
	case st.talk != nil && st.talk.from != "":
		if st.Packet, err = st.talk.resolve(w, nil); err != nil {
			return err
		}
		st.talk = nil
	}
	if st.Packet != nil {
		if _, _, err := w.hook(st.Packet); err != nil {
			return err
		}
	}
	for _, e := range st.Expect {
		if e.Field == expectRedirect && e.Value != "" {
			if _, err := w.device(e.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// parsePacket reads what follows the word packet.
func parsePacket(args []string) (*Input, error) {
	if len(args) < 3 {
		return nil, errors.New("packet: want PROG DEVICE frame=HEX and more as KEY=VALUE")
	}
	prog, ok := dataplane.ParseProg(args[0])
	if !ok {
		return nil, fmt.Errorf("packet %s: no such program", args[0])
	}
	in := &Input{Prog: prog, Device: args[1]}
	for _, word := range args[2:] {
		key, text, _ := strings.Cut(word, "=")
		if err := in.set(key, text); err != nil {
			return nil, fmt.Errorf("packet: %w", err)
		}
	}
	if in.Frame == nil {
		return nil, errors.New("packet: frame=HEX is missing")
	}
	return in, nil
}

// maxFrame is the longest frame that a scenario may have.
const maxFrame = 65535

func (in *Input) set(key, text string) (err error) {
	switch key {
	case "frame":
		if in.Frame, err = hex.DecodeString(text); err == nil && len(in.Frame) > maxFrame {
			err = fmt.Errorf("%d bytes, at most %d", len(in.Frame), maxFrame)
		}
		if in.Frame == nil {
			in.Frame = []byte{}
		}
	case "iif":
		in.IngressIfindex, err = parse32(text)
	case "mark":
		in.Mark, err = parse32(text)
	case "hash":
		in.Hash, err = parse32(text)
	case "rand":
		in.Rand, err = parse32(text)
	case "tc_index":
		in.TCIndex, err = parse16(text)
	case "queue":
		in.QueueMapping, err = parse16(text)
	case "cb":
		parts := strings.Split(text, ",")
		if len(parts) != len(in.CB) {
			return fmt.Errorf("cb=%s: want %d numbers", text, len(in.CB))
		}
		for i, s := range parts {
			if in.CB[i], err = parse32(s); err != nil {
				return fmt.Errorf("cb=%s: %w", text, err)
			}
		}
	case "csum":
		if text != "partial" {
			return fmt.Errorf("csum=%s: allowed: partial", text)
		}
		in.Partial = true
	case "fail":
		in.Fail, err = parseFailures(text)
	case "tunnel":
		in.Tunnel, err = parseTunnel(text)
	default:
		return fmt.Errorf("%s: allowed: frame, iif, mark, hash, tc_index, queue, cb, csum, fail, tunnel, rand", key)
	}
	if err != nil {
		return fmt.Errorf("%s=%s: %w", key, text, err)
	}
	return nil
}

func parse32(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 0, 32)
	return uint32(n), err
}

func parse16(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 0, 16)
	return uint16(n), err
}

// parseTunnel reads VNI@IP/TTL/TOS.
func parseTunnel(s string) (dataplane.TunnelKey, error) {
	k := dataplane.TunnelKey{Present: true}
	id, rest, ok := strings.Cut(s, "@")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return k, errors.New("want VNI@IP/TTL/TOS")
	}
	n, err := parse32(id)
	if err != nil {
		return k, err
	}
	a, err := netip.ParseAddr(parts[0])
	if err != nil || !a.Is4() {
		return k, fmt.Errorf("%s is not an IPv4 address", parts[0])
	}
	ttl, err := strconv.ParseUint(parts[1], 10, 8)
	if err != nil {
		return k, err
	}
	tos, err := strconv.ParseUint(parts[2], 10, 8)
	k.ID, k.Remote, k.TTL, k.TOS = n, a.As4(), uint8(ttl), uint8(tos)
	return k, err
}
