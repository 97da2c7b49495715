package maps

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// articleSet holds the entries that the article shows, in its words a node of its cluster.
func articleSet(tb testing.TB) *Set {
	tb.Helper()
	s := NewSet(Sizes{})
	for _, e := range []struct {
		ip, mac, node string
		id            uint16
		ifindex       uint32
	}{
		{"\x0a\x00\x01\x33", "\xae\x3a\x52\xa3\xec\xb3", "\x0a\x5a\xde\xb8\xd8\xf4", 51, 8},
		{"\x0a\x00\x01\x09", "\xa6\x0d\x28\xca\x4a\x85", "\x5a\x01\x4a\x68\xc4\xc4", 2389, 10},
		{"\x0a\x00\x01\x12", "\xee\x9d\xc0\xb1\x94\x34", "\x12\x3f\x87\x06\x72\x79", 2400, 12},
		{"\x0a\x00\x01\xb2", "\x66\xfe\xf8\x92\xbf\xaf", "\x5a\x03\xc6\xe1\x49\xd2", 1272, 14},
		{"\x0a\x00\x01\x4f", "\x32\xed\x0b\xf8\x18\xe9", "\xc2\x8b\x75\xd9\x5f\xec", 436, 16},
	} {
		k := NewEndpointKey([4]byte([]byte(e.ip)))
		must(tb, s.LXC.Set(&k, &EndpointInfo{LXCID: e.id, Ifindex: e.ifindex, MAC: [6]byte([]byte(e.mac)), NodeMAC: [6]byte([]byte(e.node))}, NoExist))
	}
	k := NewEndpointKey([4]byte{10, 0, 1, 197})
	must(tb, s.LXC.Set(&k, &EndpointInfo{Flags: EndpointHost}, NoExist))
	for _, e := range []struct {
		ip   [4]byte
		bits uint8
		v    RemoteEndpointInfo
	}{
		{[4]byte{10, 0, 2, 158}, 32, RemoteEndpointInfo{SecLabel: 13789, TunnelEndpoint: [4]byte{172, 18, 0, 5}}},
		{[4]byte{10, 0, 1, 214}, 32, RemoteEndpointInfo{SecLabel: 19140, TunnelEndpoint: [4]byte{172, 18, 0, 5}}},
		{[4]byte{10, 0, 1, 213}, 32, RemoteEndpointInfo{SecLabel: 62536}},
		{[4]byte{}, 0, RemoteEndpointInfo{SecLabel: 2}},
		{[4]byte{172, 18, 0, 4}, 32, RemoteEndpointInfo{SecLabel: 1}},
		{[4]byte{10, 0, 1, 116}, 32, RemoteEndpointInfo{SecLabel: 9049}},
	} {
		k := NewIPCacheKey(e.ip, e.bits)
		must(tb, s.IPCache.Set(&k, &e.v, NoExist))
	}
	for _, e := range []struct {
		ip       [4]byte
		port     [2]byte
		id       byte
		backends []uint32
	}{
		{[4]byte{10, 96, 0, 1}, [2]byte{1, 0xbb}, 1, []uint32{1}},
		{[4]byte{10, 96, 0, 10}, [2]byte{0, 53}, 2, []uint32{2, 4}},
		{[4]byte{10, 96, 0, 10}, [2]byte{0x23, 0xc1}, 3, []uint32{3, 5}},
		{[4]byte{10, 96, 52, 248}, [2]byte{0, 80}, 5, []uint32{7}},
	} {
		k, rev := LB4Key{Address: e.ip, DPort: e.port}, [2]byte{0, e.id}
		must(tb, s.Services.Set(&k, &LB4Service{Count: uint16(len(e.backends)), RevNAT: rev}, NoExist))
		must(tb, s.RevNAT.Set(&RevNATKey{rev}, &RevNAT{e.ip, e.port}, NoExist))
		for i, b := range e.backends {
			k.BackendSlot = uint16(i + 1)
			must(tb, s.Services.Set(&k, &LB4Service{BackendID: b, RevNAT: rev}, NoExist))
		}
	}
	for id, b := range map[uint32]LB4Backend{
		4: {Address: [4]byte{10, 0, 2, 230}, Port: [2]byte{0, 53}},
		5: {Address: [4]byte{10, 0, 2, 230}, Port: [2]byte{0x23, 0xc1}},
		7: {Address: [4]byte{10, 0, 1, 79}, Port: [2]byte{0, 80}},
		1: {Address: [4]byte{172, 18, 0, 4}, Port: [2]byte{0x19, 0x2b}},
		2: {Address: [4]byte{10, 0, 1, 9}, Port: [2]byte{0, 53}},
		3: {Address: [4]byte{10, 0, 1, 9}, Port: [2]byte{0x23, 0xc1}},
	} {
		must(tb, s.Backends.Set(&LB4BackendKey{id}, &b, NoExist))
	}
	return s
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// articleRows returns the rows of the article, whose spaces its page has collapsed.
func articleRows() map[string][]string {
	return map[string][]string{
		NameLXC: {
			"10.0.1.51:0 id=51 flags=0x0000 ifindex=8 mac=AE:3A:52:A3:EC:B3 nodemac=0A:5A:DE:B8:D8:F4 sync",
			"10.0.1.9:0 id=2389 flags=0x0000 ifindex=10 mac=A6:0D:28:CA:4A:85 nodemac=5A:01:4A:68:C4:C4 sync",
			"10.0.1.18:0 id=2400 flags=0x0000 ifindex=12 mac=EE:9D:C0:B1:94:34 nodemac=12:3F:87:06:72:79 sync",
			"10.0.1.178:0 id=1272 flags=0x0000 ifindex=14 mac=66:FE:F8:92:BF:AF nodemac=5A:03:C6:E1:49:D2 sync",
			"10.0.1.79:0 id=436 flags=0x0000 ifindex=16 mac=32:ED:0B:F8:18:E9 nodemac=C2:8B:75:D9:5F:EC sync",
		},
		NameIPCache: {
			"10.0.2.158/32 identity=13789 encryptkey=0 tunnelendpoint=172.18.0.5 sync",
			"10.0.1.214/32 identity=19140 encryptkey=0 tunnelendpoint=172.18.0.5 sync",
			"10.0.1.213/32 identity=62536 encryptkey=0 tunnelendpoint=0.0.0.0 sync",
			"0.0.0.0/0 identity=2 encryptkey=0 tunnelendpoint=0.0.0.0 sync",
			"172.18.0.4/32 identity=1 encryptkey=0 tunnelendpoint=0.0.0.0 sync",
			"10.0.1.116/32 identity=9049 encryptkey=0 tunnelendpoint=0.0.0.0 sync",
		},
		NameServices: {
			"10.96.0.1:443 0 1 (1) [0x0 0x0] sync",
			"10.96.0.10:53 0 2 (2) [0x0 0x0] sync",
			"10.96.0.10:9153 0 2 (3) [0x0 0x0] sync",
			"10.96.52.248:80 0 1 (5) [0x0 0x0] sync",
		},
		NameBackends: {
			"4 ANY://10.0.2.230:53 sync",
			"5 ANY://10.0.2.230:9153 sync",
			"7 ANY://10.0.1.79:80 sync",
			"1 ANY://172.18.0.4:6443 sync",
			"2 ANY://10.0.1.9:53 sync",
			"3 ANY://10.0.1.9:9153 sync",
		},
	}
}

// TestArticleRows checks that every row of the article is printed, spaces collapsed, in the form of the article's release.
func TestArticleRows(t *testing.T) {
	t.Parallel()
	s := articleSet(t)
	for name, want := range articleRows() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := s.Lookup(name)
			must(t, err)
			var b bytes.Buffer
			must(t, WriteTable(&b, m, TextOptions{NoNodeID: true}))
			lines := make(map[string]bool)
			for l := range strings.Lines(b.String()) {
				lines[strings.Join(strings.Fields(l), " ")] = true
			}
			if !lines["Key Value State Error"] {
				t.Error("no header")
			}
			for _, w := range want {
				if !lines[w] {
					t.Errorf("no line %q in\n%s", w, &b)
				}
			}
		})
	}
}

