// Package conformance replays recorded packets against any engine that runs
// packets in memory, and says where the engine differs from the record.
package conformance

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// World is what all groups of a directory share: base.json.
type World struct {
	Node struct {
		CiliumHostIfindex uint32     `json:"cilium_host_ifindex"`
		CiliumNetMAC      mac        `json:"cilium_net_mac"`
		EncapIfindex      uint32     `json:"encap_ifindex"`
		HostIfindex       uint32     `json:"host_ifindex"`
		HostMAC           mac        `json:"host_mac"`
		LoopbackSNAT      netip.Addr `json:"loopback_snat"`
		PodCIDRMask       netip.Addr `json:"pod_cidr_mask"`
		TunnelPort        uint16     `json:"tunnel_port"`
		HostEndpointID    uint16     `json:"host_endpoint_id"`
	} `json:"node"`
	Devices []struct {
		Name    string `json:"name"`
		Ifindex uint32 `json:"ifindex"`
		MAC     mac    `json:"mac"`
	} `json:"devices"`
	Endpoints []Endpoint `json:"endpoints"`
	Maps      []Entry    `json:"maps"`
}

// Endpoint is a pod of the world.
type Endpoint struct {
	Name          string     `json:"name"`
	ID            uint16     `json:"id"`
	IP            netip.Addr `json:"ip"`
	MAC           mac        `json:"mac"`
	NodeMAC       mac        `json:"node_mac"`
	Ifindex       uint32     `json:"ifindex"`
	Identity      uint32     `json:"identity"`
	VerdictFilter uint32     `json:"policy_verdict_filter"`
}

// Entry is a raw map entry; Op is empty, add, set or del.
type Entry struct {
	Op    string   `json:"op"`
	Map   string   `json:"map"`
	Key   hexBytes `json:"k"`
	Value hexBytes `json:"v"`
}

// Group is one file: scenarios under one configuration.
type Group struct {
	Name      string     `json:"group"`
	Config    string     `json:"config"`
	Scenarios []Scenario `json:"scenarios"`
}

// Scenario is a sequence of packets that begins with the base maps.
type Scenario struct {
	Name  string  `json:"name"`
	Add   []Entry `json:"add"`
	Del   []Entry `json:"del"`
	Steps []Step  `json:"steps"`
}

// Step is one packet through one hook, and what came of it.
type Step struct {
	Desc      string     `json:"desc"`
	Hook      string     `json:"hook"`
	Dev       string     `json:"dev"`
	Now       float64    `json:"now"` // seconds
	Rand      uint32     `json:"prandom"`
	RandCalls int        `json:"rand_calls"`
	Add       []Entry    `json:"add"`
	Del       []Entry    `json:"del"`
	Ctx       Ctx        `json:"ctx"`
	In        hexBytes   `json:"in"`
	Ret       int32      `json:"ret"`
	Verdict   string     `json:"verdict"`
	Redirect  *Redirect  `json:"redirect"`
	Out       string     `json:"out"`
	CtxOut    Ctx        `json:"ctx_out"`
	State     []Entry    `json:"state"`
	Metrics   []Metric   `json:"metrics"`
	Policy    []PolicyUp `json:"policy"`
	Events    []Event    `json:"events"`
}

// Ctx is packet metadata, before or after.
type Ctx struct {
	Ifindex        uint32    `json:"ifindex"`
	IngressIfindex uint32    `json:"ingress_ifindex"`
	Mark           uint32    `json:"mark"`
	TCIndex        uint16    `json:"tc_index"`
	CB             [5]uint32 `json:"cb"`
	PktType        *uint8    `json:"pkt_type"`
	Tunnel         *Tunnel   `json:"tunnel"`
}

// Tunnel is tunnel metadata.
type Tunnel struct {
	ID     uint32     `json:"id"`
	Remote netip.Addr `json:"remote"`
	TTL    uint8      `json:"ttl"`
}

// Redirect is the target of a redirect; Kind is redirect or redirect_peer.
type Redirect struct {
	Ifindex uint32 `json:"ifindex"`
	Flags   uint64 `json:"flags"`
	Kind    string `json:"kind"`
}

// Metric is an increment of cilium_metrics.
type Metric struct {
	Reason uint8  `json:"reason"`
	Dir    uint8  `json:"dir"`
	Count  uint64 `json:"count"`
	Bytes  uint64 `json:"bytes"`
}

// PolicyUp is an increment of a policy entry's counters.
type PolicyUp struct {
	Endpoint string `json:"ep"`
	Entry    struct {
		DPort    uint16 `json:"dport"`
		Egress   bool   `json:"egress"`
		Identity uint32 `json:"identity"`
		Proto    uint8  `json:"proto"`
	} `json:"entry"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Event is a notification: the raw header, and the capture as in, out or hex.
type Event struct {
	Type   string   `json:"type"`
	Header hexBytes `json:"hdr"`
	Cap    string   `json:"cap"`
	Data   struct {
		Cap int `json:"cap"`
	} `json:"d"`
}

// Vectors are a directory of recorded packets.
type Vectors struct {
	World  World
	Groups []Group
}

// Load reads base.json and all groups of a directory.
func Load(dir string) (*Vectors, error) {
	v := &Vectors{}
	if err := readJSON(filepath.Join(dir, "base.json"), &v.World); err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("vectors %s: %w", dir, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if filepath.Base(name) == "base.json" {
			continue
		}
		var g Group
		if err := readJSON(name, &g); err != nil {
			return nil, err
		}
		v.Groups = append(v.Groups, g)
	}
	return v, nil
}

func readJSON(name string, into any) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// hexBytes is bytes written as hex.
type hexBytes []byte

// UnmarshalText decodes hex.
func (b *hexBytes) UnmarshalText(text []byte) error {
	d, err := hex.DecodeString(string(text))
	*b = d
	return err
}

// mac is a MAC address written with colons.
type mac [6]byte

// UnmarshalText decodes a MAC address.
func (m *mac) UnmarshalText(text []byte) error {
	d, err := hex.DecodeString(strings.ReplaceAll(string(text), ":", ""))
	if err != nil || len(d) != len(m) {
		return fmt.Errorf("mac %q: want six colon-separated bytes", text)
	}
	copy(m[:], d)
	return nil
}
