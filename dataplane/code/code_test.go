package code_test

import (
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane/code"
)

func TestReason(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n    uint8
		want string
	}{
		{0, "Success"},
		{1, "1, ext"},
		{2, "Invalid packet"},
		{3, "Interface"},
		{9, "Fragmented packet"},
		{11, "Missed tail call to custom program"},
		{12, "12, ext"},
		{14, "14, ext"},
		{129, "129, ext"},
		{130, "Invalid source mac"},
		{133, "Policy denied"},
		{137, "CT: Unknown L4 protocol"},
		{159, "159, ext"},
		{160, "No tunnel/encapsulation endpoint (datapath BUG!)"},
		{181, "Policy denied by denylist"},
		{184, "Failed to update or lookup TC buffer"},
		{185, "185, ext"},
		{255, "255, ext"},
	} {
		if got := code.Reason(tt.n); got != tt.want {
			t.Errorf("Reason(%d) = %q, want %q", tt.n, got, tt.want)
		}
	}
}

// TestReasonsAreDistinct finds a text that was pasted twice. Cilium itself has
// one such pair, 2 and 134.
func TestReasonsAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]uint8{}
	for n := range 256 {
		text := code.Reason(uint8(n))
		if was, ok := seen[text]; ok && (was != 2 || n != 134) {
			t.Errorf("reasons %d and %d are both %q", was, n, text)
		}
		seen[text] = uint8(n)
	}
}

func TestRet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ret    code.Ret
		err    bool
		reason uint8
		want   string
	}{
		{code.OK, false, 0, "ok"},
		{code.Drop, false, 254, "drop"},
		{code.Redirect, false, 249, "redirect"},
		{code.Fault, true, 14, "14, ext (-14)"},
		{code.DropPolicy, true, 133, "Policy denied (-133)"},
		{code.DropInvalidTCBuffer, true, 184, "Failed to update or lookup TC buffer (-184)"},
		{1, false, 255, "unspec (1)"},
		{-255, true, 255, "255, ext (-255)"},
		{-256, true, 0, "unspec (-256)"},
	} {
		if got := tt.ret.String(); got != tt.want {
			t.Errorf("Ret(%d) = %q, want %q", int32(tt.ret), got, tt.want)
		}
		if got := tt.ret.IsErr(); got != tt.err {
			t.Errorf("Ret(%d).IsErr() = %t, want %t", int32(tt.ret), got, tt.err)
		}
		if got := tt.ret.Reason(); got != tt.reason {
			t.Errorf("Ret(%d).Reason() = %d, want %d", int32(tt.ret), got, tt.reason)
		}
	}
}

// TestDropValues has the numbers of SPEC 12.1 once more: they are an ABI.
func TestDropValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ret  code.Ret
		want int32
		text string
	}{
		{code.DropInvalidSIP, -132, "Invalid source ip"},
		{code.DropPolicy, -133, "Policy denied"},
		{code.DropInvalid, -134, "Invalid packet"},
		{code.DropCTInvalidHdr, -135, "CT: Truncated or invalid header"},
		{code.DropCTUnknownProto, -137, "CT: Unknown L4 protocol"},
		{code.DropUnknownL3, -139, "Unsupported L3 protocol"},
		{code.DropMissedTailCall, -140, "Missed tail call"},
		{code.DropWriteError, -141, "Error writing to packet"},
		{code.DropUnknownL4, -142, "Unknown L4 protocol"},
		{code.DropNoTunnelKey, -147, "Error retrieving tunnel key"},
		{code.DropUnroutable, -151, "Stale or unroutable IP"},
		{code.DropCsumL3, -153, "Error while correcting L3 checksum"},
		{code.DropCsumL4, -154, "Error while correcting L4 checksum"},
		{code.DropCTCreateFailed, -155, "CT: Map insertion failed"},
		{code.DropNoService, -158, "Service backend not found"},
		{code.DropNoTunnel, -160, "No tunnel/encapsulation endpoint (datapath BUG!)"},
		{code.DropUnknownCT, -163, "Unknown connection tracking state"},
		{code.DropUnsupportedL2, -166, "Unsupported L2 protocol"},
		{code.DropEncapProhibited, -170, "Encapsulation traffic is prohibited"},
		{code.DropInvalidIdentity, -171, "Invalid identity"},
		{code.DropFragNotFound, -175, "First logical datagram fragment not found"},
		{code.DropPolicyDeny, -181, "Policy denied by denylist"},
		{code.DropInvalidTCBuffer, -184, "Failed to update or lookup TC buffer"},
	} {
		if int32(tt.ret) != tt.want || code.Reason(tt.ret.Reason()) != tt.text {
			t.Errorf("code %d is %q, want %d %q", int32(tt.ret), code.Reason(tt.ret.Reason()), tt.want, tt.text)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	all := func(n int, f func(i int) string) string {
		var names []string
		for i := range n {
			names = append(names, f(i))
		}
		return strings.Join(names, " ")
	}
	for _, tt := range []struct{ name, got, want string }{
		{"directions", all(5, func(i int) string { return code.Dir(i).String() }), "UNKNOWN INGRESS EGRESS SERVICE UNKNOWN"},
		{
			"trace points", all(13, func(i int) string { return code.TracePoint(i).String() }),
			"to-endpoint to-proxy to-host to-stack to-overlay from-endpoint from-proxy from-host from-stack from-overlay from-network to-network unknown",
		},
		{"conntrack", all(7, func(i int) string { return code.CTStatus(i).String() }), "new established reply related reopened unknown unknown"},
		{"matches", all(6, func(i int) string { return code.MatchType(i).String() }), "none L3-Only L3-L4 L4-Only all unknown"},
		{
			"identities", all(10, func(i int) string { return code.IdentityName(uint32(i)) }),
			"unknown host world unmanaged health init remote-node kube-apiserver ingress ",
		},
		{
			"files", all(10, func(i int) string { return code.FileName(uint8(i)) }),
			"unknown bpf_network.c bpf_sock.c bpf_host.c bpf_overlay.c bpf_xdp.c bpf_alignchecker.c cilium-probe-kernel-hz.c bpf_lxc.c unknown",
		},
	} {
		if tt.got != tt.want {
			t.Errorf("%s are %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}
