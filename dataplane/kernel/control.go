package kernel

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// control is the page that programs and engine share: the value of an array map of one entry, mapped into this process.
// Upper case is written before a run, lower case by the run.
type control struct {
	KtimeNS   uint64
	Jiffies   uint64
	Slot      uint32 // of the program in the engine's prog array
	PktType   uint32
	Hash      uint32
	TCIndex   uint32
	Queue     uint32
	Mark      uint32
	CB        [5]uint32
	EtherType uint16    // to write at offset 12 …
	Restore   uint16    // … if not 0
	Tunnel    uint32    // set TunnelKey before the run
	_         uint32    //
	TunnelKey tunnelKey //
	_         uint32    //
	Rand      [randoms]uint32
	FrameLen  uint32 // see restoreFrame
	Frame     [maxTimed]byte
	_         uint32

	drawn         uint64 // of Rand
	redirectKind  uint32 // redirectPlain, redirectPeer; 0: none
	redirectTo    uint32
	redirectFlags uint64
	tunnelSets    uint64 // calls of bpf_skb_set_tunnel_key
	missed        uint32 // the harness could not enter the program
	tunnelErr     uint32 // what bpf_skb_set_tunnel_key said to the harness
	ret           uint32
	mark          uint32
	tcIndex       uint32
	pktType       uint32
	queue         uint32
	hash          uint32
	cb            [5]uint32
	tunnelOK      uint32 // 0: tunnelKey is what the packet has
	tunnelKey     tunnelKey
}

// tunnelKey is struct bpf_tunnel_key.
type tunnelKey struct {
	ID     uint32
	Remote [4]byte // host order in memory, as the kernel has it
	_      [12]byte
	TOS    uint8
	TTL    uint8
	Ext    uint16
	Label  uint32
	Local  [4]byte
	_      [12]byte
}

// randoms is how many random numbers a run can draw; a power of two. No path of the datapath needs more than two.
const randoms = 8

// Kinds of redirect.
const (
	redirectPlain = 1
	redirectPeer  = 2
)

const flagMmapable = 1 << 10 // BPF_F_MMAPABLE

// sharedControl is the map and its memory.
type sharedControl struct {
	*control
	m   *ebpf.Map
	mem []byte
}

func newControl() (*sharedControl, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "hooklab_control", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(unsafe.Sizeof(control{})), MaxEntries: 1, Flags: flagMmapable,
	})
	if err != nil {
		return nil, fmt.Errorf("make the control map: %w", err)
	}
	page := unix.Getpagesize()
	size := (int(unsafe.Sizeof(control{})) + page - 1) / page * page
	mem, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map the control map into memory: %w", err), m.Close())
	}
	return &sharedControl{(*control)(unsafe.Pointer(&mem[0])), m, mem}, nil
}

func (c *sharedControl) close() error {
	return errors.Join(unix.Munmap(c.mem), c.m.Close())
}

// Offsets of the fields for programs.
const (
	offKtime         = int16(unsafe.Offsetof(control{}.KtimeNS))
	offJiffies       = int16(unsafe.Offsetof(control{}.Jiffies))
	offSlot          = int16(unsafe.Offsetof(control{}.Slot))
	offPktType       = int16(unsafe.Offsetof(control{}.PktType))
	offHash          = int16(unsafe.Offsetof(control{}.Hash))
	offTCIndex       = int16(unsafe.Offsetof(control{}.TCIndex))
	offQueue         = int16(unsafe.Offsetof(control{}.Queue))
	offMark          = int16(unsafe.Offsetof(control{}.Mark))
	offCB            = int16(unsafe.Offsetof(control{}.CB))
	offEtherType     = int16(unsafe.Offsetof(control{}.EtherType))
	offRestore       = int16(unsafe.Offsetof(control{}.Restore))
	offTunnel        = int16(unsafe.Offsetof(control{}.Tunnel))
	offTunnelKey     = int16(unsafe.Offsetof(control{}.TunnelKey))
	offRand          = int16(unsafe.Offsetof(control{}.Rand))
	offFrameLen      = int16(unsafe.Offsetof(control{}.FrameLen))
	offFrame         = int16(unsafe.Offsetof(control{}.Frame))
	offDrawn         = int16(unsafe.Offsetof(control{}.drawn))
	offRedirectKind  = int16(unsafe.Offsetof(control{}.redirectKind))
	offRedirectTo    = int16(unsafe.Offsetof(control{}.redirectTo))
	offRedirectFlags = int16(unsafe.Offsetof(control{}.redirectFlags))
	offTunnelSets    = int16(unsafe.Offsetof(control{}.tunnelSets))
	offMissed        = int16(unsafe.Offsetof(control{}.missed))
	offTunnelErr     = int16(unsafe.Offsetof(control{}.tunnelErr))
	offRet           = int16(unsafe.Offsetof(control{}.ret))
	offMarkOut       = int16(unsafe.Offsetof(control{}.mark))
	offTCIndexOut    = int16(unsafe.Offsetof(control{}.tcIndex))
	offPktTypeOut    = int16(unsafe.Offsetof(control{}.pktType))
	offQueueOut      = int16(unsafe.Offsetof(control{}.queue))
	offHashOut       = int16(unsafe.Offsetof(control{}.hash))
	offCBOut         = int16(unsafe.Offsetof(control{}.cb))
	offTunnelOK      = int16(unsafe.Offsetof(control{}.tunnelOK))
	offTunnelKeyOut  = int16(unsafe.Offsetof(control{}.tunnelKey))
)
