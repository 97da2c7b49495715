package dissect_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane/dissect"
)

func TestSummaryAndConnection(t *testing.T) {
	t.Parallel()
	for _, tt := range samples(t) {
		if got := dissect.Summary(tt.frame); got != tt.summary {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.summary)
		}
		if got := dissect.Connection(tt.frame); got != tt.connection {
			t.Errorf("%s: connection:\n got %s\nwant %s", tt.name, got, tt.connection)
		}
	}
}

// tcpdump, where it is installed, must open what Writer writes; where Summary has
// its words, they must be the same.
func TestSummaryAgainstTcpdump(t *testing.T) {
	t.Parallel()
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Log("tcpdump is not installed; TestSummaryAndConnection has compared with what it prints")
		return
	}
	same := map[string]bool{"echo request": true, "echo reply": true, "syn": true, "syn, ack": true, "data": true, "router solicitation": true}
	var file bytes.Buffer
	w, err := dissect.NewWriter(&file, dissect.Section{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(dissect.Interface{Name: "lxc1"}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, s := range samples(t) {
		if !same[s.name] {
			continue
		}
		want = append(want, s.summary)
		if err := w.Write(dissect.Record{Time: start, Data: s.frame, Comments: []string{s.name}}); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(tcpdump, "-t", "-n", "-r", "-")
	cmd.Stdin = &file
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(want) != len(same) || len(got) != len(want) {
		t.Fatalf("got %d lines, want %d of %d samples:\n%s", len(got), len(want), len(same), out)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) { // it goes on with the application's protocol
			t.Errorf("tcpdump: %s\nSummary: %s", got[i], want[i])
		}
	}
}

// What is cut off or wrong is told, after what could be read.
func TestSummaryOfBrokenFrames(t *testing.T) {
	t.Parallel()
	tcp := build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP), syn())
	udp53 := build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP), udp(53), gopacket.Payload("0123456789"))
	ping := build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), icmp(8, 0, 9, 2))
	request := build(t, eth(layers.EthernetTypeARP), arp(1))
	overlay := vxlan(t, 2, ping)
	gso := append([]byte{}, tcp...)
	gso[16], gso[17] = 0, 0
	for _, tt := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"nothing", nil, "empty frame"},
		{"ethernet", tcp[:13], "Ethernet [header cut off after 13 bytes]"},
		{"no ip", tcp[:14], "IP [header cut off after 0 bytes]"},
		{"part of ip", tcp[:33], "IP [header cut off after 19 bytes]"},
		{"no tcp", tcp[:34], "IP 10.0.1.178 > 10.0.1.79: TCP [header cut off after 0 bytes] [cut off: 20 of 60 bytes]"},
		{"ports alone", tcp[:38], "IP 10.0.1.178.40000 > 10.0.1.79.80: TCP [header cut off after 4 bytes] [cut off: 24 of 60 bytes]"},
		{
			"no options", tcp[:54],
			"IP 10.0.1.178.40000 > 10.0.1.79.80: Flags [S], seq 1000, win 64240, length 0 [cut off: 40 of 60 bytes]",
		},
		{"udp payload", udp53[:44], "IP 10.0.1.178.40000 > 10.0.1.79.53: UDP, length 10 [cut off: 30 of 38 bytes]"},
		{"last byte", udp53[:51], "IP 10.0.1.178.40000 > 10.0.1.79.53: UDP, length 10 [cut off: 37 of 38 bytes]"},
		{"icmp between fields", ping[:38], "IP 10.0.1.178 > 10.0.1.79: ICMP [header cut off after 4 bytes] [cut off: 24 of 28 bytes]"},
		{"icmp without a byte", ping[:34], "IP 10.0.1.178 > 10.0.1.79: ICMP [header cut off after 0 bytes] [cut off: 20 of 28 bytes]"},
		{"arp", request[:20], "ARP [header cut off after 6 bytes]"},
		{"arp for other addresses", with(request, 18, 8), "ARP [malformed header, 46 bytes: 000108000804000166fef892bfaf0a00…]"},
		{"arp operation", with(request, 21, 9), "ARP, operation 9, length 28"},
		{"version", with(tcp, 14, 0x65), "IP [malformed header, 60 bytes: 6500003c00070000400663b50a0001b2…]"},
		{
			"length", with(udp53, 17, 19),
			"IP 10.0.1.178.40000 > 10.0.1.79.53: UDP, length 10 [ip length 19 is less than the header's] [ip checksum 0x63c0 is wrong]",
		},
		{
			"ttl without its checksum", with(udp53, 22, 63),
			"IP 10.0.1.178.40000 > 10.0.1.79.53: UDP, length 10 [ip checksum 0x63c0 is wrong]",
		},
		{
			"gso packet", gso, "IP 10.0.1.178.40000 > 10.0.1.79.80: Flags [S], seq 1000, win 64240, " +
				"options [mss 1460,sackOK,TS val 9 ecr 0,nop,wscale 7], length 0 [ip checksum 0x63b5 is wrong]",
		},
		{"udp length", with(udp53, 39, 7), "IP 10.0.1.178.40000 > 10.0.1.79.53: UDP [bad udp length 7]"},
		{
			"data offset", with(tcp, 46, 0x10),
			"IP 10.0.1.178.40000 > 10.0.1.79.80: Flags [S], seq 1000, win 64240 [bad tcp header length 4]",
		},
		{
			"vxlan header", overlay[:46],
			"IP 172.18.0.2.40000 > 172.18.0.3.8472: VXLAN [header cut off after 4 bytes] [cut off: 32 of 96 bytes]",
		},
		{"no inner frame", overlay[:50], "IP 172.18.0.2.40000 > 172.18.0.3.8472: VXLAN vni 2: empty frame [cut off: 36 of 96 bytes]"},
		{
			"vni not valid", with(overlay, 42, 0), "IP 172.18.0.2.40000 > 172.18.0.3.8472: VXLAN without a vni [flags 0x00]: " +
				"IP 10.0.1.178 > 10.0.1.79: ICMP echo request, id 9, seq 2, length 8",
		},
		{"vlan tag", []byte{12: 0x81, 13: 0, 14: 0}, "802.1Q [header cut off after 1 bytes]"},
	} {
		if got := dissect.Summary(tt.frame); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
	if got, want := dissect.Connection(tcp[:38]), "10.0.1.178 -> 10.0.1.79"; got != want {
		t.Errorf("connection of ports alone: got %q, want %q", got, want)
	}
	if got, want := dissect.Connection(tcp[:5]), "[unknown]"; got != want {
		t.Errorf("connection of five bytes: got %q, want %q", got, want)
	}
}

