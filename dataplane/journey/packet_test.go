package journey_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/dataplane/sim"
)

// pingHex is an echo request from pod1-1 to pod1-2 as pod1-1 sends it.
const pingHex = "5a03c6e149d266fef892bfaf0800450000240001400040012" + "3d80a0001b20a00014f08005680956e00010001020304050607"

// TestParsePacket reads what the usual tools print.
func TestParsePacket(t *testing.T) {
	t.Parallel()
	want, err := hex.DecodeString(pingHex)
	if err != nil {
		t.Fatal(err)
	}
	bare := append(make([]byte, 12), want[12:]...) // without the Ethernet addresses
	tests := []struct {
		name, in string
		want     []byte
	}{
		{"plain", pingHex, want},
		{"upper case and 0x", "0x" + strings.ToUpper(pingHex), want},
		{"lines", pingHex[:40] + "\n" + pingHex[40:] + "\n", want},
		{"tcpdump -xx", "\t0x0000:  5a03 c6e1 49d2 66fe f892 bfaf 0800 4500\n\t0x0010:  0024 0001 4000 4001 23d8 0a00 01b2 0a00\n\t0x0020:  014f 0800 5680 956e 0001 0001 0203 0405\n\t0x0030:  0607\n", want},
		{"tcpdump -XX", "\t0x0000:  5a03 c6e1 49d2 66fe f892 bfaf 0800 4500  Z...I.f.......E.\n\t0x0010:  0024 0001 4000 4001 23d8 0a00 01b2 0a00  .$..@.@.#.......\n\t0x0020:  014f 0800 5680 956e 0001 0001 0203 0405  .O..V..n........\n\t0x0030:  0607                                     ..\n", want},
		{"xxd", "00000000: 5a03 c6e1 49d2 66fe f892 bfaf 0800 4500  Z...I.f.......E.\n00000010: 0024 0001 4000 4001 23d8 0a00 01b2 0a00  .$..@.@.#.......\n00000020: 014f 0800 5680 956e 0001 0001 0203 0405  .O..V..n........\n00000030: 0607                                     ..\n", want},
		{"tshark -x", "0000  5a 03 c6 e1 49 d2 66 fe f8 92 bf af 08 00 45 00   Z...I.f.......E.\n0010  00 24 00 01 40 00 40 01 23 d8 0a 00 01 b2 0a 00   .$..@.@.#.......\n0020  01 4f 08 00 56 80 95 6e 00 01 00 01 02 03 04 05   .O..V..n........\n0030  06 07                                             ..\n", want},
		{"hexdump -C", "00000000  5a 03 c6 e1 49 d2 66 fe  f8 92 bf af 08 00 45 00  |Z...I.f.......E.|\n00000010  00 24 00 01 40 00 40 01  23 d8 0a 00 01 b2 0a 00  |.$..@.@.#.......|\n00000020  01 4f 08 00 56 80 95 6e  00 01 00 01 02 03 04 05  |.O..V..n........|\n00000030  06 07                                             |..|\n00000032\n", nil},
		{"colons", strings.Join(pairs(pingHex), ":"), want},
		{"bare IP packet", pingHex[28:], bare},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := journey.ParsePacket(tt.in)
			if tt.want == nil { // the last line of hexdump is an offset alone, which is taken for bytes
				if err != nil || !bytes.HasPrefix(got, want) {
					t.Errorf("got %x, %v", got, err)
				}
				return
			}
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("got %x, %v\nwant %x", got, err, tt.want)
			}
		})
	}
	for in, want := range map[string]string{
		"": "no bytes", "5a0": "3 hex digits", "5a0g": `'g' at digit 4 is no hex digit`, "5a 0x é": `'é' at digit 3`,
		strings.Repeat("00", 65550): "at most 65549",
	} {
		if _, err := journey.ParsePacket(in); !errors.Is(err, journey.ErrQuestion) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q in it", in, err, want)
		}
	}
}

func pairs(s string) (out []string) {
	for i := 0; i+1 < len(s); i += 2 {
		out = append(out, s[i:i+2])
	}
	return out
}

// FuzzParsePacket reads anything without panic, and reads its own text again.
func FuzzParsePacket(f *testing.F) {
	f.Add(pingHex)
	f.Add("0x0000:  5a03 c6e1  Z...\n0x0010:  00")
	f.Add("0000  45 00 |")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := journey.ParsePacket(s)
		if err != nil {
			if !errors.Is(err, journey.ErrQuestion) {
				t.Error(err)
			}
			return
		}
		text, err := got.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again journey.Frame
		if err := again.UnmarshalText(text); err != nil || !bytes.Equal(got, again) {
			t.Errorf("got %x, %v, want %x", again, err, got)
		}
	})
}

