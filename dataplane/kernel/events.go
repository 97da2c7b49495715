package kernel

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"

	"github.com/hooklab/hooklab/dataplane/trace"
)

// eventBytes is the size of the perf ring of each CPU; a run leaves at most a few notifications of 176 bytes.
const eventBytes = 1 << 16

// events reads the notifications that programs write to cilium_events.
type events struct {
	reader *perf.Reader
	record perf.Record
	stale  bool // runs have written notifications that nobody wanted
}

func newEvents(m *ebpf.Map) (*events, error) {
	r, err := perf.NewReader(m, eventBytes)
	if err != nil {
		return nil, fmt.Errorf("read the perf ring %s: %w", m, err)
	}
	r.SetDeadline(time.Unix(1, 0)) // never wait
	return &events{reader: r}, nil
}

// drain moves all notifications into a ring, in order: a run is on one CPU. A nil ring loses them.
func (e *events) drain(into *trace.Ring) error {
	for {
		err := e.reader.ReadInto(&e.record)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			e.stale = false
			return nil
		case err != nil:
			return fmt.Errorf("read notifications: %w", err)
		case e.record.LostSamples > 0:
			if into != nil {
				return fmt.Errorf("the kernel lost %d notifications of one run", e.record.LostSamples)
			}
		case into != nil:
			raw := e.record.RawSample
			into.Raw(raw[:recordSize(raw)], nil)
		}
	}
}

// recordSize is the size of a notification without what the kernel pads it with.
func recordSize(raw []byte) int {
	_, capture, err := trace.DecodeNotification(raw)
	if err != nil {
		return len(raw)
	}
	header := trace.DropSize // also that of a verdict
	if raw[0] == trace.TypeTrace {
		header = trace.TraceSize
	}
	return header + len(capture)
}

func (e *events) close() error { return e.reader.Close() }