// Kinds and codes that occur in no sample, by their names.
func TestNames(t *testing.T) {
	t.Parallel()
	icmp4 := func(typ, code uint8) []byte {
		return build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), icmp(typ, code, 0, 0))
	}
	icmp6 := func(typ uint8) []byte {
		return build(t, eth(layers.EthernetTypeIPv6), ip6(layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)})
	}
	options := func(b ...byte) []byte {
		frame := build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP), &layers.TCP{DstPort: 80}, gopacket.Payload(b))
		frame[46] = byte(5+len(b)/4) << 4
		return frame
	}
	mld := build(t, eth(layers.EthernetTypeIPv6), ip6(layers.IPProtocolIPv6HopByHop), gopacket.Payload{58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0})
	for _, tt := range []struct {
		name  string
		frame []byte
		want  string // a part of the line
	}{
		{"net", icmp4(3, 0), "ICMP net unreachable, length 8"},
		{"host", icmp4(3, 1), "ICMP host unreachable, length 8"},
		{"protocol", icmp4(3, 2), "ICMP protocol unreachable"},
		{"prohibited", icmp4(3, 13), "ICMP unreachable - administratively prohibited"},
		{"other unreachable", icmp4(3, 5), "ICMP unreachable, code 5"},
		{"reassembly", icmp4(11, 1), "ICMP time exceeded at reassembly"},
		{"source quench", icmp4(4, 0), "ICMP source quench, length 8"},
		{"redirect", icmp4(5, 1), "ICMP redirect, length 8"},
		{"parameter problem", icmp4(12, 0), "ICMP parameter problem, length 8"},
		{"other icmp", icmp4(42, 0), "ICMP type 42, length 8"},
		{"icmp6 unreachable", icmp6(1), "ICMP6, unreachable"},
		{"icmp6 too big", icmp6(2), "ICMP6, packet too big"},
		{"icmp6 time", icmp6(3), "ICMP6, time exceeded"},
		{"icmp6 echo request", icmp6(128), "ICMP6, echo request"},
		{"icmp6 echo reply", icmp6(129), "ICMP6, echo reply"},
		{"icmp6 ra", icmp6(134), "ICMP6, router advertisement"},
		{"icmp6 ns", icmp6(135), "ICMP6, neighbor solicitation"},
		{"icmp6 na", icmp6(136), "ICMP6, neighbor advertisement"},
		{"other icmp6", icmp6(200), "ICMP6, type 200, length 4"},
		{"mld", mld, "IP6 fe80::1 > ff02::2: ICMP6, multicast listener report, length 8"},
		{"icmp6 cut off", mld[:63], "ICMP6 [header cut off after 1 bytes] [cut off: 49 of 56 bytes]"},
		{"ipv6 cut off", mld[:30], "IP6 [header cut off after 16 bytes]"},
		{"ipv6 malformed", with(mld, 14, 0x45), "IP6 [malformed header, 56 bytes: 4500"},
		{"no flags", options(), "Flags [none], seq 0"},
		{"sack", options(1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9), "options [nop,nop,sack 1 {1:9}], length 0"},
		{"end of options", options(2, 4, 1, 2, 0, 9, 9, 9), "options [mss 258,eol], length 0"},
		{"unknown option", options(34, 4, 0xab, 0xcd), "options [option 34 0xabcd]"},
		{"option of a wrong length", options(2, 3, 1, 1), "options [option 2 0x01,nop]"},
		{"option beyond the header", options(1, 1, 1, 4), "options [nop,nop,nop,malformed]"},
		{"option of no length", options(8, 0, 0, 0), "options [malformed]"},
	} {
		if got := dissect.Summary(tt.frame); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s, want %s in it", tt.name, got, tt.want)
		}
	}
	if got, want := dissect.Connection(options()), "10.0.1.178:0 -> 10.0.1.79:80 tcp "; got != want {
		t.Errorf("connection without flags: got %q, want %q", got, want)
	}
}

// Frames within frames are shown up to a depth.
func TestNesting(t *testing.T) {
	t.Parallel()
	frame := build(t, eth(layers.EthernetTypeARP), arp(1))
	for vni := range uint32(5) {
		frame = vxlan(t, 10+vni, frame)
	}
	got := dissect.Summary(frame)
	if want := "VXLAN vni 11, length 110"; strings.Count(got, "VXLAN") != 4 || !strings.HasSuffix(got, want) {
		t.Errorf("got %s, want %s at its end", got, want)
	}
}

func seed(f *testing.F) {
	f.Helper()
	for _, s := range samples(f) {
		f.Add(s.frame)
		f.Add(s.frame[:len(s.frame)/2])
	}
}

func FuzzSummary(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, line := range []string{dissect.Summary(frame), dissect.Connection(frame)} {
			if line == "" || strings.ContainsAny(line, "\n\x00") {
				t.Errorf("not a line: %q", line)
			}
		}
	})
}

func BenchmarkSummary(b *testing.B) {
	for _, s := range samples(b) {
		if s.name != "syn" && s.name != "vxlan" {
			continue
		}
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dissect.Summary(s.frame)
			}
		})
		b.Run(s.name+" connection", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dissect.Connection(s.frame)
			}
		})
	}
}
