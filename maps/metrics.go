package maps

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
