package trace_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// frameOf is a frame of n bytes, each its own offset.
func frameOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// emit writes a notification of any kind.
func emit(r *trace.Ring, n any, frame []byte, limit uint32) {
	switch n := n.(type) {
	case trace.Drop:
		r.Drop(n, frame, limit)
	case trace.Trace:
		r.Trace(n, frame, limit)
	case trace.Verdict:
		r.Verdict(n, frame, limit)
	}
}

func drop() trace.Drop {
	return trace.Drop{
		Common:   trace.Common{Type: trace.TypeDrop, Subtype: 133, Source: 0x1234, Hash: 0x89abcdef},
		SrcLabel: 0x01020304, DstLabel: 0x05060708, DstID: 0x090a0b0c, Line: 0x0d0e, File: 8, ExtError: -3,
	}
}

func tracing() trace.Trace {
	return trace.Trace{
		Common:   trace.Common{Type: trace.TypeTrace, Subtype: uint8(code.TraceToOverlay), Source: 0x1234, Hash: 0x89abcdef},
		SrcLabel: 0x01020304, DstLabel: 0x05060708, DstID: 0x090a, Reason: code.CTReply, Flags: 1, Ifindex: 0x0b0c0d0e,
		OrigIP: [16]byte{10, 0, 1, 178, 15: 0xff},
	}
}

func verdict() trace.Verdict {
	return trace.Verdict{
		Common:      trace.Common{Type: trace.TypeVerdict, Source: 0x1234, Hash: 0x89abcdef},
		RemoteLabel: 0x01020304, Verdict: -133, DstPort: 0x1f90, Proto: 6, Dir: code.Egress, Match: code.MatchL4, Audited: true,
	}
}

// TestNotificationBytes compares headers with bytes written down from SPEC 12.4.
func TestNotificationBytes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		n     any
		frame int
		limit uint32
		want  string // header
		cap   int
	}{
		{"drop", drop(), 60, 128, "01853412efcdab89" + "3c0000003c000100" + "04030201" + "08070605" + "0c0b0a09" + "0e0d" + "08" + "fd", 60},
		{
			"trace", tracing(), 300, 128,
			"04043412efcdab89" + "2c01000080000100" + "04030201" + "08070605" + "0a09" + "02" + "01" + "0e0d0c0b" +
				"0a0001b2" + "0000000000000000000000ff", 128,
		},
		{"verdict", verdict(), 60, 128, "05003412efcdab89" + "3c0000003c000100" + "04030201" + "7bffffff" + "901f" + "06" + "5a" + "00000000", 60},
		{"limit", drop(), 60, 14, "01853412efcdab89" + "3c0000000e000100" + "04030201" + "08070605" + "0c0b0a09" + "0e0d" + "08" + "fd", 14},
		{"limit above the record", drop(), 300, 4000, "01853412efcdab89" + "2c01000080000100" + "04030201" + "08070605" + "0c0b0a09" + "0e0d" + "08" + "fd", 128},
		{"empty frame", drop(), 0, 128, "01853412efcdab89" + "0000000000000100" + "04030201" + "08070605" + "0c0b0a09" + "0e0d" + "08" + "fd", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := trace.NewRing(1)
			emit(r, tt.n, frameOf(tt.frame), tt.limit)
			got, ok := r.Next()
			if !ok {
				t.Fatal("no notification")
			}
			want := tt.want + hex.EncodeToString(frameOf(tt.frame)[:tt.cap])
			if d := cmp.Diff(want, hex.EncodeToString(got)); d != "" {
				t.Errorf("bytes differ (-want +got):\n%s", d)
			}
		})
	}
}

func TestNotificationRoundTrip(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		n    any
	}{{"drop", drop()}, {"trace", tracing()}, {"verdict", verdict()}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, frame := trace.NewRing(1), frameOf(200)
			emit(r, tt.n, frame, 100)
			raw, _ := r.Next()
			got, capture, err := trace.DecodeNotification(raw)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(withLengths(tt.n, 200, 100), got); d != "" {
				t.Errorf("notification differs (-want +got):\n%s", d)
			}
			if !bytes.Equal(capture, frame[:100]) {
				t.Errorf("capture %x, want the frame's first 100 bytes", capture)
			}
		})
	}
}

// withLengths is n as it comes out of a ring.
func withLengths(n any, length uint32, capture uint16) any {
	switch n := n.(type) {
	case trace.Drop:
		n.Len, n.CapLen = length, capture
		return n
	case trace.Trace:
		n.Len, n.CapLen = length, capture
		return n
	case trace.Verdict:
		n.Len, n.CapLen = length, capture
		return n
	}
	return n
}

func TestDecodeNotificationErrors(t *testing.T) {
	t.Parallel()
	r := trace.NewRing(1)
	r.Trace(tracing(), frameOf(20), 128)
	whole, _ := r.Next()
	for n := range whole {
		if _, _, err := trace.DecodeNotification(whole[:n]); !errors.Is(err, trace.ErrShort) {
			t.Errorf("%d of %d bytes: error %v, want %v", n, len(whole), err, trace.ErrShort)
		}
	}
	for _, typ := range []byte{0, 2, 3, 6, 255} {
		b := bytes.Clone(whole)
		b[0] = typ
		if _, _, err := trace.DecodeNotification(b); err == nil || errors.Is(err, trace.ErrShort) {
			t.Errorf("type %d: error %v, want one about the type", typ, err)
		}
	}
}

func FuzzDecodeNotification(f *testing.F) {
	r := trace.NewRing(1)
	for _, n := range []any{drop(), tracing(), verdict()} {
		emit(r, n, frameOf(40), 20)
		b, _ := r.Next()
		f.Add(bytes.Clone(b))
	}
	f.Add([]byte{4})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, capture, err := trace.DecodeNotification(b)
		if err != nil {
			if n != nil || capture != nil {
				t.Errorf("an error with %v and %x", n, capture)
			}
			return
		}
		length := commonOf(n).Len
		if length > 2000 || int(length) < len(capture) || len(capture) > trace.MaxCapture {
			return // no such frame
		}
		// Written again, it reads the same.
		r := trace.NewRing(1)
		frame := append(bytes.Clone(capture), make([]byte, int(length)-len(capture))...)
		emit(r, n, frame, uint32(len(capture)))
		raw, ok := r.Next()
		if !ok {
			t.Fatal("nothing written")
		}
		again, capture2, err := trace.DecodeNotification(raw)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(n, again); d != "" || !bytes.Equal(capture, capture2) {
			t.Errorf("written and read again, it differs:\n%s", d)
		}
	})
}

func commonOf(n any) trace.Common {
	switch n := n.(type) {
	case trace.Drop:
		return n.Common
	case trace.Trace:
		return n.Common
	case trace.Verdict:
		return n.Common
	}
	return trace.Common{}
}
