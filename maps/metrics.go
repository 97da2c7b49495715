package maps

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/hooklab/hooklab/dataplane/code"
)

// NameMetrics is the map of packet and byte counters by reason and direction.
const NameMetrics = "cilium_metrics"

// Values of MetricsKey.Dir.
const (
	MetricIngress = 1
	MetricEgress  = 2
	MetricService = 3
)

// MetricsKey is a reason (0 forwarded, a drop code, or another of SPEC 12.1) and a direction (8 bytes, struct metrics_key; SPEC 12.3).
type MetricsKey struct {
	Reason, Dir uint8
	Pad         [6]byte
}

// MetricsValue counts packets and the bytes of their frames (16 bytes for each CPU, struct metrics_value; SPEC 12.3).
type MetricsValue struct {
	Count, Bytes uint64
}

// DirText returns the direction as `cilium bpf metrics list` prints it.
func (k MetricsKey) DirText() string {
	switch k.Dir & 3 {
	case MetricIngress:
		return "INGRESS"
	case MetricEgress:
		return "EGRESS"
	case MetricService:
		return "SERVICE"
	}
	return "UNKNOWN"
}

// String returns reason and direction in words.
func (k MetricsKey) String() string { return code.Reason(k.Reason) + " " + k.DirText() }

// String returns the two counters.
func (v MetricsValue) String() string { return fmt.Sprintf("count:%d bytes:%d", v.Count, v.Bytes) }

// metricsRows lists counters by reason and direction.
func metricsRows(s Store, _ TextOptions) ([]Row, error) {
	in, err := items(s, byKey[MetricsKey, MetricsValue])
	return rows(in, func(k *MetricsKey, v *MetricsValue) (string, string) { return k.String(), v.String() }), err
}

// listMetrics is `cilium bpf metrics list` (SPEC 14.8): sorted by the texts of the cells.
func listMetrics(w io.Writer, s Store, _ TextOptions) error {
	in, err := items(s, byKey[MetricsKey, MetricsValue])
	if err != nil {
		return err
	}
	if len(in) == 0 {
		return writeNone(w)
	}
	var cells [][]string
	for _, e := range in {
		cells = append(cells, []string{
			code.Reason(e.k.Reason), e.k.DirText(), strconv.FormatUint(e.v.Count, 10), strconv.FormatUint(e.v.Bytes, 10),
		})
	}
	slices.SortFunc(cells, slices.Compare[[]string])
	return tabulate(w, "REASON\tDIRECTION\tPACKETS\tBYTES", func(line func(cells ...string)) {
		for _, c := range cells {
			line(c...)
		}
	})
}