// show makes the ends of lines visible, which carry spaces.
func show(s string) string { return strings.ReplaceAll(s, "\n", "$\n") }

// TestTables compares whole listings byte by byte, in the order and spacing in which they are written.
func TestTables(t *testing.T) {
	t.Parallel()
	s := articleSet(t)
	table := func(m Store, o TextOptions) func(io.Writer) error {
		return func(w io.Writer) error { return WriteTable(w, m, o) }
	}
	list := func(m Store, o TextOptions) func(io.Writer) error {
		return func(w io.Writer) error { return WriteBPFList(w, m, o) }
	}
	empty := NewSet(Sizes{})
	tk := NewTunnelKey([4]byte{10, 0, 2, 0})
	tv := NewTunnelEndpoint([4]byte{172, 18, 0, 5})
	tv.NodeID = 1
	must(t, s.Tunnel.Set(&tk, &tv, Any))
	must(t, s.Frags.Set(&FragKey{
		DAddr: [4]byte{10, 0, 2, 230}, SAddr: [4]byte{10, 0, 1, 178}, ID: [2]byte{0x45, 0x45}, Proto: 17,
	}, &FragPorts{SPort: [2]byte{0x13, 0x89}, DPort: [2]byte{0, 53}}, Any))
	for k, v := range map[MetricsKey]MetricsValue{
		{Reason: 0, Dir: MetricEgress}:    {Count: 12, Bytes: 1188},
		{Reason: 0, Dir: MetricIngress}:   {Count: 9, Bytes: 900},
		{Reason: 3, Dir: MetricIngress}:   {Count: 4, Bytes: 400},
		{Reason: 133, Dir: MetricIngress}: {Count: 1, Bytes: 74},
		{Reason: 9, Dir: MetricService}:   {Count: 2, Bytes: 3028},
		{Reason: 9, Dir: 0}:               {Count: 1, Bytes: 1},
	} {
		must(t, s.Metrics.Set(&k, &v, Any))
	}
	p := s.AddPolicy(51)
	for k, v := range map[PolicyKey]PolicyEntry{
		{}:                     {Packets: 7, Bytes: 700},
		{Egress: PolicyEgress}: {},
		{SecLabel: 1}:          {},
		{SecLabel: 10178, DPort: [2]byte{1, 0xbb}, Proto: 6}:    {Deny: PolicyDeny},
		{SecLabel: 10178, DPort: [2]byte{0x1f, 0x91}, Proto: 6}: {ProxyPort: [2]byte{0x3a, 0x99}},
		{SecLabel: 10178, DPort: [2]byte{0, 8}, Proto: 1}:       {},
	} {
		must(t, p.Set(&k, &v, Any))
	}
	s.SetProgNames(func(id uint32) string { return map[uint32]string{3: "2/7", 4: "2/25"}[id] })
	calls := s.AddCalls(CallsName(51))
	must(t, calls.Set(7, 3))
	must(t, calls.Set(25, 4))
	must(t, calls.Set(29, 5))

	tests := []struct {
		name  string
		write func(io.Writer) error
		want  string
	}{
		{"map get cilium_lxc", table(s.LXC, TextOptions{}), `
Key            Value                                                                               State   Error
10.0.1.9:0     id=2389  flags=0x0000 ifindex=10  mac=A6:0D:28:CA:4A:85 nodemac=5A:01:4A:68:C4:C4   sync    
10.0.1.18:0    id=2400  flags=0x0000 ifindex=12  mac=EE:9D:C0:B1:94:34 nodemac=12:3F:87:06:72:79   sync    
10.0.1.51:0    id=51    flags=0x0000 ifindex=8   mac=AE:3A:52:A3:EC:B3 nodemac=0A:5A:DE:B8:D8:F4   sync    
10.0.1.79:0    id=436   flags=0x0000 ifindex=16  mac=32:ED:0B:F8:18:E9 nodemac=C2:8B:75:D9:5F:EC   sync    
10.0.1.178:0   id=1272  flags=0x0000 ifindex=14  mac=66:FE:F8:92:BF:AF nodemac=5A:03:C6:E1:49:D2   sync    
10.0.1.197:0   (localhost)                                                                         sync    
`},
		{"map get cilium_ipcache", table(s.IPCache, TextOptions{}), `
Key             Value                                                            State   Error
0.0.0.0/0       identity=2 encryptkey=0 tunnelendpoint=0.0.0.0 nodeid=0          sync    
10.0.1.116/32   identity=9049 encryptkey=0 tunnelendpoint=0.0.0.0 nodeid=0       sync    
10.0.1.213/32   identity=62536 encryptkey=0 tunnelendpoint=0.0.0.0 nodeid=0      sync    
10.0.1.214/32   identity=19140 encryptkey=0 tunnelendpoint=172.18.0.5 nodeid=0   sync    
10.0.2.158/32   identity=13789 encryptkey=0 tunnelendpoint=172.18.0.5 nodeid=0   sync    
172.18.0.4/32   identity=1 encryptkey=0 tunnelendpoint=0.0.0.0 nodeid=0          sync    
`},
		{"map get cilium_lb4_services_v2", table(s.Services, TextOptions{}), `
Key               Value               State   Error
10.96.0.1:443     0 1 (1) [0x0 0x0]   sync    
10.96.0.10:53     0 2 (2) [0x0 0x0]   sync    
10.96.0.10:9153   0 2 (3) [0x0 0x0]   sync    
10.96.52.248:80   0 1 (5) [0x0 0x0]   sync    
`},
		{"map get cilium_lb4_backends_v2", table(s.Backends, TextOptions{}), `
Key   Value                   State   Error
1     ANY://172.18.0.4:6443   sync    
2     ANY://10.0.1.9:53       sync    
3     ANY://10.0.1.9:9153     sync    
4     ANY://10.0.2.230:53     sync    
5     ANY://10.0.2.230:9153   sync    
7     ANY://10.0.1.79:80      sync    
`},
		{"map get cilium_lb4_reverse_nat", table(s.RevNAT, TextOptions{}), `
Key   Value             State   Error
1     10.96.0.1:443     sync    
2     10.96.0.10:53     sync    
3     10.96.0.10:9153   sync    
5     10.96.52.248:80   sync    
`},
		{"map get cilium_tunnel_map", table(s.Tunnel, TextOptions{}), `
Key        Value            State   Error
10.0.2.0   172.18.0.5:0 1   sync    
`},
		{"map get of an empty map", table(empty.LXC, TextOptions{}), "\nCache is empty\n\n"},
		{"bpf endpoint list", list(s.LXC, TextOptions{}), `
IP ADDRESS     LOCAL ENDPOINT INFO
10.0.1.9:0     id=2389  flags=0x0000 ifindex=10  mac=A6:0D:28:CA:4A:85 nodemac=5A:01:4A:68:C4:C4   
10.0.1.18:0    id=2400  flags=0x0000 ifindex=12  mac=EE:9D:C0:B1:94:34 nodemac=12:3F:87:06:72:79   
10.0.1.51:0    id=51    flags=0x0000 ifindex=8   mac=AE:3A:52:A3:EC:B3 nodemac=0A:5A:DE:B8:D8:F4   
10.0.1.79:0    id=436   flags=0x0000 ifindex=16  mac=32:ED:0B:F8:18:E9 nodemac=C2:8B:75:D9:5F:EC   
10.0.1.178:0   id=1272  flags=0x0000 ifindex=14  mac=66:FE:F8:92:BF:AF nodemac=5A:03:C6:E1:49:D2   
10.0.1.197:0   (localhost)                                                                         
`},
		{"bpf tunnel list", list(s.Tunnel, TextOptions{NoNodeID: true}), `
TUNNEL     VALUE
10.0.2.0   172.18.0.5:0   
`},
		{"bpf lb list", func(w io.Writer) error { return WriteLBList(w, s.Services, s.Backends) }, `
SERVICE ADDRESS   BACKEND ADDRESS (REVNAT_ID) (SLOT)
10.96.0.1:443     0.0.0.0:0 (1) (0) [ClusterIP, non-routable]   
                  172.18.0.4:6443 (1) (1)                       
10.96.0.10:53     0.0.0.0:0 (2) (0) [ClusterIP, non-routable]   
                  10.0.1.9:53 (2) (1)                           
                  10.0.2.230:53 (2) (2)                         
10.96.0.10:9153   0.0.0.0:0 (3) (0) [ClusterIP, non-routable]   
                  10.0.1.9:9153 (3) (1)                         
                  10.0.2.230:9153 (3) (2)                       
10.96.52.248:80   0.0.0.0:0 (5) (0) [ClusterIP, non-routable]   
                  10.0.1.79:80 (5) (1)                          
`},
		{"bpf lb list --frontends", list(s.Services, TextOptions{}), `
SERVICE ADDRESS   BACKEND ID
10.96.0.1:443     0 1 (1) [0x0 0x0]   
                  1 0 (1) [0x0 0x0]   
10.96.0.10:53     0 2 (2) [0x0 0x0]   
                  2 0 (2) [0x0 0x0]   
                  4 0 (2) [0x0 0x0]   
10.96.0.10:9153   0 2 (3) [0x0 0x0]   
                  3 0 (3) [0x0 0x0]   
                  5 0 (3) [0x0 0x0]   
10.96.52.248:80   0 1 (5) [0x0 0x0]   
                  7 0 (5) [0x0 0x0]   
`},
		{"bpf lb list --revnat", list(s.RevNAT, TextOptions{}), `
ID   BACKEND ADDRESS (REVNAT_ID) (SLOT)
1    10.96.0.1:443     
2    10.96.0.10:53     
3    10.96.0.10:9153   
5    10.96.52.248:80   
`},
		{"bpf lb list --backends, empty", list(empty.Backends, TextOptions{}), "\nID   BACKEND ADDRESS (REVNAT_ID) (SLOT)\n"},
		{"bpf ipcache list, empty", list(empty.IPCache, TextOptions{}), "\nNo entries found.\n"},
		{"bpf metrics list", table(s.Metrics, TextOptions{}), `
REASON              DIRECTION   PACKETS   BYTES
Fragmented packet   SERVICE     2         3028
Fragmented packet   UNKNOWN     1         1
Interface           INGRESS     4         400
Policy denied       INGRESS     1         74
Success             EGRESS      12        1188
Success             INGRESS     9         900
`},
		{"bpf metrics list, empty", table(empty.Metrics, TextOptions{}), "\nNo entries found.\n"},
		{"bpf policy get -n", table(p, TextOptions{Numeric: true}), `
POLICY   DIRECTION   IDENTITY   PORT/PROTO   PROXY PORT   BYTES   PACKETS   
Deny     Ingress     10178      443/TCP      NONE         0       0         
Allow    Ingress     0          ANY          NONE         700     7         
Allow    Ingress     1          ANY          NONE         0       0         
Allow    Ingress     10178      8/ICMP       NONE         0       0         
Allow    Ingress     10178      8081/TCP     15001        0       0         
Allow    Egress      0          ANY          NONE         0       0         
`},
		{"bpf policy get", table(p, TextOptions{Labels: func(id uint32) []string {
			return map[uint32][]string{1: {"reserved:host"}, 10178: {"k8s:app=web", "k8s:tier=front"}}[id]
		}}), `
POLICY   DIRECTION   LABELS (source:key[=value])   PORT/PROTO   PROXY PORT   BYTES   PACKETS   
Deny     Ingress     k8s:app=web                   443/TCP      NONE         0       0         
                     k8s:tier=front                                                            
Allow    Ingress     0                             ANY          NONE         700     7         
Allow    Ingress     reserved:host                 ANY          NONE         0       0         
Allow    Ingress     k8s:app=web                   8/ICMP       NONE         0       0         
                     k8s:tier=front                                                            
Allow    Ingress     k8s:app=web                   8081/TCP     15001        0       0         
                     k8s:tier=front                                                            
Allow    Egress      0                             ANY          NONE         0       0         
`},
		{"bpf policy get, empty", table(empty.AddPolicy(1), TextOptions{Numeric: true}), `
POLICY   DIRECTION   IDENTITY   PORT/PROTO   PROXY PORT   BYTES   PACKETS   
Policy stats empty. Perhaps the policy enforcement is disabled?
`},
		{"fragments", table(s.Frags, TextOptions{}), `
DATAGRAM                               PORTS
10.0.1.178 --> 10.0.2.230, 17, 17733   53, 5001   
`},
		{"calls", table(calls, TextOptions{}), `
SLOT   PROGRAM
7      2/7    
25     2/25   
29     id 5   
`},
		{"calls with names given", table(calls, TextOptions{ProgName: func(uint32) string { return "x" }}), `
SLOT   PROGRAM
7      x    
25     x    
29     x    
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			must(t, tt.write(&b))
			if d := cmp.Diff(show(strings.TrimPrefix(tt.want, "\n")), show(b.String())); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestCTList compares `cilium bpf ct list global`: entries of SPEC 14.6 with every part of the form.
func TestCTList(t *testing.T) {
	t.Parallel()
	s := NewSet(Sizes{})
	pod1, pod2, vip := [4]byte{10, 0, 1, 178}, [4]byte{10, 0, 1, 79}, [4]byte{10, 96, 52, 248}
	cp, bp, vp := [2]byte{0x9c, 0x40}, [2]byte{0x1f, 0x90}, [2]byte{0, 80}
	for k, v := range map[CTKey]CTEntry{
		{pod1, pod2, bp, cp, 6, TupleOut}: {
			RxPackets: 1, RxBytes: 54, TxPackets: 3, TxBytes: 180, Lifetime: 22603, Flags: CTSeenNonSyn | CTRxClosing, RevNAT: [2]byte{0, 5},
			TxFlagsSeen: 0x12, RxFlagsSeen: 2, SrcSecID: 10178, LastTxReport: 1000, LastRxReport: 1001,
		},
		{pod1, pod2, bp, cp, 6, TupleIn}:     {Lifetime: 1060},
		{vip, pod1, cp, vp, 6, TupleService}: {RxBytes: 7, Lifetime: 1060, RevNAT: [2]byte{0, 5}, TxFlagsSeen: 2, LastTxReport: 1000},
	} {
		must(t, s.CT4.Set(&k, &v, Any))
	}
	must(t, s.CTAny4.Set(&CTKey{DAddr: pod1, SAddr: pod2, Proto: 1, Flags: TupleIn | TupleRelated}, &CTEntry{
		Lifetime: 1060, Flags: CTTxClosing | CTNat46 | CTLBLoopback | CTNodePort | CTProxyRedirect | CTDSR | CTFromL7LB, Ifindex: 4,
	}, Any))
	want := `
TCP OUT 10.0.1.178:40000 -> 10.0.1.79:8080 expires=22603 RxPackets=1 RxBytes=54 RxFlagsSeen=0x02 LastRxReport=1001 TxPackets=3 TxBytes=180 TxFlagsSeen=0x12 LastTxReport=1000 Flags=0x0011 [ RxClosing SeenNonSyn ] RevNAT=5 SourceSecurityID=10178 IfIndex=0 
TCP IN 10.0.1.178:40000 -> 10.0.1.79:8080 expires=1060 RxPackets=0 RxBytes=0 RxFlagsSeen=0x00 LastRxReport=0 TxPackets=0 TxBytes=0 TxFlagsSeen=0x00 LastTxReport=0 Flags=0x0000 [ ] RevNAT=0 SourceSecurityID=0 IfIndex=0 
TCP OUT 10.96.52.248:80 -> 10.0.1.178:40000 service expires=1060 RxPackets=0 RxBytes=7 RxFlagsSeen=0x00 LastRxReport=0 TxPackets=0 TxBytes=0 TxFlagsSeen=0x02 LastTxReport=1000 Flags=0x0000 [ ] RevNAT=5 SourceSecurityID=0 IfIndex=0 

ICMP IN 10.0.1.178:0 -> 10.0.1.79:0 related expires=1060 RxPackets=0 RxBytes=0 RxFlagsSeen=0x00 LastRxReport=0 TxPackets=0 TxBytes=0 TxFlagsSeen=0x00 LastTxReport=0 Flags=0x01ee [ TxClosing Nat64 LBLoopback NodePort ProxyRedirect DSR Unknown=0x0100 ] RevNAT=0 SourceSecurityID=0 IfIndex=4 

`
	var b bytes.Buffer
	must(t, WriteCTList(&b, s.CT4, s.CTAny4, TextOptions{}))
	if d := cmp.Diff(show(want[1:]), show(b.String())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	b.Reset()
	must(t, WriteTable(&b, s.CTAny4, TextOptions{Remaining: func(l uint32) int64 { return int64(l) - 1000 }}))
	if got := b.String(); !strings.HasPrefix(got, "ICMP IN 10.0.1.178:0 -> 10.0.1.79:0 related expires=1060 (remaining: 60 sec(s)) RxPackets=0 ") {
		t.Errorf("with remaining time: %s", got)
	}
}

// TestRows checks the structured form, which the JSON output is made of.
func TestRows(t *testing.T) {
	t.Parallel()
	s := articleSet(t)
	got, err := Rows(s.Services, TextOptions{})
	must(t, err)
	all, err := Rows(s.Services, TextOptions{AllSlots: true})
	must(t, err)
	if len(got) != 4 || len(all) != 10 {
		t.Errorf("%d rows, %d with all slots; want 4 and 10", len(got), len(all))
	}
	j, err := json.Marshal(got[1])
	must(t, err)
	want := `{"key":"10.96.0.10:53","value":"0 2 (2) [0x0 0x0]","state":"sync","raw-key":"0a60000a0035000000000000","raw-value":"000000000200000200000000"}`
	if string(j) != want {
		t.Errorf("got  %s\nwant %s", j, want)
	}
	raw, err := Rows(s.TailCallBuffer, TextOptions{})
	must(t, err)
	if len(raw) != 1 || raw[0].Key != "00000000" || raw[0].Value != zeros(32) {
		t.Errorf("a map without text: %v", raw)
	}
}

// TestRowsOfForeignStore lists a store which has a known name but other sizes.
func TestRowsOfForeignStore(t *testing.T) {
	t.Parallel()
	for _, name := range []string{NameLXC, NameCT4, NameServices, NameMetrics, PolicyName(1), CallsName(1), NameIPCache} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := NewHash[uint64, uint64](Spec{Name: name, MaxEntries: 1})
			must(t, err)
			k := uint64(1)
			must(t, m.Set(&k, &k, Any))
			if _, err := Rows(m, TextOptions{}); !errors.Is(err, ErrInvalid) {
				t.Errorf("rows: %v", err)
			}
			for _, f := range []func(io.Writer, Store, TextOptions) error{WriteTable, WriteBPFList} {
				if err := f(io.Discard, m, TextOptions{}); !errors.Is(err, ErrInvalid) {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	v6 := IPCacheKey{PrefixLen: 32 + 64, Family: FamilyIPv6, IP: [4]byte{0xfd}}
	tests := []struct{ name, got, want string }{
		{"service of internal scope", LB4Key{Address: [4]byte{10, 96, 0, 1}, DPort: [2]byte{0, 80}, Scope: 1}.String(), "10.96.0.1:80/i"},
		{"service flags", LB4Service{BackendID: 1, Flags: 0x52, Flags2: 4}.String(), "1 0 (0) [0x52 0x4]"},
		{"node port in words", LB4Service{Flags: ServiceNodePort | ServiceRoutable | ServiceAffinity}.FlagText(), "NodePort, sessionAffinity"},
		{"load balancer in words", LB4Service{Flags: ServiceLoadBalancer | ServiceLocalScope | ServiceSourceRange | ServiceRoutable}.FlagText(), "LoadBalancer, Local, check source-range"},
		{"other services in words", LB4Service{Flags2: Service2LocalRedirect | Service2L7LB}.FlagText(), "LocalRedirect, non-routable, l7-load-balancer"},
		{"external and host port", LB4Service{Flags: ServiceExternalIP}.FlagText() + "; " + LB4Service{Flags: ServiceHostPort}.FlagText(), "ExternalIPs, non-routable; HostPort, non-routable"},
		{"IPv6 prefix", v6.String(), "fd00::/64"},
		{"prefix of no family", IPCacheKey{}.String(), "<unknown>"},
		{"endpoint of no family", EndpointKey{}.String(), "nil"},
		{"IPv6 endpoint", EndpointKey{Family: FamilyIPv6, Pad: [12]byte{11: 1}}.String(), "[::1]:0"},
		{"tunnel of no family", TunnelKey{}.String() + " " + TunnelEndpoint{}.String(), "nil nil 0"},
		{"backend with a protocol", LB4Backend{Proto: 17}.String(), "UDP://0.0.0.0:0"},
		{"protocol without a name", CTKey{Proto: 132}.String(), "132 OUT 0.0.0.0:0 -> 0.0.0.0:0"},
		{"ICMPv6", CTKey{Proto: 58, Flags: TupleIn}.String(), "ICMPv6 IN 0.0.0.0:0 -> 0.0.0.0:0"},
		{"policy key", PolicyKey{SecLabel: 5, DPort: [2]byte{0, 53}, Proto: 17, Egress: 1}.String(), "Egress: 5 53/UDP"},
		{"policy entry", PolicyEntry{Packets: 1, Bytes: 2}.String(), "Allow proxyport=NONE packets=1 bytes=2"},
		{"metrics", MetricsKey{Reason: 200, Dir: 1}.String() + " " + MetricsValue{1, 2}.String(), "200, ext INGRESS count:1 bytes:2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.got != tt.want {
				t.Errorf("got  %q\nwant %q", tt.got, tt.want)
			}
		})
	}
}
