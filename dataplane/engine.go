package dataplane

import (
	"errors"
	"io"

	"github.com/hooklab/hooklab/maps"
)

// ErrNotSupported is wrapped by every refusal of an engine to do what this machine
// or this engine cannot.
var ErrNotSupported = errors.New("not supported")

// Caps says what an engine can observe. A comparison reports what it left out.
type Caps struct {
	RedirectTarget bool // Verdict.Ifindex and Flags
	TunnelKey      bool // Packet.TunnelOut
	PktType        bool // Packet.PktType after the run
	Events         bool // notifications
	Trace          bool // functions, lookups and tail calls in Packet.Trace
	PartialCsum    bool // packets with Packet.Csum.Partial, which some engines cannot be given
}

// Engine holds the programs and maps of one node. It is used by one goroutine.
type Engine interface {
	// Name is the engine's name on the command line.
	Name() string
	// Caps says what the engine can observe.
	Caps() Caps
	// Map finds a map by its Cilium name; the error names the known ones.
	Map(name string) (maps.Store, error)
	// Load makes the hook's program ready with a configuration. Loading a hook
	// again replaces its configuration and keeps the maps.
	Load(h Hook, c Config) error
	// Unload forgets the hook's program; with an endpoint's last hook go its
	// policy map and its slot in cilium_call_policy.
	Unload(h Hook) error
	// Close releases what the engine holds.
	Close() error
}

// Runner runs a program on a packet in memory: emulated, bytecode, and kernel by
// BPF_PROG_TEST_RUN.
type Runner interface {
	Engine
	// Run executes the hook's program once. The error says that the engine failed
	// (no such hook, …), never that the packet was bad.
	Run(h Hook, p *Packet, env *Env) (Verdict, error)
}

// AttachedProgram is a program on a device, as the kernel says.
type AttachedProgram struct {
	Device  string `json:"device"`
	Ifindex uint32 `json:"ifindex"`
	Side    string `json:"side"`    // "ingress" or "egress"
	Program string `json:"program"` // its section, "from-container"
	By      string `json:"by"`      // how it is attached: "tcx" or "clsact"
	ID      uint32 `json:"id"`      // the kernel's, as bpftool shows it
}

// Attacher attaches programs to real devices.
type Attacher interface {
	Engine
	// Attach attaches the hook's program; closing detaches it.
	Attach(h Hook) (io.Closer, error)
}
