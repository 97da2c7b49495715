package emu_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// guard surrounds the frame of a fuzzed run; no program may write there.
const guard = 64

// FuzzRun runs any program on any frame over any map state and configuration.
// Seed makes everything but the frame, so that a failure repeats.
func FuzzRun(f *testing.F) {
	for i, frame := range recordedFrames(f) {
		f.Add(frame, uint64(i))
		f.Add(frame, uint64(1000+i))
	}
	f.Add([]byte{}, uint64(0))
	f.Add(arpRequest(f, mac{2}, broadcast(), mac{2}, addr{10, 0, 1, 178}, routerA()), uint64(3))
	f.Fuzz(func(t *testing.T, frame []byte, seed uint64) {
		if len(frame) > 2000 {
			return
		}
		first := fuzzOnce(t, frame, seed)
		if d := cmp.Diff(first, fuzzOnce(t, frame, seed)); d != "" {
			t.Errorf("the same run differs (-first +second):\n%s", d)
		}
	})
}

// fuzzed is all that a run leaves.
type fuzzed struct {
	Verdict dataplane.Verdict
	Frame   string
	Meta    string
	Deltas  []maps.Delta
	Events  []string
}

// fuzzOnce sends the frame a few times, through one hook or several, so that
// later runs meet what earlier ones left.
func fuzzOnce(t *testing.T, frame []byte, seed uint64) []fuzzed {
	t.Helper()
	w := newFuzzWorld(t, rand.New(rand.NewPCG(seed, 1)), frame)
	var all []fuzzed
	for range 1 + w.IntN(6) {
		all = append(all, w.once(t, frame))
	}
	return all
}

func (w *fuzzWorld) once(t *testing.T, frame []byte) fuzzed {
	t.Helper()
	if w.IntN(3) == 0 {
		w.hook = w.hooks[w.IntN(len(w.hooks))]
	}
	buf := bytes.Repeat([]byte{0xa5}, guard+len(frame)+guard)
	copy(buf[guard:], frame)
	p := w.packet(buf[guard : guard+len(frame)]) // with capacity beyond its end
	var j maps.Journal
	w.maps.Record(&j)
	defer w.maps.Record(nil)
	v, err := w.engine.Run(w.hook, p, w.env())
	if err != nil {
		t.Fatal(err)
	}
	out := fuzzed{Verdict: v, Frame: hexOf(p.Data), Deltas: j.Diff()}
	if len(p.Data) != len(frame) || len(frame) > 0 && &p.Data[0] != &buf[guard] {
		t.Errorf("the frame has %d bytes or has moved, want %d", len(p.Data), len(frame))
	}
	for i, c := range buf {
		if (i < guard || i >= guard+len(frame)) && c != 0xa5 {
			t.Errorf("byte %d outside of the frame was written", i-guard)
		}
	}
	w.checkVerdict(t, v)
	for {
		b, ok := w.ring.Next()
		if !ok {
			break
		}
		if _, _, err := trace.DecodeNotification(b); err != nil {
			t.Errorf("notification %x: %v", b, err)
		}
		out.Events = append(out.Events, hexOf(b))
	}
	if p.Trace != nil && p.Trace.Lost() == 0 {
		must(t, trace.WriteStack(new(bytes.Buffer), p.Trace.Steps()))
	}
	p.Data, p.Trace, p.Events = nil, nil, nil
	out.Meta = fmt.Sprintf("%+v", *p)
	return out
}

// fuzzWorld is a node of random content.
type fuzzWorld struct {
	*rand.Rand
	maps   *maps.Set
	engine *emu.Engine
	hooks  []dataplane.Hook
	hook   dataplane.Hook
	ring   *trace.Ring
	frame  []byte // with room for an IPv4 header and ports, or nil
	pool   []addr // addresses that frame and maps share
	ports  [][2]byte
}

func newFuzzWorld(t *testing.T, random *rand.Rand, frame []byte) *fuzzWorld {
	t.Helper()
	w := &fuzzWorld{
		Rand: random, ring: trace.NewRing(random.IntN(20)),
		maps: maps.NewSet(maps.Sizes{CT4: 16, CTAny4: 16, Frags: 4, Metrics: 8, PolicyCall: 65535}),
		pool: []addr{{}, {10, 0, 1, 178}, {10, 0, 1, 79}, {10, 0, 2, 230}, {10, 96, 52, 248}, {169, 254, 42, 1}},
	}
	w.ports = [][2]byte{{}, be16(80), be16(8080), be16(8472)}
	if len(frame) >= 38 {
		w.frame = frame
		w.pool = append(w.pool, addr(frame[26:30]), addr(frame[30:34]))
		w.ports = append(w.ports, [2]byte(frame[34:36]), [2]byte(frame[36:38]))
	}
	w.engine = emu.New(w.maps)
	for prog := dataplane.FromContainer; prog <= dataplane.PolicyProg; prog++ {
		for i := range uint32(2) {
			h := dataplane.Hook{Prog: prog, Ifindex: 1 + uint32(prog) + 10*i}
			c := w.config()
			switch prog {
			case dataplane.FromContainer, dataplane.ToContainer, dataplane.PolicyProg:
				h.Endpoint = uint16(1 + i)
				c.Endpoint.ID = h.Endpoint
			}
			must(t, w.engine.Load(h, c))
			w.hooks = append(w.hooks, h)
		}
	}
	w.hook = w.hooks[w.IntN(len(w.hooks))]
	w.fill(t)
	return w
}

