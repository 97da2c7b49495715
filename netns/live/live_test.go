package live

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/netns"
)

const small = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: small}
spec:
  nodes: [{name: a, ip: 172.18.0.2}, {name: b, ip: 172.18.0.3}]
  external: [{name: world, ip: 8.8.8.8}]
  pods:
  - {name: client, node: a, ip: 10.0.0.5}
  - {name: web-1, node: a, labels: {app: web}, ip: 10.0.0.6}
  - {name: web-2, node: b, labels: {app: web}, ip: 10.0.1.6}
  services:
  - {name: web, clusterIP: 10.96.0.9, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
  - {name: none, clusterIP: 10.96.0.10, selector: {app: nobody}, ports: [80]}
`

func load(tb testing.TB) *cluster.Cluster {
	tb.Helper()
	c, err := cluster.Load(cluster.Source{Name: "small.yaml", Data: []byte(small)})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestParse(t *testing.T) {
	s, err := Parse("x", `
# comment
client > web-2 ping count=3 ttl=1 df
node/a > svc/web tcp bytes=10 timeout=2s  # to either
external/world > 10.0.0.5:9 udp closed
client > external/world traceroute hops=4
client run curl -s web
right wire/underlay sh ip link set br0 down; true
`, load(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, st := range s.Steps {
		got = append(got, fmt.Sprintf("%d %q %s %s %s %v %d %d %d %d %t %t %s %v", st.Line, st.Side, st.From, st.Kind, st.To, st.Argv,
			st.Count, st.Size, st.TTL, st.Hops, st.DF, st.Closed, st.Timeout, st.addrs()))
	}
	want := []string{
		`3 "" default/client ping 10.0.1.6:80 [] 3 56 1 8 true false 5s []`,
		`4 "" node/a tcp 10.96.0.9:80 [] 2 10 0 8 false false 2s [10.0.0.6:8080 10.0.1.6:8080]`,
		`5 "" external/world udp 10.0.0.5:9 [] 2 100 0 8 false true 5s []`,
		`6 "" default/client traceroute 8.8.8.8:80 [] 2 100 0 4 false false 5s []`,
		`7 "" default/client run invalid AddrPort [curl -s web] 0 0 0 0 false false 0s []`,
		`8 "right" wire/underlay sh invalid AddrPort [sh -c ip link set br0 down; true] 0 0 0 0 false false 0s []`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "x: no program",
		"left client run true":            "x: no program",
		"client":                          `x:1: "client": want 'A > B`,
		"nobody > client ping":            `x:1: no pod "nobody"`,
		"client > svc/nothing tcp":        `x:1: no service "nothing"`,
		"client > svc/web:81 tcp":         "x:1: service default/web has no port 81",
		"client > web-1 smtp":             `x:1: "smtp": allowed: ping, tcp, udp, traceroute`,
		"client > web-1:80 ping":          `x:1: "web-1:80": want a port of 1 to 65535, with tcp and udp only`,
		"client > web-1:x tcp":            `x:1: "web-1:x": want a port`,
		"client > web-1 tcp size=3":       `x:1: "size=3": allowed with tcp: bytes, closed, timeout`,
		"client > web-1 tcp closed=1":     `x:1: "closed=1": allowed with tcp`,
		"client > web-1 ping count=0":     `x:1: "count=0": want 1 to 100`,
		"client > web-1 udp bytes=70000":  "x:1: bytes=70000: a datagram has at most 65507",
		"client > web-1 tcp timeout=1h":   `x:1: "timeout=1h": want a duration of 100ms to 1m`,
		"client > ::1 ping":               "x:1: ", // not IPv4
		"left client > web-1 ping":        "x:1: left: only run and sh can be for one side",
		"external/moon > client ping":     `x:1: no host outside of the cluster is called "moon"`,
		"wire/other run true":             `x:1: "wire/other": want wire/underlay`,
		"client eats web-1":               `x:1: "eats": allowed behind A: >, run, sh`,
		"client > web-1 ping\nnode/z run": "x:2: ",
	} {
		_, err := Parse("x", text, load(t))
		if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// TestDefault: the list made for a cluster is a script, and has each program and service.
func TestDefault(t *testing.T) {
	text := Default(load(t))
	if _, err := Parse("default", text, load(t)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"client > web-1 ping\n", "client > web-2 traceroute", "client > external/world:8080 udp\n", "client > svc/web:80 tcp\n",
		"web-2 > svc/web:80 tcp\n", "node/a > svc/web:80 tcp\n", "client > svc/none:80 tcp timeout=1s\n", "node/a > health/b ping\n",
		"client > web-1:9 tcp closed\n", "client > 192.0.2.1 ping",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	c := load(f)
	f.Add(Default(c))
	f.Add("left node/a sh true\nclient > 1.2.3.4:5 udp bytes=7 closed timeout=1s\nclient > svc/web ping df")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("f", text, c)
		if err != nil {
			if !errors.Is(err, ErrInput) || strings.Contains(err.Error(), "\n") && !strings.Contains(text, "\n") {
				t.Errorf("error %q", err)
			}
			return
		}
		for _, st := range s.Steps {
			if st.From == "" || st.Kind != Command && st.Kind != Shell && !st.To.Addr().Is4() {
				t.Errorf("step %+v", st)
			}
		}
	})
}

