package lab

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/node"
)

// FrameFilter chooses frames for Client.Frames. The zero value chooses all.
type FrameFilter struct {
	Nodes    []string // nil: all
	Programs []string // "from-container"; nil: all hooks, and what enters pods
	Devices  []Device // nil: all
	SnapLen  int      // bytes of each frame; 0: all
}

// Device is a device of a node, which may be none of the kernel's.
type Device struct {
	Node    string
	Ifindex uint32
}

// frameFilter is a FrameFilter for the nodes' goroutines.
type frameFilter struct {
	SnapLen  int
	programs []dataplane.Prog
	devices  map[Device]bool
}

func newFrameFilter(f *FrameFilter) (*frameFilter, error) {
	out := &frameFilter{SnapLen: f.SnapLen}
	if out.SnapLen <= 0 || out.SnapLen > frameRoom {
		out.SnapLen = frameRoom
	}
	for _, name := range f.Programs {
		p, ok := dataplane.ParseProg(name)
		if !ok {
			return nil, inputErrorf("program %q: there are from-container, to-container, from-host, to-host, from-overlay, to-overlay", name)
		}
		out.programs = append(out.programs, p)
	}
	if f.Devices != nil {
		out.devices = make(map[Device]bool)
		for _, d := range f.Devices {
			out.devices[d] = true
		}
	}
	return out, nil
}

// wants chooses: frames before and after a program, those that enter a pod, and those
// that are lost outside of a program.
func (f *frameFilter) wants(name string, e *node.Event) bool {
	switch e.Kind {
	case node.EventBefore, node.EventAfter:
		if f.programs != nil && !slices.Contains(f.programs, e.Hook.Prog) {
			return false
		}
	case node.EventToPod:
		if f.programs != nil {
			return false
		}
	case node.EventLost:
		if f.programs != nil || e.Loss == node.LossVerdict || e.Device == nil {
			return false
		}
	default:
		return false
	}
	return f.devices == nil || f.devices[Device{name, e.Device.Ifindex}]
}

// on says whether frames of a node can be among those that are wanted.
func (f *frameFilter) on(name string) bool {
	if f.devices == nil {
		return true
	}
	for d := range f.devices {
		if d.Node == name {
			return true
		}
	}
	return false
}

// Frame is a frame at a hook of a running lab.
type Frame struct {
	Kind    node.EventKind // EventBefore, EventAfter, EventToPod or EventLost
	Prog    dataplane.Prog // of EventBefore and EventAfter
	Loss    node.Loss      // of EventLost
	Ifindex uint32         // of the device
	Verdict dataplane.Verdict
	Mark    uint32
	VNI     uint32 // of a tunnel key that the frame carries or was given; 0: none
	Partial bool   // its checksum is still to be completed
	Segment uint16 // bytes of each segment of an aggregate, else 0
	OrigLen int
	Data    []byte // valid until the next frame
}

const frameHeadSize = 37

// appendFrameHead writes what is known of a frame.
func appendFrameHead(b []byte, e *node.Event) []byte {
	p := e.Packet
	var prog dataplane.Prog
	if e.Hook != nil {
		prog = e.Hook.Prog
	}
	vni := p.TunnelIn.ID
	if p.TunnelOut.Present {
		vni = p.TunnelOut.ID
	}
	partial := uint8(0)
	if p.Csum.Partial {
		partial = 1
	}
	b = append(b, uint8(e.Kind), uint8(prog), uint8(e.Loss), uint8(e.Verdict.Flags), partial)
	b = binary.LittleEndian.AppendUint16(b, p.GSO.Size)
	b = append(b, 0, 0)
	for _, v := range []uint32{
		e.Device.Ifindex, uint32(e.Verdict.Action), uint32(e.Verdict.Drop), e.Verdict.Ifindex, p.Mark, vni, uint32(len(p.Data)),
	} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

func parseFrame(b []byte) (Frame, error) {
	if len(b) < frameHeadSize {
		return Frame{}, fmt.Errorf("%w: frame of %d bytes", errMessage, len(b))
	}
	u32 := func(i int) uint32 { return binary.LittleEndian.Uint32(b[9+4*i:]) }
	return Frame{
		Kind: node.EventKind(b[0]), Prog: dataplane.Prog(b[1]), Loss: node.Loss(b[2]),
		Verdict: dataplane.Verdict{
			Flags: dataplane.RedirectFlags(b[3]), Action: code.Ret(u32(1)), Drop: code.Ret(u32(2)), Ifindex: u32(3),
		},
		Partial: b[4] != 0, Segment: binary.LittleEndian.Uint16(b[5:]),
		Ifindex: u32(0), Mark: u32(4), VNI: u32(5), OrigLen: int(u32(6)), Data: b[frameHeadSize:],
	}, nil
}
