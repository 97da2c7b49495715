// Package code holds the numbers that the datapath speaks in: return codes,
// drop reasons, metric directions, trace points and their texts. It is a leaf.
package code

import "strconv"

// Ret is what a TC program returns: an action (0, 2, 7) or a negative DROP_*
// that escaped it. Values are the kernel's and Cilium's (SPEC 0.4, 12.1).
type Ret int32

// Actions. Any other value means TC_ACT_UNSPEC to cls_bpf in direct-action mode:
// the packet goes on as if there were no program.
const (
	OK       Ret = 0 // CTX_ACT_OK, TC_ACT_OK
	Drop     Ret = 2 // CTX_ACT_DROP, TC_ACT_SHOT
	Redirect Ret = 7 // CTX_ACT_REDIRECT, TC_ACT_REDIRECT
)

// Drop reasons (SPEC 12.1). Fault is -EFAULT, what a helper answers when it is
// asked for bytes that the packet does not have.
const (
	Fault               Ret = -14
	DropInvalidSIP      Ret = -132
	DropPolicy          Ret = -133
	DropInvalid         Ret = -134
	DropCTInvalidHdr    Ret = -135
	DropCTUnknownProto  Ret = -137
	DropUnknownL3       Ret = -139
	DropMissedTailCall  Ret = -140
	DropWriteError      Ret = -141
	DropUnknownL4       Ret = -142
	DropNoTunnelKey     Ret = -147
	DropUnroutable      Ret = -151
	DropCsumL3          Ret = -153
	DropCsumL4          Ret = -154
	DropCTCreateFailed  Ret = -155
	DropNoService       Ret = -158
	DropNoTunnel        Ret = -160 // DROP_NO_TUNNEL_ENDPOINT: "not tunnelled" to its callers
	DropUnknownCT       Ret = -163
	DropUnsupportedL2   Ret = -166
	DropEncapProhibited Ret = -170
	DropInvalidIdentity Ret = -171
	DropFragNotFound    Ret = -175
	DropPolicyDeny      Ret = -181
	DropInvalidTCBuffer Ret = -184
)

// IsErr tells a drop reason from an action, as IS_ERR does.
func (r Ret) IsErr() bool { return r < 0 }

// Reason is the drop reason as the 8-bit number of metrics and notifications.
func (r Ret) Reason() uint8 { return uint8(-r) }

// String is the action's name, or the drop reason's text with its raw value.
func (r Ret) String() string {
	switch {
	case r == OK:
		return "ok"
	case r == Drop:
		return "drop"
	case r == Redirect:
		return "redirect"
	case r < 0 && r >= -255:
		return Reason(r.Reason()) + " (" + strconv.Itoa(int(r)) + ")"
	default:
		return "unspec (" + strconv.Itoa(int(r)) + ")"
	}
}