// ethernet is a frame around an IPv4 packet.
func ethernet(ip []byte) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}
	return append(b, ip...)
}

// packet is an IPv4 packet.
func packet(src, dst string, proto, ttl byte, l4 []byte) []byte {
	b := make([]byte, header.IPv4MinSize, header.IPv4MinSize+len(l4))
	b[0], b[8], b[9] = 0x45, ttl, proto
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(l4)))
	copy(b[12:], netip.MustParseAddr(src).AsSlice())
	copy(b[16:], netip.MustParseAddr(dst).AsSlice())
	return append(b, l4...)
}

func udp(sport, dport uint16, payload []byte) []byte {
	b := make([]byte, header.UDPSize)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)+len(payload)))
	return append(b, payload...)
}

func tcp(sport, dport uint16, seq uint32, flags byte, payload int) []byte {
	b := make([]byte, header.TCPMinSize+payload)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint32(b[4:], seq)
	b[12], b[13] = 5<<4, flags
	return b
}

func vxlan(vni uint32, inner []byte) []byte {
	v := make(header.VXLAN, header.VXLANSize)
	v.Encode(vni)
	return append(v, inner...)
}

func newView() *view {
	return &view{tunnelPort: 8472, servers: map[uint16]bool{40080: true}, names: map[[6]byte]string{}}
}

// compareFrames compares two lists of frames of one attempt.
func compareFrames(l, r []frame) []string {
	list := []place{{"a", "a"}}
	left, right := newBook(newView(), 1), newBook(newView(), 1)
	left.add(l)
	right.add(r)
	fields := 0
	var all []string
	for _, d := range compareTalks(left.talk(1), right.talk(1), list, true, &fields) {
		all = append(all, d.Class+" "+d.short())
	}
	return all
}

func frames(packets ...[]byte) []frame {
	var list []frame
	for _, p := range packets {
		list = append(list, frame{out: true, attempt: 1, data: ethernet(p)})
	}
	return list
}