// TestParseHook finds every hook of the article's cluster.
func TestParseHook(t *testing.T) {
	t.Parallel()
	c := article(t)
	for hook, want := range map[string]sim.Point{
		"from-container@pod1-1":      {Pod: "default/pod1-1"},
		"to-container@pod/pod1-1":    {Node: "cilium-worker", Device: "lxc2fa3dbdebd6c", Egress: true},
		"from-host@cilium-worker":    {Node: "cilium-worker", Device: "cilium_host", Egress: true},
		"to-host@node/cilium-worker": {Node: "cilium-worker", Device: "cilium_host"},
		"from-overlay@cilium-worker": {Node: "cilium-worker", Device: "cilium_vxlan"},
		"to-overlay@cilium-worker":   {Node: "cilium-worker", Device: "cilium_vxlan", Egress: true},
		"from-netdev@cilium-worker":  {Node: "cilium-worker", Device: "eth0"},
		"to-netdev@cilium-worker":    {Node: "cilium-worker", Device: "eth0", Egress: true},
	} {
		if got, err := journey.ParseHook(c, hook); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", hook, got, err, want)
		}
	}
	for hook, want := range map[string]string{
		"from-pod@pod1-1": `hook "from-pod"; allowed: from-container, to-container, from-host`, "policy@pod1-1": `hook "policy"`,
		"from-overlay": "say from-overlay@NAME", "from-overlay@x": "x", "from-container@x": "x",
	} {
		_, err := journey.ParseHook(c, hook)
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, journey.ErrQuestion) && !errors.Is(err, cluster.ErrInput) {
			t.Errorf("%s: got %v, want %q in it", hook, err, want)
		}
	}
}

// TestHooks begins packets at each hook, with the metadata that belongs there.
func TestHooks(t *testing.T) {
	t.Parallel()
	vni, mark, zero := uint32(1), uint32(0x0d00), uint32(0)
	ends := journey.Question{From: "pod1-1", To: "pod2-1"}
	at := func(hook string, q journey.Question) journey.Question {
		q.Hook = hook
		return q
	}
	with := func(q journey.Question, f func(*journey.Question)) journey.Question {
		f(&q)
		return q
	}
	overlay := at("from-overlay@cilium-worker2", ends)
	host := at("from-host@cilium-worker", journey.Question{From: "node/cilium-worker", To: "pod1-2"})
	tests := []struct {
		name    string
		q       journey.Question
		outcome journey.Outcome
		path    string
		says    string
	}{
		{"from-container", at("from-container@pod1-1", ends), journey.Delivered, "pod default/pod1-1,from-container@lxc2fa3dbdebd6c,to-overlay@cilium_vxlan", "ICMP echo request"},
		{"spoofed source", at("from-container@pod1-1", journey.Question{From: "10.0.1.66", To: "pod1-2"}), journey.Dropped, "pod default/pod1-1,from-container", "code 132"},
		{"from-overlay", overlay, journey.Delivered, "node cilium-worker2,from-overlay@cilium_vxlan,pod default/pod2-1", "assumed: the VNI is the sender's identity, 5420"},
		{"from-overlay with VNI 1", with(overlay, func(q *journey.Question) { q.VNI = &vni }), journey.Dropped, "", "code 171"},
		{"from-overlay from elsewhere", with(overlay, func(q *journey.Question) { q.Tunnel = "172.18.0.99" }), journey.Delivered, "", "from-overlay"},
		{"from-host", host, journey.Delivered, "node cilium-worker,from-host@cilium_host,pod default/pod1-2", "assumed: the mark is 0xc00"},
		{"from-host without mark", with(host, func(q *journey.Question) { q.Mark = &zero }), journey.Delivered, "", "from-host"},
		{"to-host", at("to-host@cilium-worker", journey.Question{From: "pod1-1", To: "node/cilium-worker"}), journey.Delivered, "node cilium-worker,to-host@cilium_host", "to-host"},
		{"to-host with mark", with(at("to-host@cilium-worker", journey.Question{From: "pod1-1", To: "node/cilium-worker"}), func(q *journey.Question) { q.Mark = &mark }), journey.Delivered, "", "to-host"},
		{"to-overlay", at("to-overlay@cilium-worker", ends), journey.Delivered, "node cilium-worker,to-overlay@cilium_vxlan,VXLAN 172.18.0.3 > 172.18.0.5", "the tunnel destination is 172.18.0.5"},
		{"from-netdev", at("from-netdev@cilium-worker", journey.Question{From: "8.8.8.8", To: "pod1-1"}), journey.Delivered, "node cilium-worker", "from-netdev is not attached to eth0"},
		{"to-netdev", at("to-netdev@cilium-worker", journey.Question{From: "node/cilium-worker", To: "node/cilium-worker2"}), journey.Delivered, "node cilium-worker,host stack,node cilium-worker2", "eth0 Out"},
		{"to-container", at("to-container@pod1-2", journey.Question{From: "pod1-1", To: "pod1-2"}), journey.Delivered, "node cilium-worker,pod default/pod1-2", "pod1-2"},
		{"ARP", at("from-container@pod1-1", journey.Question{From: "pod1-1", To: "10.0.1.197", Protocol: journey.ARP}), journey.Delivered, "pod default/pod1-1,from-container", "ARP"},
	}
	c := article(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := ask(t, c, tt.q)
			if got := strings.Join(j.Verdict.Path, ","); j.Verdict.Outcome != tt.outcome || !strings.HasPrefix(got, tt.path) {
				t.Errorf("got %s by %s because %s", j.Verdict.Outcome, got, j.Verdict.Because)
			}
			if got := text(t, j, journey.Full); !strings.Contains(got, tt.says) {
				t.Errorf("%q is not in\n%s", tt.says, got)
			}
		})
	}
}

