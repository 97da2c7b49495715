package object

import (
	"cmp"
	"encoding/binary"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
)

// Scope is who shares a map.
type Scope uint8

// Scopes.
const (
	ScopeNode     Scope = iota // all objects of a node share it under its name
	ScopeInstance              // each instance has its own: calls map, policy map
	ScopeData                  // a data section of one instance: read-only, one entry, Spec.Contents
)

// Map is a map that an object uses.
type Map struct {
	Symbol string // what instructions refer to
	// Name is Cilium's name, cilium_lxc. In an [Instance] the maps of one endpoint or device have theirs,
	// cilium_calls_00042; in an [Object] they have the symbol's.
	Name  string
	Scope Scope
	Spec  *ebpf.MapSpec // Name is that of the template and Extra nil; shared: not to be changed

	role role
}

// role is what the datapath uses a map for, if it is a matter of more than the name.
type role uint8

const (
	roleNone role = iota
	roleCalls
	rolePolicy
	rolePolicyCall
)

// Names of maps that belong to the datapath and have no content that an agent would write.
const (
	NameEvents = "cilium_events" // perf ring: notifications
	// NameSignals is a perf ring by which the datapath asks the agent for conntrack garbage collection.
	NameSignals = "cilium_signals"
)

// Names of templates: an agent compiles with the id 65535 and replaces it, by itself or while it loads.
var (
	callsTemplate  = regexp.MustCompile(`^cilium_calls(_hostns|_netdev|_overlay)?(_[0-9]+)?$`)
	policyTemplate = regexp.MustCompile(`^cilium_policy(_[0-9]+)?$`)
)

// addMaps adds the maps that programs refer to and returns the prog arrays by the id in section names.
func (o *Object) addMaps(spec *ebpf.CollectionSpec) (map[uint32]string, error) {
	used := referenced(spec)
	known := knownMaps()
	ids := map[uint32]string{}
	for _, symbol := range sortedKeys(spec.Maps) {
		m := spec.Maps[symbol]
		if isData(symbol) {
			if used[symbol] {
				o.Maps = append(o.Maps, Map{Symbol: symbol, Name: symbol, Scope: ScopeData, Spec: m})
			}
			continue
		}
		entry := Map{Symbol: symbol, Name: symbol, Spec: m}
		switch name := strings.TrimPrefix(symbol, "test_"); {
		case callsTemplate.MatchString(name):
			entry.Scope, entry.role = ScopeInstance, roleCalls
		case policyTemplate.MatchString(name):
			entry.Scope, entry.role = ScopeInstance, rolePolicy
		default:
			if name == maps.NamePolicyCall {
				entry.role = rolePolicyCall
			}
			if _, ok := known[name]; !ok {
				if used[symbol] {
					return nil, o.refuse("map %q: not one of the datapath's that hooklab knows (%s)", symbol, strings.Join(sortedKeys(known), ", "))
				}
				o.Unused = append(o.Unused, symbol)
				continue
			}
			entry.Name = name
		}
		id, err := o.legacyID(&entry)
		if err != nil {
			return nil, err
		}
		if err := o.checkMap(&entry, known); err != nil {
			return nil, err
		}
		if id == 0 {
			id = map[role]uint32{rolePolicyCall: idPolicyCall, roleCalls: idCalls}[entry.role]
		}
		if m.Type == ebpf.ProgramArray {
			if other, ok := ids[id]; ok {
				return nil, o.refuse("maps %q and %q have the same id %d", other, symbol, id)
			}
			ids[id] = symbol
		}
		o.Maps = append(o.Maps, entry)
	}
	slices.SortFunc(o.Maps, func(a, b Map) int { return cmp.Compare(a.Symbol, b.Symbol) })
	slices.Sort(o.Unused)
	return ids, nil
}

// legacyExtra is the end of iproute2's long map definition (struct bpf_elf_map).
type legacyExtra struct{ ID, Pinning, InnerID, InnerIdx uint32 }

// legacyID reads what a definition in a "maps" section has beyond the five fields that every loader knows: the id is that
// of tail-call sections. Pinning says that a map is shared, which its name says already.
func (o *Object) legacyID(m *Map) (uint32, error) {
	if m.Spec.Extra == nil {
		return 0, nil
	}
	raw, err := io.ReadAll(m.Spec.Extra)
	if err != nil {
		return 0, o.refuse("map %q: %w", m.Symbol, err)
	}
	m.Spec.Extra = nil
	words := make([]byte, 16)
	if copy(words, raw) < len(raw) && slices.Max(raw[len(words):]) != 0 {
		return 0, o.refuse("map %q: %d bytes after the fields of iproute2's definition are not zero", m.Symbol, len(raw)-len(words))
	}
	e := legacyExtra{
		binary.NativeEndian.Uint32(words), binary.NativeEndian.Uint32(words[4:]),
		binary.NativeEndian.Uint32(words[8:]), binary.NativeEndian.Uint32(words[12:]),
	}
	const pinNone, pinObject, pinGlobal = 0, 1, 2
	switch {
	case e.Pinning != pinNone && e.Pinning != pinObject && e.Pinning != pinGlobal:
		return 0, o.refuse("map %q: pinning %d: want 0 (none), 1 (object) or 2 (global)", m.Symbol, e.Pinning)
	case e.InnerID != 0 || e.InnerIdx != 0:
		return 0, o.refuse("map %q: a map of maps (inner id %d, index %d) is not part of the datapath that hooklab knows", m.Symbol, e.InnerID, e.InnerIdx)
	}
	return e.ID, nil
}