// address is one that frame and maps share, or any.
func (w *fuzzWorld) address() addr {
	if w.IntN(8) > 0 {
		return w.pool[w.IntN(len(w.pool))]
	}
	return addr(binary.BigEndian.AppendUint32(nil, w.Uint32()))
}

func (w *fuzzWorld) port() [2]byte { return w.ports[w.IntN(len(w.ports))] }

func (w *fuzzWorld) identity() uint32 {
	if w.IntN(2) == 0 {
		return w.Uint32N(10)
	}
	return w.Uint32()
}

func (w *fuzzWorld) config() dataplane.Config {
	c := dataplane.Config{
		EncapIfindex: 5, NetIfindex: 3, HostIfindex: w.Uint32N(12), PodCIDRMask: w.address(), Loopback: w.address(), TunnelPort: uint16(w.Uint32()),
		LocalNodeID: w.identity(), HostEndpointID: uint16(w.Uint32()), Delivery: dataplane.Delivery(w.IntN(5)),
		ReportInterval: w.Uint32(), ReportFlags: uint8(w.Uint32()), Clock: dataplane.Clock(w.IntN(3)), KernelHz: w.Uint32N(2000),
		Aggregation: dataplane.Aggregation(w.IntN(5)), CaptureLen: w.Uint32N(400),
	}
	if w.IntN(2) == 0 {
		c.Lifetimes = dataplane.DefaultConfig().Lifetimes
		c.PodCIDRMask = addr{255, 255, 255, 0}
	}
	c.Endpoint = dataplane.EndpointConfig{IPv4: w.address(), Identity: w.identity(), VerdictFilter: w.Uint32N(4)}
	if w.frame != nil && w.IntN(4) > 0 {
		c.Endpoint.IPv4, c.Endpoint.NodeMAC = addr(w.frame[26:30]), mac(w.frame[:6])
	}
	return c
}

// fill writes random entries into all maps, closing flow entries and holes in
// prog arrays included.
func (w *fuzzWorld) fill(t *testing.T) {
	t.Helper()
	for _, name := range w.maps.Names() {
		m, err := w.maps.Lookup(name)
		must(t, err)
		s := m.Spec()
		if s.Type == maps.TypeProgArray {
			if w.IntN(4) == 0 { // a hole, or a jump somewhere else
				slot := binary.LittleEndian.AppendUint32(nil, w.Uint32N(40))
				_ = m.Delete(slot)
				_ = m.Update(slot, binary.LittleEndian.AppendUint32(nil, w.Uint32N(60)), maps.Any)
			}
			continue
		}
		if strings.HasPrefix(name, "cilium_policy_") && w.IntN(4) > 0 { // allow all
			for egress := range byte(2) {
				must(t, m.Update([]byte{7: egress}, make([]byte, 24), maps.Any))
			}
		}
		for range w.IntN(6) {
			key, value := w.bytes(s.KeySize), w.bytes(s.ValueSize)
			w.shape(name, key, value)
			_ = m.Update(key, value, maps.Any) // some keys are refused
		}
	}
}

func (w *fuzzWorld) bytes(n uint32) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.Uint32())
	}
	return b
}

// shape makes a random entry one that a packet may hit.
func (w *fuzzWorld) shape(name string, key, value []byte) {
	a, b := w.address(), w.address()
	switch name {
	case maps.NameLXC:
		clear(key)
		copy(key, a[:])
		key[16] = maps.FamilyIPv4
		value[0] |= 1 // a device
		binary.LittleEndian.PutUint16(value[6:], uint16(w.IntN(4)))
		binary.LittleEndian.PutUint32(value[8:], w.Uint32N(3))
	case maps.NameIPCache:
		clear(key[4:])
		binary.LittleEndian.PutUint32(key, 32+w.Uint32N(33))
		key[7] = maps.FamilyIPv4
		copy(key[8:], a[:])
		binary.LittleEndian.PutUint32(value, w.identity())
		copy(value[4:], b[:])
	case maps.NameTunnel:
		clear(key)
		copy(key, a[:3])
		key[16] = maps.FamilyIPv4
	case maps.NameServices:
		port := w.port()
		clear(key)
		copy(key, a[:])
		copy(key[4:], port[:])
		if f := w.frame; f != nil && w.IntN(4) > 0 { // what the frame asks for
			copy(key, slices.Concat(f[30:34], f[36:38]))
		}
		key[6] = byte(w.IntN(3))
		value[0], value[1], value[2], value[3], value[4], value[5] = byte(w.IntN(4)), 0, 0, 0, byte(w.IntN(3)), 0
		copy(value[6:], []byte{0, byte(w.IntN(3))})
	case maps.NameBackends:
		port := w.port()
		copy(key, []byte{byte(w.IntN(4)), 0, 0, 0})
		copy(value, a[:])
		copy(value[4:], port[:])
		value[7] = byte(w.IntN(4))
	case maps.NameRevNAT:
		copy(key, []byte{0, byte(w.IntN(3))})
		port := w.port()
		copy(value[4:], port[:])
	case maps.NameCT4, maps.NameCTAny4:
		p, q := w.port(), w.port()
		copy(key, slices.Concat(a[:], b[:], p[:], q[:]))
		key[12] = []byte{1, 6, 17}[w.IntN(3)]
		if f := w.frame; f != nil && w.IntN(4) > 0 { // the frame's own connection, in either direction
			key[12] = f[23]
			copy(key, slices.Concat(f[30:34], f[26:30], f[34:38]))
			if w.IntN(2) == 0 {
				copy(key, slices.Concat(f[26:34], f[36:38], f[34:36]))
			}
		}
		key[13] = byte(w.IntN(8))
		copy(value[38:], []byte{0, byte(w.IntN(3))})
	case maps.NameFrags:
		copy(key, slices.Concat(a[:], b[:]))
	default: // metrics, policies, the tail call buffer
		if len(key) == 8 && w.IntN(2) == 0 {
			clear(key)
			binary.LittleEndian.PutUint32(key, w.identity())
			key[7] = byte(w.IntN(2))
		}
	}
}

func (w *fuzzWorld) packet(data []byte) *dataplane.Packet {
	p := &dataplane.Packet{
		Data: data, PktType: uint8(w.IntN(5)), TCIndex: uint16(w.IntN(4)), Ifindex: w.hook.Ifindex, IngressIfindex: w.Uint32N(20),
		Mark: w.Uint32N(2) * (w.Uint32()&^0xf00 | 0x100*w.Uint32N(16)), Hash: w.Uint32(),
		CB:     [5]uint32{w.identity(), w.Uint32N(20), w.Uint32(), w.Uint32N(2), w.Uint32()},
		Events: w.ring,
	}
	if w.IntN(4) == 0 {
		p.CB[0] = 0x200 | w.Uint32()<<16
	}
	if w.IntN(3) > 0 {
		p.TunnelIn = dataplane.TunnelKey{Present: true, ID: w.identity(), Remote: w.address(), TTL: 64}
	}
	if p.Csum.Partial = w.IntN(2) == 0; p.Csum.Partial {
		p.Csum.Start, p.Csum.Off = uint16(w.Uint32()), uint16(w.Uint32())
	}
	if w.IntN(2) == 0 {
		p.Trace = trace.NewBuffer(w.IntN(800))
	}
	return p
}

func (w *fuzzWorld) env() *dataplane.Env {
	e := &dataplane.Env{KtimeNS: w.Uint64(), Jiffies: w.Uint64()}
	if w.IntN(4) > 0 {
		e.Rand = w.Uint32
	}
	return e
}

// checkVerdict checks that a verdict says one thing.
func (w *fuzzWorld) checkVerdict(t *testing.T, v dataplane.Verdict) {
	t.Helper()
	if v.Action < -255 || v.Action > code.Redirect {
		t.Errorf("%s returned %d", w.hook.Prog, v.Action)
	}
	switch v.Kind() {
	case dataplane.Redirected:
		if v.Drop != 0 || v.Ifindex == 0 {
			t.Errorf("%s: a redirect with a drop reason or without a device: %+v", w.hook.Prog, v)
		}
	case dataplane.Dropped:
		if !v.Drop.IsErr() || v.Ifindex != 0 || v.Flags != 0 {
			t.Errorf("%s: a drop without reason or with a device: %+v", w.hook.Prog, v)
		}
	default:
		if v.Drop != 0 || v.Ifindex != 0 || v.Flags != 0 {
			t.Errorf("%s: neither drop nor redirect, but %+v", w.hook.Prog, v)
		}
	}
}