// TestPackets begin where their source is at home.
func TestPackets(t *testing.T) {
	t.Parallel()
	c := article(t)
	request := func(src, dst string) journey.Frame {
		b := frame(mustAddr(src), mustAddr(dst), [6]byte{}, [6]byte{}, 1)
		return b
	}
	ping, err := journey.ParsePacket(pingHex)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, from string
		packet     journey.Frame
		path       string
	}{
		{"as captured", "", ping, "pod default/pod1-1,from-container@lxc2fa3dbdebd6c,pod default/pod1-2"},
		{"without addresses", "", request("10.0.1.178", "10.0.1.79"), "pod default/pod1-1,from-container@lxc2fa3dbdebd6c,pod default/pod1-2"},
		{"of a node", "", request("172.18.0.3", "10.0.1.79"), "node cilium-worker,from-host@cilium_host,pod default/pod1-2"},
		{"of the world", "", request("8.8.8.8", "10.0.1.79"), "gateway,host stack,from-host@cilium_host,pod default/pod1-2"},
		{"of another pod", "pod1-2", request("10.0.1.178", "10.0.1.79"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := ask(t, c, journey.Question{Packet: tt.packet, From: tt.from})
			got := strings.Join(j.Verdict.Path, ",")
			if tt.name == "of another pod" {
				if j.Verdict.Drop == nil || j.Verdict.Drop.Code != 132 {
					t.Errorf("got %+v", j.Verdict)
				}
				return
			}
			if got != tt.path {
				t.Errorf("got %s, want %s", got, tt.path)
			}
		})
	}
	for _, src := range []string{"10.0.1.66", "10.96.0.1", "172.18.0.77", "127.0.0.1"} {
		_, err := journey.Ask(c, engine, journey.Question{Packet: request(src, "10.0.1.79")})
		if !errors.Is(err, journey.ErrPlace) || !errors.Is(err, journey.ErrQuestion) {
			t.Errorf("from %s: got %v", src, err)
		}
	}
}

// TestEachBackend gives each backend once, in the order of the slots.
func TestEachBackend(t *testing.T) {
	t.Parallel()
	c := article(t)
	for _, tt := range []struct {
		from string
		to   string
		want int
	}{
		{"pod1-1", "svc/kube-system/kube-dns", 2},
		{"node/cilium-worker", "svc/kube-system/kube-dns", 2},
		{"pod1-1", "pod1-2", 1},
	} {
		a, err := journey.NewAsker(c, journey.Options{Engine: engine})
		if err != nil {
			t.Fatal(err)
		}
		js, err := a.EachBackend(journey.Question{From: tt.from, To: tt.to, Protocol: journey.UDP, Port: 53})
		if err != nil || len(js) != tt.want {
			t.Fatalf("%s: got %d, %v", tt.from, len(js), err)
		}
		places := map[string]bool{}
		for _, j := range js {
			places[j.Verdict.Place] = true
		}
		if len(places) != tt.want {
			t.Errorf("%s: got %v", tt.from, places)
		}
	}
}

// TestKeep lets the next question meet what the last one has left.
func TestKeep(t *testing.T) {
	t.Parallel()
	c := article(t)
	ping, err := journey.ParsePacket(pingHex)
	if err != nil {
		t.Fatal(err)
	}
	for _, keep := range []bool{false, true} {
		a, err := journey.NewAsker(c, journey.Options{Engine: engine, Keep: keep})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			j, err := a.Ask(journey.Question{Packet: ping})
			if err != nil {
				t.Fatal(err)
			}
			want := "conntrack egress: new"
			if keep && i > 0 {
				want = "conntrack egress: established"
			}
			if got := text(t, j, journey.Summary); !strings.Contains(got, want) {
				t.Errorf("keep %t, question %d: %q is not in\n%s", keep, i, want, got)
			}
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }
