package emu_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/hooklab/hooklab/dataplane/trace"
)

// BenchmarkRun measures one packet of an established flow through a hook:
// aggregation medium, notifications taken, no trace.
func BenchmarkRun(b *testing.B) {
	for _, flows := range []int{1, 10000} {
		for _, pa := range hotPaths(b, flows) {
			b.Run(fmt.Sprintf("%s/flows=%d", pa.name, flows), func(b *testing.B) { pa.measure(b, nil) })
		}
	}
}

// BenchmarkTraced is BenchmarkRun with every function recorded.
func BenchmarkTraced(b *testing.B) {
	for _, pa := range hotPaths(b, 1) {
		b.Run(pa.name, func(b *testing.B) { pa.measure(b, trace.NewBuffer(200)) })
	}
}

func (pa *path) measure(b *testing.B, buffer *trace.Buffer) {
	b.Helper()
	r := pa.runner(pa.prepare(b))
	r.p.Trace, r.p.Events = buffer, trace.NewRing(64)
	for range 2 * len(pa.frames) {
		if v, err := r.run(); err != nil || v != pa.verdict {
			b.Fatalf("verdict %+v, error %v, want %+v", v, err, pa.verdict)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.run(); err != nil {
			b.Fatal(err)
		}
	}
}

// The calibration's maps: what a quick forwarder would look up.
type (
	calKey struct{ dst, src, ports [4]byte }
	calVal struct {
		mac      mac
		id, info uint64
	}
)

// BenchmarkCalibration is the yardstick for BenchmarkRun on whatever machine: a
// frame parsed by hand, three lookups in Go maps, MACs and TTL rewritten.
func BenchmarkCalibration(b *testing.B) {
	for _, flows := range []int{1, 10000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			pa := hotPaths(b, flows)[1]
			conns, endpoints, cache := map[calKey]calVal{}, map[addr]calVal{}, map[addr]calVal{}
			for i := range 250 {
				n := byte(i)
				endpoints[addr{10, 0, 1, n}] = calVal{mac: mac{n}, id: uint64(n)}
				cache[addr{10, 0, 1, n}] = calVal{id: uint64(n)}
			}
			for _, f := range pa.frames {
				conns[calKey{addr(f[30:34]), addr(f[26:30]), addr(f[34:38])}] = calVal{}
			}
			var buf [256]byte
			next, sum := 0, uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				p := buf[:copy(buf[:], pa.frames[next])]
				if next++; next == len(pa.frames) {
					next = 0
				}
				sum += forward(p, conns, endpoints, cache)
			}
			if sum == 0 {
				b.Fatal("nothing was found")
			}
		})
	}
}

func forward(p []byte, conns map[calKey]calVal, endpoints, cache map[addr]calVal) uint64 {
	if len(p) < 54 || binary.BigEndian.Uint16(p[12:]) != 0x0800 || p[14]>>4 != 4 || p[23] != 6 {
		return 0
	}
	l4 := 14 + int(p[14]&15)*4
	if len(p) < l4+20 {
		return 0
	}
	src, dst := addr(p[26:30]), addr(p[30:34])
	conn, known := conns[calKey{dst, src, addr(p[l4 : l4+4])}]
	ep, local := endpoints[dst]
	info, found := cache[dst]
	if !known || !local || !found || p[22] <= 1 {
		return 0
	}
	p[22]--
	sum := uint32(binary.BigEndian.Uint16(p[24:])) + 0x100
	binary.BigEndian.PutUint16(p[24:], uint16(sum+sum>>16))
	copy(p[0:6], ep.mac[:])
	copy(p[6:12], ep.mac[:])
	return conn.info + ep.id + info.id + 1
}
