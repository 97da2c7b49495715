package code

// Dir is the direction of a metric (SPEC 12.3).
type Dir uint8

// Metric directions.
const (
	Ingress Dir = 1
	Egress  Dir = 2
	Service Dir = 3
)

// String is the direction as `cilium bpf metrics list` prints it.
func (d Dir) String() string {
	switch d {
	case Ingress:
		return "INGRESS"
	case Egress:
		return "EGRESS"
	case Service:
		return "SERVICE"
	}
	return "UNKNOWN"
}

// TracePoint is the subtype of a trace notification (SPEC 12.4).
type TracePoint uint8

// Trace points.
const (
	TraceToLXC       TracePoint = 0
	TraceToProxy     TracePoint = 1
	TraceToHost      TracePoint = 2
	TraceToStack     TracePoint = 3
	TraceToOverlay   TracePoint = 4
	TraceFromLXC     TracePoint = 5
	TraceFromProxy   TracePoint = 6
	TraceFromHost    TracePoint = 7
	TraceFromStack   TracePoint = 8
	TraceFromOverlay TracePoint = 9
	TraceFromNetwork TracePoint = 10
	TraceToNetwork   TracePoint = 11
)

// String is the trace point in Hubble's words.
func (p TracePoint) String() string {
	names := [...]string{
		"to-endpoint", "to-proxy", "to-host", "to-stack", "to-overlay", "from-endpoint",
		"from-proxy", "from-host", "from-stack", "from-overlay", "from-network", "to-network",
	}
	if int(p) < len(names) {
		return names[p]
	}
	return "unknown"
}

// CTStatus is the outcome of a conntrack lookup, and the reason of a trace
// notification (SPEC 5.2, 12.4).
type CTStatus uint8

// Conntrack outcomes; CTUnknown is TRACE_REASON_UNKNOWN, for notifications only.
const (
	CTNew         CTStatus = 0
	CTEstablished CTStatus = 1
	CTReply       CTStatus = 2
	CTRelated     CTStatus = 3
	CTReopened    CTStatus = 4
	CTUnknown     CTStatus = 5
)

// String is the state as `cilium monitor` prints it.
func (s CTStatus) String() string {
	names := [...]string{"new", "established", "reply", "related", "reopened"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// Reserved identities (SPEC 7).
const (
	IdentityUnknown       uint32 = 0
	IdentityHost          uint32 = 1
	IdentityWorld         uint32 = 2
	IdentityUnmanaged     uint32 = 3
	IdentityHealth        uint32 = 4
	IdentityInit          uint32 = 5
	IdentityRemoteNode    uint32 = 6
	IdentityKubeAPIServer uint32 = 7
	IdentityIngress       uint32 = 8
)

// IdentityName is the reserved identity's name, or "" for a numeric one.
func IdentityName(id uint32) string {
	names := [...]string{"unknown", "host", "world", "unmanaged", "health", "init", "remote-node", "kube-apiserver", "ingress"}
	if id < uint32(len(names)) {
		return names[id]
	}
	return ""
}

// File ids of drop notifications (SPEC 12.4).
const (
	FileUnknown uint8 = 0
	FileHost    uint8 = 3
	FileOverlay uint8 = 4
	FileLXC     uint8 = 8
)

// FileName is the C file that a drop notification's file id names.
func FileName(id uint8) string {
	names := [...]string{
		"unknown", "bpf_network.c", "bpf_sock.c", "bpf_host.c", "bpf_overlay.c",
		"bpf_xdp.c", "bpf_alignchecker.c", "cilium-probe-kernel-hz.c", "bpf_lxc.c",
	}
	if int(id) < len(names) {
		return names[id]
	}
	return "unknown"
}

// MatchType is how a policy entry matched (SPEC 12.4, 13).
type MatchType uint8

// Policy matches.
const (
	MatchNone  MatchType = 0
	MatchL3    MatchType = 1
	MatchL3L4  MatchType = 2
	MatchL4    MatchType = 3
	MatchAll   MatchType = 4
	matchTypes MatchType = 5
)

// String is the match as `cilium monitor` prints it.
func (m MatchType) String() string {
	names := [matchTypes]string{"none", "L3-Only", "L3-L4", "L4-Only", "all"}
	if int(m) < len(names) {
		return names[m]
	}
	return "unknown"
}