// TestCompareFrames: what varies does not differ, and what must not vary does.
func TestCompareFrames(t *testing.T) {
	about := packet("10.0.0.5", "10.0.1.6", header.ProtoUDP, 1, udp(50000, 33434, make([]byte, 8)))
	exceeded := func(quoted []byte) []byte {
		return packet("10.0.0.1", "10.0.0.5", header.ProtoICMP, 64, append([]byte{11, 0, 0, 0, 0, 0, 0, 0}, quoted...))
	}
	inner := ethernet(packet("10.0.0.5", "10.0.1.6", header.ProtoUDP, 63, udp(50000, 53, make([]byte, 5))))
	tunnel := func(vni uint32, sport uint16) []byte {
		return packet("172.18.0.2", "172.18.0.3", header.ProtoUDP, 64, udp(sport, 8472, vxlan(vni, inner)))
	}
	const src, dst = "10.0.0.5", "10.0.1.6"
	for _, c := range []struct {
		name        string
		left, right []frame
		want        []string
	}{
		{
			"ephemeral ports, sequence numbers, segmentation and retransmission",
			frames(packet(src, dst, 6, 64, tcp(50000, 80, 100, 2, 0)), packet(src, dst, 6, 64, tcp(50000, 80, 101, 0x18, 90)), packet(src, dst, 6, 64, tcp(50000, 80, 191, 0x11, 0))),
			frames(packet(src, dst, 6, 64, tcp(50001, 80, 1<<32-10, 2, 0)), packet(src, dst, 6, 64, tcp(50001, 80, 1<<32-9, 0x18, 50)),
				packet(src, dst, 6, 64, tcp(50001, 80, 1<<32-9, 0x18, 50)), packet(src, dst, 6, 64, tcp(50001, 80, 41, 0x10, 0)), packet(src, dst, 6, 64, tcp(50001, 80, 41, 0x19, 40))),
			nil,
		},
		{
			"bytes of TCP",
			frames(packet(src, dst, 6, 64, tcp(50000, 80, 101, 0x18, 90))),
			frames(packet(src, dst, 6, 64, tcp(50000, 80, 101, 0x18, 89))),
			[]string{"headers : a: out 10.0.0.5:* > 10.0.1.6:80 TCP data: bytes 90 | 89"},
		},
		{
			"TTL, and a server's port that looks like a client's",
			frames(packet(src, dst, 17, 64, udp(50000, 40080, nil))), frames(packet(src, dst, 17, 63, udp(50007, 40080, nil))),
			[]string{"headers : a: out 10.0.0.5:* > 10.0.1.6:40080 UDP: ttl 64 | 63"},
		},
		{
			"a lost datagram",
			frames(packet(src, dst, 17, 64, udp(50000, 53, nil)), packet(src, dst, 17, 64, udp(50000, 53, nil))),
			frames(packet(src, dst, 17, 64, udp(50000, 53, nil))),
			[]string{"headers : a: out 10.0.0.5:* > 10.0.1.6:53 UDP: packets 2 | 1"},
		},
		{
			"an answer that never came",
			frames(packet(src, dst, 6, 64, tcp(50000, 80, 1, 2, 0)), packet(dst, src, 6, 64, tcp(80, 50000, 1, 0x12, 0))),
			frames(packet(src, dst, 6, 64, tcp(50000, 80, 1, 2, 0)), packet(src, dst, 6, 64, tcp(50000, 80, 1, 2, 0))),
			[]string{"lost : a: out 10.0.1.6:80 > 10.0.0.5:* TCP SYN,ACK: packets seen | none"},
		},
		{
			"what an ICMP error quotes", frames(exceeded(about)), frames(exceeded(about[:len(about)-4])), []string{
				"headers : a: out 10.0.0.1 > 10.0.0.5 ICMP time exceeded about 10.0.0.5:* > 10.0.1.6:* protocol 17: length 44 | 40",
			},
		},
		{
			"a tunnel's key and source port", frames(tunnel(7, 1000)), frames(tunnel(8, 2000)), []string{
				"headers : a: out VXLAN 172.18.0.2 > 172.18.0.3: 10.0.0.5:* > 10.0.1.6:53 UDP: vni 7 | 8",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, compareFrames(c.left, c.right)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestLate: frames belong to the attempt that began their conversation.
func TestLate(t *testing.T) {
	b := newBook(newView(), 1)
	begin := frames(packet("10.0.0.5", "10.0.1.6", 17, 64, udp(50000, 53, nil)))
	late := frames(packet("10.0.1.6", "10.0.0.5", 17, 64, udp(53, 50000, nil)))
	late[0].attempt = 2
	b.add(begin)
	b.add(late)
	if n := len(b.talk(1).at[0]); n != 2 {
		t.Errorf("%d lines in the first attempt, want both", n)
	}
	if n := len(b.talk(2).at[0]); n != 0 {
		t.Errorf("%d lines in the second", n)
	}
}

// TestPieces: an aggregate of VXLAN packets is what the wire would have.
func TestPieces(t *testing.T) {
	one := vxlan(7, make([]byte, 92))
	two := vxlan(7, make([]byte, 40))
	whole := ethernet(packet("172.18.0.2", "172.18.0.3", 17, 64, udp(1, 8472, append(append([]byte{}, one...), two...))))
	got := pieces(whole, &netns.VNetHdr{GSOType: netns.VNetGSOUDPL4, GSOSize: 100})
	if len(got) != 2 {
		t.Fatalf("%d pieces", len(got))
	}
	want := [][]byte{
		ethernet(packet("172.18.0.2", "172.18.0.3", 17, 64, udp(1, 8472, one))), ethernet(packet("172.18.0.2", "172.18.0.3", 17, 64, udp(1, 8472, two))),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// Payload that is no VXLAN packet again is the inner packet's affair.
	if got := pieces(whole[:len(whole)-20], &netns.VNetHdr{GSOType: netns.VNetGSOUDPL4, GSOSize: 60}); len(got) != 1 {
		t.Errorf("%d pieces of an inner aggregate", len(got))
	}
}

// FuzzLook: no frame makes anything panic.
func FuzzLook(f *testing.F) {
	inner := ethernet(packet("10.0.0.5", "10.0.1.6", 6, 63, tcp(50000, 53, 1, 2, 3)))
	f.Add(ethernet(packet("172.18.0.2", "172.18.0.3", 17, 64, udp(1, 8472, vxlan(7, inner)))), uint8(5), uint16(50))
	f.Add(ethernet(packet("10.0.0.1", "10.0.0.5", 1, 64, append([]byte{3, 4, 0, 0, 0, 0, 0, 0}, inner[14:]...))), uint8(0), uint16(0))
	f.Fuzz(func(_ *testing.T, data []byte, gso uint8, size uint16) {
		b := newBook(newView(), 1)
		for _, p := range pieces(data, &netns.VNetHdr{GSOType: gso, GSOSize: size}) {
			b.add([]frame{{data: p[:min(len(p), snapLen)], attempt: 1}})
		}
		for _, t := range b.talks {
			for _, l := range t.at[0] {
				_ = l.bytes()
			}
		}
	})
}
