package bytecode

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// FuzzProgram runs instructions that no verifier has seen: they are refused, or they run, or they are a fault, and never
// reach memory of anybody else.
func FuzzProgram(f *testing.F) {
	for seed := range uint64(20) {
		insns := randomProgram(seed)
		a, err := assemble(insns)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.raw, []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00E"))
	}
	f.Fuzz(func(t *testing.T, raw, frame []byte) {
		w := newWorld(t)
		addr := map[int]uint64{}
		names := []string{"array", "hash", "calls", "events", "ring"}
		for i := 0; i+8 <= len(raw); i += 8 {
			addr[i/8] = w.addr[names[i/8%len(names)]]
		}
		p, err := newProgram("fuzz", "fuzz", &assembly{raw: raw}, addr)
		if err != nil {
			if !errors.Is(err, ErrProgram) {
				t.Fatal(err)
			}
			return
		}
		w.m.maxSteps = 20_000
		w.m.tails = []*program{p}
		if err := w.m.objects[w.addr["calls"]>>32].calls.Set(1, 1); err != nil {
			t.Fatal(err)
		}
		const guard = 0xa5
		memory := bytes.Repeat([]byte{guard}, len(frame)+128)
		copy(memory[64:], frame)
		pkt := &dataplane.Packet{Data: memory[64 : 64+len(frame) : 64+len(frame)], Events: trace.NewRing(4)}
		if _, err := w.m.run(p, pkt, &dataplane.Env{}); err != nil && !errors.Is(err, ErrFault) {
			t.Fatal(err)
		}
		for _, side := range [][]byte{memory[:64], memory[64+len(frame):]} {
			for _, b := range side {
				if b != guard {
					t.Fatal("wrote outside the frame")
				}
			}
		}
	})
}

// FuzzObject loads and runs our object with bytes changed at two places and cut off at a third.
func FuzzObject(f *testing.F) {
	f.Add(uint32(0), uint64(0), uint32(0), uint64(0), uint32(1<<31))
	f.Add(uint32(0x400), uint64(0xff), uint32(0x8000), uint64(0x100), uint32(1<<31))
	frame := append([]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00\x45\x00\x00\x28\x00\x00\x00\x00\x40\x06"), make([]byte, 40)...)
	f.Fuzz(func(t *testing.T, at1 uint32, flip1 uint64, at2 uint32, flip2 uint64, length uint32) {
		file := bytes.Clone(bpf.LXC())
		for i := range uint32(8) {
			file[(at1+i)%uint32(len(file))] ^= byte(flip1 >> (8 * i))
			file[(at2+i)%uint32(len(file))] ^= byte(flip2 >> (8 * i))
		}
		file = file[:min(len(file), int(length))]
		lxc, err := object.NewBundle(file, bpf.Host(), bpf.Overlay())
		if err != nil {
			return
		}
		e := New(maps.NewSet(maps.Sizes{}), lxc)
		e.machine.maxSteps = 100_000
		h := dataplane.Hook{Prog: dataplane.FromContainer, Ifindex: 5, Endpoint: 7}
		c := dataplane.DefaultConfig()
		c.Endpoint.ID = 7
		if err := e.Load(h, c); err != nil {
			return
		}
		p := &dataplane.Packet{Data: bytes.Clone(frame), Events: trace.NewRing(4)}
		if _, err := e.Run(h, p, &dataplane.Env{}); err != nil && !errors.Is(err, ErrFault) {
			t.Fatal(err)
		}
	})
}

// FuzzGenerated runs programs that a verifier would take with one instruction changed.
func FuzzGenerated(f *testing.F) {
	f.Add(uint64(1), uint64(0), uint16(0))
	f.Fuzz(func(t *testing.T, seed, bits uint64, at uint16) {
		w := newWorld(t)
		a, err := assemble(randomProgram(seed))
		if err != nil {
			t.Fatal(err)
		}
		n := int(at) % (len(a.raw) / 8)
		for i := range 8 {
			a.raw[8*n+i] ^= byte(bits >> (8 * i))
		}
		addr := map[int]uint64{}
		for i, ref := range a.refs {
			addr[i] = w.addr[ref]
		}
		p, err := newProgram("fuzz", "fuzz", a, addr)
		if err != nil {
			return
		}
		w.m.maxSteps = 20_000
		if _, err := w.m.run(p, &dataplane.Packet{Data: make([]byte, 100)}, &dataplane.Env{}); err != nil && !errors.Is(err, ErrFault) {
			t.Fatal(err)
		}
	})
}
