package lab

import (
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
)

// Resources are what a lab's process takes.
type Resources struct {
	RSS        uint64 `json:"rss"`        // resident set, bytes
	Heap       uint64 `json:"heap"`       // bytes of live objects when they were last counted
	Goroutines uint64 `json:"goroutines"` // all of the process
	Files      int    `json:"files"`      // open descriptors
}

// resources looks at this process. What cannot be read is 0.
func resources() Resources {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(samples)
	r := Resources{Heap: samples[0].Value.Uint64(), Goroutines: samples[1].Value.Uint64()}
	if data, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(data)); len(f) > 1 {
			pages, _ := strconv.ParseUint(f[1], 10, 64)
			r.RSS = pages * uint64(os.Getpagesize())
		}
	}
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		r.Files = len(entries) - 1 // without the directory's
	}
	return r
}
