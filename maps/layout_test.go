package maps

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLayout holds the structs against the offsets of Cilium's C structs (SPEC 3.8, 5.1, 6.1, 7, 8, 12.3, 13, 14.1).
func TestLayout(t *testing.T) {
	t.Parallel()
	tests := []struct {
		typ     reflect.Type
		size    uintptr
		offsets map[string]uintptr
	}{
		{reflect.TypeFor[CTKey](), 14, map[string]uintptr{"DAddr": 0, "SAddr": 4, "DPort": 8, "SPort": 10, "Proto": 12, "Flags": 13}},
		{reflect.TypeFor[CTEntry](), 56, map[string]uintptr{
			"RxPackets": 0, "RxBytes": 8, "TxPackets": 16, "TxBytes": 24, "Lifetime": 32, "Flags": 36, "RevNAT": 38, "Ifindex": 40,
			"TxFlagsSeen": 42, "RxFlagsSeen": 43, "SrcSecID": 44, "LastTxReport": 48, "LastRxReport": 52,
		}},
		{reflect.TypeFor[FragKey](), 12, map[string]uintptr{"DAddr": 0, "SAddr": 4, "ID": 8, "Proto": 10, "Pad": 11}},
		{reflect.TypeFor[FragPorts](), 4, map[string]uintptr{"SPort": 0, "DPort": 2}},
		{reflect.TypeFor[EndpointKey](), 20, map[string]uintptr{"IP": 0, "Pad": 4, "Family": 16, "Key": 17, "Pad2": 18}},
		{reflect.TypeFor[EndpointInfo](), 48, map[string]uintptr{
			"Ifindex": 0, "Unused": 4, "LXCID": 6, "Flags": 8, "Pad": 12, "MAC": 16, "Pad2": 22, "NodeMAC": 24, "Pad3": 30, "Pad4": 32,
		}},
		{reflect.TypeFor[IPCacheKey](), 24, map[string]uintptr{"PrefixLen": 0, "Pad1": 4, "Pad2": 6, "Family": 7, "IP": 8, "Pad3": 12}},
		{reflect.TypeFor[RemoteEndpointInfo](), 12, map[string]uintptr{"SecLabel": 0, "TunnelEndpoint": 4, "NodeID": 8, "Key": 10, "Pad": 11}},
		{reflect.TypeFor[LB4Key](), 12, map[string]uintptr{"Address": 0, "DPort": 4, "BackendSlot": 6, "Proto": 8, "Scope": 9, "Pad": 10}},
		{reflect.TypeFor[LB4Service](), 12, map[string]uintptr{"BackendID": 0, "Count": 4, "RevNAT": 6, "Flags": 8, "Flags2": 9, "Pad": 10}},
		{reflect.TypeFor[LB4BackendKey](), 4, map[string]uintptr{"ID": 0}},
		{reflect.TypeFor[LB4Backend](), 8, map[string]uintptr{"Address": 0, "Port": 4, "Proto": 6, "State": 7}},
		{reflect.TypeFor[RevNATKey](), 2, map[string]uintptr{"ID": 0}},
		{reflect.TypeFor[RevNAT](), 6, map[string]uintptr{"Address": 0, "Port": 4}},
		{reflect.TypeFor[TunnelKey](), 20, map[string]uintptr{"IP": 0, "Pad": 4, "Family": 16, "ClusterID": 17, "Pad2": 18}},
		{reflect.TypeFor[TunnelEndpoint](), 20, map[string]uintptr{"IP": 0, "Pad": 4, "Family": 16, "Key": 17, "NodeID": 18}},
		{reflect.TypeFor[PolicyKey](), 8, map[string]uintptr{"SecLabel": 0, "DPort": 4, "Proto": 6, "Egress": 7}},
		{reflect.TypeFor[PolicyEntry](), 24, map[string]uintptr{"ProxyPort": 0, "Deny": 2, "Pad": 3, "Pad1": 4, "Pad2": 6, "Packets": 8, "Bytes": 16}},
		{reflect.TypeFor[MetricsKey](), 8, map[string]uintptr{"Reason": 0, "Dir": 1, "Pad": 2}},
		{reflect.TypeFor[MetricsValue](), 16, map[string]uintptr{"Count": 0, "Bytes": 8}},
		{reflect.TypeFor[CTBuffer4](), 32, map[string]uintptr{
			"Tuple": 0, "RevNAT": 14, "Flags": 16, "Ifindex": 18, "BackendID": 20, "Monitor": 24, "Ret": 28,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.typ.Name(), func(t *testing.T) {
			t.Parallel()
			if got := tt.typ.Size(); got != tt.size {
				t.Errorf("size %d, want %d", got, tt.size)
			}
			got := make(map[string]uintptr)
			for f := range tt.typ.Fields() {
				got[f.Name] = f.Offset
			}
			if d := cmp.Diff(tt.offsets, got); d != "" {
				t.Errorf("offsets (-want +got):\n%s", d)
			}
			if err := plain(tt.typ); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRawEntries compares entries written in Go with bytes recorded from the maps of Cilium 1.12.8 programs. The recordings hold
// reverse NAT ids low byte first, because whoever filled those maps did not swap them as the agent does; to the programs they are
// opaque.
func TestRawEntries(t *testing.T) {
	t.Parallel()
	bits := uint16(CTSeenNonSyn)
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"lxc key", raw(NewEndpointKey([4]byte{10, 0, 1, 178})), "0a0001b200000000000000000000000001000000"},
		{"lxc pod", raw(EndpointInfo{
			Ifindex: 14, LXCID: 1272,
			MAC: [6]byte{0x66, 0xfe, 0xf8, 0x92, 0xbf, 0xaf}, NodeMAC: [6]byte{0x5a, 3, 0xc6, 0xe1, 0x49, 0xd2},
		}), "0e0000000000f804000000000000000066fef892bfaf00005a03c6e149d2000000000000000000000000000000000000"},
		{"lxc host", raw(EndpointInfo{Flags: EndpointHost}), "000000000000000001000000" + zeros(36)},
		{"ipcache world", raw(NewIPCacheKey([4]byte{}, 0)), "200000000000000100000000000000000000000000000000"},
		{"ipcache pod", raw(NewIPCacheKey([4]byte{10, 0, 2, 230}, 32)), "40000000000000010a0002e6000000000000000000000000"},
		{"ipcache cidr", raw(NewIPCacheKey([4]byte{93, 184, 216, 0}, 24)), "38000000000000015db8d800000000000000000000000000"},
		{"ipcache value", raw(RemoteEndpointInfo{SecLabel: 13789, TunnelEndpoint: [4]byte{172, 18, 0, 5}}), "dd350000ac12000500000000"},
		{"ipcache cidr value", raw(RemoteEndpointInfo{SecLabel: 16777300}), "540000010000000000000000"},
		{"tunnel key", raw(NewTunnelKey([4]byte{10, 0, 2, 0})), "0a00020000000000000000000000000001000000"},
		{"tunnel value", raw(NewTunnelEndpoint([4]byte{172, 18, 0, 5})), "ac12000500000000000000000000000001000000"},
		{"backend key", raw(LB4BackendKey{ID: 10}), "0a000000"},
		{"backend", raw(LB4Backend{Address: [4]byte{10, 0, 1, 79}, Port: [2]byte{0x1f, 0x91}, State: BackendTerminating}), "0a00014f1f910001"},
		{"service frontend", raw(LB4Key{Address: [4]byte{10, 96, 0, 10}, DPort: [2]byte{0, 53}}), "0a60000a0035000000000000"},
		{"service slot", raw(LB4Key{Address: [4]byte{10, 96, 0, 10}, DPort: [2]byte{0, 53}, BackendSlot: 2}), "0a60000a0035020000000000"},
		{"service frontend value", raw(LB4Service{Count: 2, RevNAT: [2]byte{2, 0}}), "000000000200020000000000"},
		{"service slot value", raw(LB4Service{BackendID: 4, RevNAT: [2]byte{2, 0}}), "040000000000020000000000"},
		{"revnat key", raw(RevNATKey{ID: [2]byte{5, 0}}), "0500"},
		{"revnat", raw(RevNAT{Address: [4]byte{10, 96, 52, 248}, Port: [2]byte{0, 80}}), "0a6034f80050"},
		{"policy all egress", raw(PolicyKey{Egress: PolicyEgress}), "0000000000000001"},
		{"policy port", raw(PolicyKey{SecLabel: 10178, DPort: [2]byte{0, 80}, Proto: 6}), "c227000000500600"},
		{"policy icmp", raw(PolicyKey{SecLabel: 10178, DPort: [2]byte{0, 8}, Proto: 1}), "c227000000080100"},
		{"policy proxy", raw(PolicyEntry{ProxyPort: [2]byte{0x3a, 0x99}}), "3a99" + zeros(22)},
		{"policy deny", raw(PolicyEntry{Deny: PolicyDeny}), "000001" + zeros(21)},
		{"frag key", raw(FragKey{
			DAddr: [4]byte{10, 0, 2, 230}, SAddr: [4]byte{10, 0, 1, 178}, ID: [2]byte{0x45, 0x45}, Proto: 17,
		}), "0a0002e60a0001b245451100"},
		{"frag ports", raw(FragPorts{SPort: [2]byte{0x13, 0x89}, DPort: [2]byte{0, 53}}), "13890035"},
		{"ct key", raw(CTKey{
			DAddr: [4]byte{10, 0, 1, 178}, SAddr: [4]byte{10, 0, 1, 79}, DPort: [2]byte{0x1f, 0x90}, SPort: [2]byte{0x9c, 0x40}, Proto: 6, Flags: TupleIn,
		}), "0a0001b20a00014f1f909c400601"},
		{"ct entry", raw(CTEntry{
			RxPackets: 1, RxBytes: 54, TxPackets: 3, TxBytes: 180, Lifetime: 22603, Flags: bits, RevNAT: [2]byte{5, 0},
			TxFlagsSeen: 2, RxFlagsSeen: 2, SrcSecID: 10178, LastTxReport: 1000, LastRxReport: 1001,
		}), "010000000000000036000000000000000300000000000000b4000000000000004b5800001000050000000202c2270000e8030000e9030000"},
		{
			"ct service entry", raw(CTEntry{RxBytes: 7, Lifetime: 1060, RevNAT: [2]byte{5, 0}, TxFlagsSeen: 2, LastTxReport: 1000}),
			"000000000000000007000000000000000000000000000000000000000000000024040000000005000000020000000000e803000000000000",
		},
		{"metrics key", raw(MetricsKey{Reason: 133, Dir: MetricIngress}), "8501000000000000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := hex.EncodeToString(tt.got); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// raw returns a copy of v's bytes.
func raw[T any](v T) []byte { return append([]byte(nil), view(&v)...) }

func zeros(n int) string { return hex.EncodeToString(make([]byte, n)) }
