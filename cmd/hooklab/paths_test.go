package main

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// pathsCluster has an end for each kind of path: two nodes, hosts outside of them in
// the underlay and behind the gateway, and services with all kinds of backends.
const pathsCluster = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: paths}
spec:
  nodes: [{name: a}, {name: b}]
  external:
  - {name: neighbour, ip: 172.18.255.1, run: [whoami]}
  - {name: world, ip: 8.8.8.8, run: [whoami]}
  pods:
  - {name: client, node: a}
  - {name: same, node: a, labels: {at: same, all: web, self: "1"}, run: [whoami]}
  - {name: other, node: b, labels: {at: other, all: web}, run: [whoami]}
  - {name: dns, node: b, run: [dnsmasq, -k, -p, "53", -h, -R, --user=, --group=, --pid-file=, -A, /pod.test/10.1.2.3]}
  - {name: iperf, node: a, run: [iperf3, -s]}
  services:
  - {name: near, selector: {at: same}, ports: [80]}
  - {name: far, selector: {at: other}, ports: [80]}
  - {name: web, selector: {all: web}, ports: [80]}
  - {name: self, selector: {self: "1"}, ports: [80]}
  - {name: dns, selector: {run: dns}, ports: [{port: 53, protocol: UDP}]}
  - {name: iperf, selector: {run: iperf}, ports: [5201]}
  - {name: empty, selector: {run: nobody}, ports: [80]}