// checkMap compares a map with the layout of Cilium 1.12.
func (o *Object) checkMap(m *Map, known map[string]maps.Spec) error {
	if m.Spec.InnerMap != nil {
		return o.refuse("map %q: a map of maps is not part of the datapath that hooklab knows", m.Symbol)
	}
	if len(m.Spec.Contents) != 0 {
		return o.refuse("map %q: has initial contents, which hooklab would not load", m.Symbol)
	}
	want := known[m.Name]
	switch m.role {
	case roleCalls:
		want = maps.Spec{Type: maps.TypeProgArray, KeySize: 4, ValueSize: 4}
	case rolePolicy:
		want = maps.NewSet(maps.Sizes{}).AddPolicy(1).Spec()
	default:
	}
	if uint32(m.Spec.Type) != uint32(want.Type) {
		return o.refuse("map %q: type %s, want %s", m.Symbol, m.Spec.Type, ebpf.MapType(want.Type))
	}
	if m.Spec.MaxEntries == 0 && m.Spec.Type != ebpf.PerfEventArray || m.Spec.MaxEntries > maxEntries {
		return o.refuse("map %q: %d entries, want 1 to %d", m.Symbol, m.Spec.MaxEntries, maxEntries)
	}
	if m.Spec.Type == ebpf.PerfEventArray && m.Spec.KeySize == 0 && m.Spec.ValueSize == 0 {
		return nil // the sizes are the kernel's affair
	}
	if m.Spec.KeySize != want.KeySize {
		return o.refuse("map %q: keys of %d bytes, want %d as in Cilium 1.12", m.Symbol, m.Spec.KeySize, want.KeySize)
	}
	if m.Name == maps.NameTailCallBuffer {
		if m.Spec.ValueSize == 0 || m.Spec.ValueSize > maxScratch {
			return o.refuse("map %q: values of %d bytes, want 1 to %d", m.Symbol, m.Spec.ValueSize, maxScratch)
		}
		return nil // scratch of the programs alone
	}
	if m.Spec.ValueSize != want.ValueSize {
		return o.refuse("map %q: values of %d bytes, want %d as in Cilium 1.12", m.Symbol, m.Spec.ValueSize, want.ValueSize)
	}
	return nil
}

// Bounds of what an object may ask for.
const (
	maxEntries = 1 << 24
	maxScratch = 4096
)

// knownMaps are the node's maps by name.
func knownMaps() map[string]maps.Spec {
	known := map[string]maps.Spec{
		NameEvents:  {Type: maps.Type(ebpf.PerfEventArray), KeySize: 4, ValueSize: 4},
		NameSignals: {Type: maps.Type(ebpf.PerfEventArray), KeySize: 4, ValueSize: 4},
	}
	set := maps.NewSet(maps.Sizes{})
	for _, name := range set.Names() {
		m, err := set.Lookup(name)
		if err != nil {
			panic(err) // the set itself gave the name
		}
		known[name] = m.Spec()
	}
	return known
}

// instanceName is the name of a map in an instance (SPEC 1).
func (m *Map) instanceName(h dataplane.Hook, c *dataplane.Config) string {
	switch {
	case m.role == rolePolicy:
		return maps.PolicyName(h.Endpoint)
	case m.role != roleCalls:
		return m.Name
	}
	switch KindOf(h.Prog) {
	case LXC:
		return maps.CallsName(h.Endpoint)
	case Overlay:
		return maps.NameOverlayCalls
	default:
	}
	if h.Ifindex == c.HostIfindex {
		return maps.HostCallsName(c.HostEndpointID)
	}
	return maps.NetdevCallsName(h.Ifindex)
}

// referenced are the symbols that instructions refer to.
func referenced(spec *ebpf.CollectionSpec) map[string]bool {
	used := map[string]bool{}
	for _, p := range spec.Programs {
		for _, ins := range p.Instructions {
			if ref := ins.Reference(); ref != "" {
				used[ref] = true
			}
		}
	}
	return used
}

// isData tells a data section from a map.
func isData(symbol string) bool { return strings.HasPrefix(symbol, ".") }

func (o *Object) mapBySymbol(symbol string) *Map {
	i := slices.IndexFunc(o.Maps, func(m Map) bool { return m.Symbol == symbol })
	if i < 0 {
		return nil
	}
	return &o.Maps[i]
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
