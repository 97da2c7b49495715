package lab

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane"
)

// clock is a node's time: CLOCK_MONOTONIC, as bpf_ktime_get_ns tells it, and the
// jiffies that a kernel with CONFIG_HZ would have counted meanwhile.
type clock struct {
	base  time.Time
	ktime uint64 // at base
	hz    uint64
	unit  dataplane.Clock
}

func newClock(cfg *dataplane.Config) (clock, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return clock{}, fmt.Errorf("read clock: %w", err)
	}
	return clock{base: time.Now(), ktime: uint64(ts.Nano()), hz: uint64(cfg.KernelHz), unit: cfg.Clock}, nil
}

// now returns nanoseconds and jiffies.
func (c *clock) now() (ktimeNS, jiffies uint64) {
	ns := c.ktime + uint64(time.Since(c.base))
	return ns, ns/1e9*c.hz + ns%1e9*c.hz/1e9
}

// units is the time in the unit of the maps: seconds, or jiffies >> 8 (SPEC 5.4).
func (c *clock) units() uint32 {
	ns, jiffies := c.now()
	if c.unit == dataplane.ClockJiffies {
		return uint32(jiffies >> 8)
	}
	return uint32(ns / 1e9)
}

// until is how long it takes from now to a time in the unit of the maps, at most an
// hour.
func (c *clock) until(units uint32) time.Duration {
	now := c.units()
	if units <= now {
		return 0
	}
	const most = 3600
	left := min(uint64(units-now), most)
	if c.unit == dataplane.ClockJiffies {
		left = min(left<<8/max(c.hz, 1)+1, most)
	}
	return time.Duration(left) * time.Second
}