`

// TestPrivilegedPaths drives every path of the lab with the programs that people use,
// on both kinds of wire, and as an ordinary user.
func TestPrivilegedPaths(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{{"--wire", "tap"}, {"--wire", "veth"}, {"--engine", "kernel"}} {
		t.Run(flags[1], func(t *testing.T) {
			t.Parallel()
			testPaths(t, newSession(t), flags...)
		})
	}
	t.Run("user", func(t *testing.T) {
		t.Parallel()
		testPaths(t, newUserSession(t))
	})
}

func testPaths(t *testing.T, s *session, flags ...string) {
	t.Helper()
	s.write("cluster.yaml", pathsCluster)
	s.run(append([]string{"up", "--detach"}, flags...)...)
	p := newPaths(s)
	for _, server := range []string{"same", "other", "neighbour", "world"} {
		s.until(`:\d+\n`, "exec", p.ref(server), "--", "curl", "-s", "-m", "30", server)
	}
	s.until("10.1.2.3", "exec", "dns", "--", "dig", "+short", "+time=1", "+tries=1", "@"+p.ip["dns"], "pod.test")
	s.until("sender", "exec", "iperf", "--", "iperf3", "-c", p.ip["iperf"], "-n", "1K")
	// The way to the world is narrower, and a neighbour knows the way to the pods.
	s.run("exec", "wire/underlay", "--", "ip", "link", "set", "external1", "mtu", "1300")
	s.run("exec", "external/neighbour", "--", "ip", "route", "add", netip.PrefixFrom(netip.MustParseAddr(p.ip["router/a"]), 24).Masked().String(), "via", p.ip["a"])
	// Errors that several cases cause at once must not be held back (icmp_ratelimit).
	for _, router := range []string{"wire/underlay", "node/a", "node/b"} {
		s.run("exec", router, "--", "sh", "-c", "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit")
	}
	p.metrics = s.run("map", "get", "cilium_metrics", "--node", "a")
	t.Run("traffic", func(t *testing.T) {
		for _, c := range p.cases() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				p.check(t, &c)
			})
		}
		t.Run("wire", func(t *testing.T) {
			t.Parallel()
			p.wire(t)
		})
	})
	p.afterwards()
}

// paths is the cluster with what was allocated.
type paths struct {
	*session
	ip       map[string]string // of pods, services ("svc/web"), nodes, routers ("router/a") and hosts outside
	identity map[string]string // of pods
	metrics  string            // before the traffic
}

func newPaths(s *session) *paths {
	p := &paths{session: s, ip: map[string]string{"neighbour": "172.18.255.1", "world": "8.8.8.8"}, identity: map[string]string{}}
	rows := func(kind string) [][]string {
		var all [][]string
		for line := range strings.Lines(s.run("get", kind)) {
			all = append(all, strings.Fields(line))
		}
		return all
	}
	column := func(head []string, name string) int {
		for i, h := range head {
			if h == name {
				return i
			}
		}
		s.tb.Fatalf("no column %s in %v", name, head)
		return 0
	}
	pods := rows("pods")
	for _, r := range pods[1:] {
		p.ip[r[column(pods[0], "NAME")]] = r[column(pods[0], "IP")]
		p.identity[r[column(pods[0], "NAME")]] = r[column(pods[0], "IDENTITY")]
	}
	services := rows("services")
	for _, r := range services[1:] {
		p.ip["svc/"+r[column(services[0], "NAME")]] = r[column(services[0], "CLUSTER-IP")]
	}
	nodes := rows("nodes")
	for _, r := range nodes[1:] {
		p.ip[r[column(nodes[0], "NAME")]] = r[column(nodes[0], "INTERNAL-IP")]
		p.ip["router/"+r[column(nodes[0], "NAME")]] = r[column(nodes[0], "ROUTER-IP")]
	}
	return p
}

// ref is how exec names a pod, node or host.
func (p *paths) ref(name string) string {
	switch name {
	case "a", "b":
		return "node/" + name
	case "neighbour", "world":
		return "external/" + name
	}
	return name
}

// pathCase is a command somewhere in the lab and what it must write. In both, {NAME}
// is an address.
type pathCase struct {
	name, from, command string
	want                string // regular expression
	fails               bool
}

// cases follow the list of paths. The TTLs are those of SPEC 3.7: 64 less what the
// programs and kernels on the answer's way take.
func (p *paths) cases() []pathCase {
	cases := []pathCase{
		{name: "routes of a pod", from: "client", command: "ip route", want: `(?m)\Adefault via {router/a} dev eth0 mtu 1450 \n{router/a} dev eth0 scope link \n\z`},
		{name: "routes of a node", from: "a", command: "ip route", want: `(?m)^{router/a} dev cilium_host scope link $`},
		{name: "router address", from: "a", command: "ip -4 address show cilium_host", want: `inet {router/a}/32 scope`},
		{name: "names", from: "client", command: "cat /etc/hosts", want: `(?m)^{svc/web}\tweb web.default web.default.svc`},
		{name: "time exceeded", from: "client", command: "traceroute -n -q 1 -w 3 world", want: `(?s) 2  {router/a} .* 3  172.18.0.1 .* 4  8.8.8.8 `},
		{name: "time exceeded in BPF", from: "client", command: "traceroute -n -q 1 -w 4 -m 2 same", want: `(?s) 1  \*.* 2  {same} `},
		{name: "port unreachable", from: "client", command: "dig +tries=1 +time=20 @{other} pod.test", want: "connection refused", fails: true},
		{name: "fragments to the same node", from: "client", command: "ping -c 2 -i 0.2 -s 4000 -W 30 same", want: "4008 bytes from .* ttl=63"},
		{name: "fragments to the other node", from: "client", command: "ping -c 2 -i 0.2 -s 4000 -W 30 other", want: "4008 bytes from .* ttl=63"},
		{name: "UDP fragments to the same node", from: "client", command: "sh -c 'head -c 4000 /dev/zero | nc -u -W 1 -w 30 {same} 80'", want: "^default/same {client}:"},
		{name: "UDP fragments to the other node", from: "client", command: "sh -c 'head -c 4000 /dev/zero | nc -u -W 1 -w 30 {other} 80'", want: "^default/other {client}:"},
		{name: "UDP fragments to a service", from: "client", command: "sh -c 'head -c 4000 /dev/zero | nc -u -W 1 -w 30 {svc/far} 80'", want: "^default/other {client}:"},
		{name: "fragmentation needed", from: "client", command: "ping -c 1 -W 30 -M do -s 1400 world", want: `From 172.18.0.1 .*Frag needed and DF set \(mtu = 1300\)`, fails: true},
		{name: "unsolicited from outside", from: "neighbour", command: "ping -c 2 -i 0.2 -W 30 {client}", want: "ttl=62"},
		{name: "TCP from outside", from: "neighbour", command: "curl -s -m 30 {same}", want: `^default/same 172.18.255.1:`},
		{name: "unreachable", from: "client", command: "ping -c 1 -W 30 9.9.9.9", want: "From 172.18.0.1 .*Destination Net Unreachable", fails: true},
		{name: "too long for the route", from: "client", command: "ping -c 1 -M do -s 1472 other", want: "message too long, mtu=1450", fails: true},
		{name: "dns to the pod", from: "client", command: "dig +short +tries=1 @{dns} pod.test", want: `^10\.1\.2\.3\n$`},
		{name: "dns to the service", from: "client", command: "dig +short +tries=1 @{svc/dns} pod.test", want: `^10\.1\.2\.3\n$`},
		{name: "dns to the service from a node", from: "a", command: "dig +short +tries=1 @{svc/dns} pod.test", want: `^10\.1\.2\.3\n$`},
		{name: "iperf over TCP", from: "other", command: "iperf3 -c {iperf} -t 1", want: `receiver`},
		{name: "service without backends from a pod", from: "client", command: "curl -s -m 2 empty", fails: true},
		{name: "service without backends from a node", from: "a", command: "curl -sS -m 30 empty", want: "Couldn't connect|refused", fails: true},
		{name: "service with several backends", from: "client", command: "sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do curl -s -m 30 web; done'", want: `(?s)default/same {client}:.*default/other {client}:|default/other {client}:.*default/same {client}:`},
		{name: "service with several backends from a node", from: "a", command: "sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do curl -s -m 30 web; done'", want: `(?s)default/same .*default/other |default/other .*default/same `},
		{name: "its own backend", from: "same", command: "curl -s -m 30 self", want: `^default/same 169\.254\.42\.1:`},
	}
	for _, e := range []struct {
		from, to string
		ttl      int    // of the answer at from
		seen     string // source that the server sees
	}{
		{"client", "same", 63, "client"},
		{"client", "other", 63, "client"},
		{"a", "same", 63, "router/a"},
		{"a", "other", 63, "router/a"},
		{"client", "a", 63, ""},
		{"client", "b", 62, ""},
		{"client", "router/b", 63, ""},
		{"client", "neighbour", 62, "a"},
		{"client", "world", 61, "a"},
	} {
		name := e.from + " to " + e.to
		cases = append(cases, pathCase{name: "ping " + name, from: e.from, command: "ping -c 2 -i 0.2 -W 30 {" + e.to + "}", want: fmt.Sprintf(`(?s)ttl=%d .* 0%% packet loss`, e.ttl)})
		if e.seen == "" {
			continue
		}
		cases = append(cases,
			pathCase{name: "TCP " + name, from: e.from, command: "curl -s -m 30 {" + e.to + "}", want: `^\S* {` + e.seen + `}:\d+\n$`},
			pathCase{name: "UDP " + name, from: e.from, command: "sh -c 'echo | nc -u -W 1 -w 30 {" + e.to + "} 80'", want: `^\S* {` + e.seen + `}:\d+\n$`})
	}
	for _, e := range []struct{ from, service, seen string }{
		{"client", "near", "default/same {client}:"},
		{"client", "far", "default/other {client}:"},
		{"other", "near", "default/same {other}:"},
		{"a", "near", "default/same {a}:"},
		{"a", "far", "default/other {router/a}:"},
		{"b", "near", "default/same {router/b}:"},
	} {
		for _, suffix := range []string{"", ".default"} {
			cases = append(cases, pathCase{name: "service " + e.service + suffix + " from " + e.from, from: e.from, command: "curl -s -m 30 " + e.service + suffix, want: "^" + e.seen})
		}
		if e.from == "a" || e.from == "b" {
			continue // kube-proxy tells protocols apart, Cilium does not (SPEC 6.2)
		}
		cases = append(cases, pathCase{name: "UDP service " + e.service + " from " + e.from, from: e.from, command: "sh -c 'echo | nc -u -W 1 -w 30 " + e.service + " 80'", want: "^" + e.seen})
	}
	return cases
}

// fill puts addresses into a text. In a regular expression a dot of an address
// matches more than a dot, which is good enough.
func (p *paths) fill(text string) string {
	return regexp.MustCompile(`\{[a-z/-]+\}`).ReplaceAllStringFunc(text, func(name string) string {
		ip, ok := p.ip[strings.Trim(name, "{}")]
		if !ok {
			panic("no address of " + name)
		}
		return ip
	})
}

func (p *paths) check(t *testing.T, c *pathCase) {
	t.Helper()
	args := strings.Fields(p.fill(c.command))
	if args[0] == "sh" {
		args = []string{"sh", "-c", strings.TrimSuffix(strings.TrimPrefix(p.fill(c.command), "sh -c '"), "'")}
	}
	s := *p.session
	s.tb = t
	out, code := s.try(append([]string{"exec", p.ref(c.from), "--"}, args...)...)
	if want := p.fill(c.want); (code != 0) != c.fails || !regexp.MustCompile(want).MatchString(out) {
		t.Errorf("%s: %v\nexit code %d, want failure: %t; want %q, got\n%s", c.from, args, code, c.fails, want, out)
	}
}

// wire looks at what goes between the nodes: VXLAN with the sender's identity.
func (p *paths) wire(t *testing.T) {
	t.Helper()
	s := *p.session
	s.tb = t
	for _, e := range []struct{ from, to, vni string }{
		{"client", "other", p.identity["client"]},
		{"other", "client", p.identity["other"]},
		{"a", "other", "6"},
	} {
		dump := s.start("listening on", "exec", "wire/underlay", "--",
			"tcpdump", "-l", "-n", "-v", "-i", "br0", "-T", "vxlan", "udp dst port 8472 and udp[28:4] != 0")
		s.run("exec", p.ref(e.from), "--", "ping", "-c", "1", "-W", "30", "-p", "cafe", p.ip[e.to])
		// The outer header: TTL 64, no DF, UDP without checksum (SPEC 8).
		dump.await(`(?s)tos 0x0, ttl 64, id \d+, offset 0, flags \[none\], proto UDP.{0,200}VXLAN, flags \[I\] \(0x08\), vni ` + e.vni + `\n`)
		dump.stop()
	}
}

// afterwards looks at the maps once all traffic has passed. Entries of what is long over
// may have been collected already, so a little passes anew.
func (p *paths) afterwards() {
	p.tb.Helper()
	for _, command := range []string{
		"curl -s -m 30 same", "curl -s -m 30 other", "curl -s -m 30 web", "ping -c 1 -W 30 other", "dig +short +tries=1 +time=30 @" + p.ip["dns"] + " pod.test",
	} {
		p.run(append([]string{"exec", "client", "--"}, strings.Fields(command)...)...)
	}
	tcp := p.run("map", "get", "cilium_ct4_global", "--node", "a")
	for _, want := range []string{
		`TCP OUT {client}:\d+ -> {same}:80 `, `TCP IN {client}:\d+ -> {same}:80 `, `TCP OUT {client}:\d+ -> {other}:80 `,
		`TCP OUT {svc/web}:80 -> {client}:\d+ service `,
	} {
		p.match("cilium_ct4_global", tcp, want)
	}
	other := p.run("map", "get", "cilium_ct_any4_global", "--node", "a")
	p.match("cilium_ct_any4_global", other, `ICMP OUT {client}:\d+ -> {other}:0 `)
	p.match("cilium_ct_any4_global", other, `UDP OUT {client}:\d+ -> {dns}:53 `)
	before, after := metricsOf(p.tb, p.metrics), metricsOf(p.tb, p.run("map", "get", "cilium_metrics", "--node", "a"))
	for _, key := range []string{
		"Success INGRESS", "Success EGRESS", "Fragmented packet EGRESS", "Invalid packet EGRESS", "Service backend not found EGRESS",
	} {
		if after[key] <= before[key] {
			p.tb.Errorf("cilium_metrics %s: %d packets, before the traffic %d", key, after[key], before[key])
		}
	}
}

func (p *paths) match(what, text, want string) {
	p.tb.Helper()
	if want = p.fill(want); !regexp.MustCompile(want).MatchString(text) {
		p.tb.Errorf("%s: want %q in\n%s", what, want, text)
	}
}

// metricsOf reads cilium_metrics: packets by reason and direction.
func metricsOf(tb testing.TB, table string) map[string]uint64 {
	tb.Helper()
	m := make(map[string]uint64)
	for line := range strings.Lines(table) {
		cells := regexp.MustCompile(`\s{2,}`).Split(strings.TrimSpace(line), -1)
		if len(cells) < 4 || cells[0] == "REASON" {
			continue
		}
		n, err := strconv.ParseUint(cells[2], 10, 64)
		if err != nil {
			tb.Fatalf("metrics: %q", line)
		}
		m[cells[0]+" "+cells[1]] = n
	}
	return m
}
