package main

import "strings"

// reason says why code of a function is reached by no packet. With code it is that of the
// lines that have it.
type reason struct{ function, code, text string }

// unexplained is said of code that has no reason: what the next packets should reach.
const unexplained = "**no reason is known**"

// why finds the reason for code.
func why(list []reason, function, code string) string {
	for _, r := range list {
		if r.function == function && strings.Contains(code, r.code) {
			return r.text
		}
	}
	return unexplained
}

// Reasons that several functions share.
const (
	readBefore  = "a program before this one, or this one, has read the header already, and frames do not get shorter on the way"
	noEviction  = "needs an update of an LRU map to fail, which evicts instead, or one after the first: where updates fail on purpose, the first does"
	ownMaps     = "programs are loaded into maps of the node's own, which have all slots"
	remembered  = "the journal that a comparison records with makes each lookup a search: what is remembered is compared with a search by TestMemos"
	lifecycle   = "no packet comes here: it is about programs, for `map` commands and messages"
	faultedOnly = "needs bpf_l3_csum_replace or a checksum itself to fail on bytes that could be read, which nothing does; those failures that are made on purpose are of other helpers"
)

// goReasons are those of dataplane/emu.
func goReasons() []reason {
	return []reason{
		{"load", "", ownMaps},
		{"Load", "", ownMaps + "; every object has all entries of its kind"},
		{"entry", "", "every object has all entries of its kind"},
		{"progName", "", lifecycle},
		{"Name", "", lifecycle},
		{"SetFaults", "", "faults on purpose: the tests of drop reasons use it"},
		{"handleIPv4FromLXC", "DropInvalid", readBefore},
		{"ipv4Policy", "DropInvalid", readBefore},
		{"tailIPv4ToEndpoint", "DropInvalid", readBefore},
		{"policyCanAccessInner", "DropInvalid", readBefore},
		{"policyCanAccessInner", "match, code.OK", "the flag in `cb` that lets packets pass is cleared before every question that a policy answers"},
		{"lb4RevNATInner", "Fault", readBefore + ": conntrack has read the ports"},
		{"egressConnection", "", "conntrack finds one of five states: another one comes only of a fault on purpose"},
		{"handleIPv4FromLXC", "return ret", noEviction},
		{"ipv4Policy", "return ret", noEviction},
		{"ctCreate4", "state.svcAddr", "the entry of a connection that comes in is made without the loopback flag, as in C"},
		{"ctCreate4", "", noEviction},
		{"ctSet", "", noEviction},
		{"fragmentPorts", "", noEviction},
		{"lookupIP4Endpoint", "return ep", remembered},
		{"ipcacheLookup4", "return info", remembered},
		{"lookupTunnel", "return t", remembered},
		{"lb4LookupService", "return svc", remembered},
		{"updateMetrics", "v.Count++", remembered},
		{"lb4NewFlow", "return nil", noEviction},
		{"traceUpdate", "", noEviction},
		{"lb4KnownFlow", "return nil", "asks again for the service that was found a moment before, with the same key"},
		{"ctToBuffer", "", "the first entry of an array map is always there"},
		{"l3CsumReplaceDiff", "", faultedOnly},
		{"lb4Xlate", "DropCsumL3", faultedOnly},
		{"lb4RevNATInner", "DropCsumL3", faultedOnly},
		{"lb4RevNATInner", "DropCsumL4", "needs a reply that ends between ports and checksum, of a service with the backend's own port"},
		{"csumL4", "0xffff", "needs a UDP checksum that comes out as 0: one in 65,535 of those that are rewritten. Scenario: dataplane/compare/testdata/udp-checksum-zero.txtar"},
		{"validateEthertype", "", "frames of less than 14 bytes reach no hook, and BPF_PROG_TEST_RUN takes none"},
		{"ctxRedirectToProxyHairpinIPv4", "", "conntrack has read the header: only a TTL that has run out stops the packet here"},
	}
}

// cReasons are those of bpf/.
func cReasons() []reason {
	return []reason{
		{"tail_ipv4_to_endpoint", "DROP_INVALID", readBefore},
		{"ctx_head", "return data + len", "needs a frame whose head is not linear: those of BPF_PROG_TEST_RUN and of the virtual machine are"},
		{"ct_lookup4", "if (ret < 0)", "the instructions of this condition that are left are those of a copy of the code in which the outcome is known before"},
	}
}
