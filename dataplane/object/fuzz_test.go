package object

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/hooklab/hooklab/bpf"
)

// FuzzParse reads changed objects: no panic gets out, every refusal is one, and what is taken makes instances.
func FuzzParse(f *testing.F) {
	// Small ones: the fuzzer spends its time on changes, not on reading.
	for _, b := range [][]byte{compile(f, legacyLXC, "-g0"), compile(f, legacyOverlay, "-g0"), compile(f, btfObject)} {
		f.Add(uint8(0), uint32(0), uint8(0), b)
		f.Add(uint8(1), uint32(len(b)-9), uint8(0x80), b)
	}
	f.Add(uint8(2), uint32(0), uint8(0), []byte("\x7fELF"))
	h, c := pod()
	f.Fuzz(func(t *testing.T, kind uint8, at uint32, flip uint8, file []byte) {
		if len(file) > 0 {
			file = append([]byte(nil), file...)
			file[int(at)%len(file)] ^= flip
		}
		o, err := Parse(Kind(kind%uint8(numKinds)), "fuzz.o", file)
		if err != nil {
			if !errors.Is(err, ErrObject) || o != nil {
				t.Fatalf("object %v, error %v", o, err)
			}
			return
		}
		if o.Kind != LXC {
			return
		}
		if _, err := o.Instance(h, c); err != nil && !errors.Is(err, ErrObject) {
			t.Fatal(err)
		}
	})
}

// TestFlippedBits reads our own objects with some of their bits changed, and cut short.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	const changed = 150
	for k, file := range [][]byte{bpf.LXC(), bpf.Host(), bpf.Overlay()} {
		t.Run(Kind(k).String(), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, uint64(k)))
			refused := 0
			for range changed {
				b := append([]byte(nil), file[:len(file)-r.IntN(2)*r.IntN(len(file))]...)
				for range 1 + r.IntN(8) {
					if len(b) > 0 {
						b[r.IntN(len(b))] ^= 1 << r.IntN(8)
					}
				}
				if _, err := Parse(Kind(k), "flipped.o", b); err != nil {
					refused++
					if !errors.Is(err, ErrObject) {
						t.Fatal(err)
					}
				}
			}
			if refused < changed/2 { // every cut is one, and half are cut
				t.Errorf("%d of %d refused", refused, changed)
			}
		})
	}
}

// FuzzHeader reads changed headers.
func FuzzHeader(f *testing.F) {
	f.Add(nodeHeader)
	f.Add(endpointHeader)
	f.Fuzz(func(t *testing.T, text string) {
		d := defines{}
		d.readHeader("fuzz.h", text)
		_, c := pod()
		if _, err := d.config(&c); err != nil && !errors.Is(err, ErrObject) {
			t.Fatal(err)
		}
	})
}
