package dataplane

import "github.com/hooklab/hooklab/dataplane/code"

// RedirectFlags says how a redirect reaches its device.
type RedirectFlags uint8

// A redirect without flags transmits on the device (bpf_redirect, flags 0).
const (
	RedirectIngress RedirectFlags = 1 << iota // receive on the device (BPF_F_INGRESS)
	RedirectPeer                              // receive on the device's peer, in its namespace (bpf_redirect_peer)
)

// Verdict is what a program decided.
type Verdict struct {
	Action  code.Ret // raw return value; not OK, Drop or Redirect: the frame goes on (SPEC 0.4)
	Drop    code.Ret // the reason if Action is Drop, else 0
	Ifindex uint32   // target of a redirect, else 0
	Flags   RedirectFlags
}

// Kind classifies the verdict as cls_bpf in direct-action mode does.
func (v Verdict) Kind() Kind {
	switch v.Action {
	case code.OK:
		return Pass
	case code.Drop:
		return Dropped
	case code.Redirect:
		return Redirected
	}
	return Unspec
}

// Kind is a class of verdicts.
type Kind uint8

// What the kernel does with the frame. Unspec continues like Pass, with whatever
// was rewritten, but without a decision.
const (
	Pass Kind = iota
	Dropped
	Redirected
	Unspec
)

// String is the class as the vectors spell it.
func (k Kind) String() string {
	return [...]string{"ok", "drop", "redirect", "unspec"}[k&3]
}
