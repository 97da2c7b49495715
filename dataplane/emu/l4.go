package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// l4ModifyPort rewrites the port at offset off of the L4 header, checksum first.
//
// C: l4_modify_port (lib/l4.h).
func (o *object) l4ModifyPort(p *dataplane.Packet, l4, off int, c csumOffset, port, old [2]byte) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.L4ModifyPort)
		return p.Trace.Leave(trace.L4ModifyPort, o.l4ModifyPort(p, l4, off, c, port, old))
	}
	if o.e.fails(FailL4CsumReplace) || !csumL4Replace2(p, l4, c, old, port) {
		return code.DropCsumL4
	}
	if o.e.fails(FailStoreBytes) || !store(p, l4+off, port[:]) {
		return code.DropWriteError
	}
	return code.OK
}
