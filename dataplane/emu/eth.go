package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
)

// validateEthertype reads the ether type in host order; false is a frame without
// one: too short, or an 802.3 length in its place.
//
// Differs: a VLAN tag in the frame's bytes is an unknown ether type, while the
// kernel moves the tag into metadata before a program runs, which then sees the
// inner type. Test: TestVLANTag.
//
// C: validate_ethertype (lib/eth.h).
func validateEthertype(p *dataplane.Packet) (uint16, bool) {
	eth := p.Eth()
	if eth == nil {
		return 0, false
	}
	t := eth.Type()
	return t, t >= header.EtherTypeMin
}
