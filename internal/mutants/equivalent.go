package main

// equivalents says of faults that no comparison can find why they are none: for each, what
// a reviewer has to look at. The keys are those of fault.key; one that names no fault of
// the package any more fails a test, and one that was found is an error.
func equivalents() map[string]string {
	const (
		buffer = "the bits are those of cilium_tail_call_buffer4, which only ctToBuffer writes: zero, or the entry's that ctStateBits lets through, " +
			"of which bit 0 is none; no command and no scenario reaches that map"
		capture = "a monitor value is compared with 0 (emitTraceNotify) and cut to the capture length (computeCaptureLen), " +
			"and a notification never has more than trace.MaxCapture, 128 bytes, of the packet (Ring): 129 captures what 128 does"
	)
	return map[string]string{
		"bpf_lxc_ingress.go ingressPolicy: constant 9 for 8: maps.CTLBLoopback":  buffer,
		"bpf_lxc.go handleIPv4FromLXC: constant 9 for 8: maps.CTLBLoopback":      buffer,
		"bpf_lxc.go handleXgress: constant 129 for 128: monitorAlways":           capture,
		"conntrack.go ctUpdateTimeoutInner: constant 129 for 128: monitorAlways": capture,
		"bpf_lxc_ingress.go tailIPv4ToEndpoint: constant -133 for -134: code.DropInvalid": "tailIPv4CTIngress, the only program that jumps here, " +
			"has read the same header before (ctToBuffer) and nothing changes the frame in between: it is never nil",
		"bpf_lxc_ingress.go ingressPolicy: constant 1 for 0: code.OK (2)": "ipv4Policy, the only caller, asks whether the result is an error " +
			"and returns something else on every path behind that",
		"l3.go ipv4LocalDelivery: constant 2 for 3: cbFromHost": "both slots are 0 already: all three programs that deliver clear cb when the packet enters " +
			"(bpfClearMeta), none writes slot 3 after that, and slot 2 only bpf_lxc, which clears it before it delivers (egressRoute); line 70 writes slot 3 where it is not to be 0",
		"conntrack.go ctCreate4: dropped statement: k.SAddr, k.DAddr = state.addr, state.svcAddr": "it needs a state with the loopback bit and direction ingress; " +
			"the only caller with that direction, ipv4Policy, hands over a state that has nothing but the identity",
		"conntrack.go ctCreate4: negated condition: ret.IsErr() (3)": "without an error both ways return OK. An error comes of FailMapUpdate, which holds for a whole run, " +
			"so the first ctSet has returned with it, or of an LRU map that refuses, which it does only for flags other than Any (maps/lru.go)",
		"drop.go sendDropNotifyInner: constant 254 for 255: 0xff": "the byte is what sendDropNotify, whose tail call alone leads here, put there: the exit code of a drop, " +
			"which is code.OK (0) or code.Drop (2) wherever a drop is made",
		"lb.go lb4CtxRestoreState: dropped statement: s.backendID = p.CB[cbBackendID]": "the state goes to ctCreate4 with direction egress, " +
			"which reads the backend for direction service only; nobody else reads it",
	}
}
