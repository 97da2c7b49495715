package object

import (
	"errors"
	"testing"

	"github.com/hooklab/hooklab/bpf"
)

// FuzzParse reads changed objects: no panic gets out, every refusal is one, and what is taken makes instances.
func FuzzParse(f *testing.F) {
	for _, b := range [][]byte{bpf.LXC(), bpf.Host(), bpf.Overlay(), compile(f, legacyLXC), compile(f, btfObject)} {
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
