package compare

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hooklab/hooklab/dataplane"
)

// ErrInput is what every error about a scenario or a capture satisfies.
var ErrInput = errors.New("bad input")

// inputError is an error of the user's input with its place.
type inputError struct {
	file string
	line int
	err  error
}

// Error is "file:line: what is wrong".
func (e *inputError) Error() string {
	switch {
	case e.file == "":
		return e.err.Error()
	case e.line == 0:
		return e.file + ": " + e.err.Error()
	}
	return fmt.Sprintf("%s:%d: %v", e.file, e.line, e.err)
}

// Unwrap makes the error an ErrInput.
func (e *inputError) Unwrap() []error { return []error{ErrInput, e.err} }

func inputErrorf(file string, line int, format string, args ...any) error {
	return &inputError{file, line, fmt.Errorf(format, args...)}
}

// settingVerdicts is the one setting of an endpoint: which policy verdicts are
// reported, bit 0 ingress, bit 1 egress.
const settingVerdicts = "verdicts"

// settingReload, also of an endpoint, unloads its programs and loads them again before
// anything happens.
const settingReload = "reload"

// ofEndpoint says that a setting is one of an endpoint.
func ofEndpoint(name string) bool { return name == settingVerdicts || name == settingReload }

// setting is a value of the configuration that scenarios may change.
type setting struct {
	name  string
	most  uint32
	set   func(c *dataplane.Config, v uint32)
	words []string // of the values from 0 on; nil: they are numbers
}

func settings() []setting {
	return []setting{
		{"delivery", uint32(dataplane.DeliverStack), func(c *dataplane.Config, v uint32) { c.Delivery = dataplane.Delivery(v) }, []string{"redirect", "peer", "to-container", "stack"}},
		{"aggregation", uint32(dataplane.AggregateMedium), func(c *dataplane.Config, v uint32) { c.Aggregation = dataplane.Aggregation(v) }, []string{"none", "low", "2", "medium"}},
		{"capture", 128, func(c *dataplane.Config, v uint32) { c.CaptureLen = v }, nil},
		{"report-flags", 255, func(c *dataplane.Config, v uint32) { c.ReportFlags = uint8(v) }, nil},
		{"report-interval", 1 << 20, func(c *dataplane.Config, v uint32) { c.ReportInterval = v }, nil},
		{"clock", uint32(dataplane.ClockJiffies), func(c *dataplane.Config, v uint32) { c.Clock = dataplane.Clock(v) }, []string{"ktime", "jiffies"}},
		{"hz", 1000, func(c *dataplane.Config, v uint32) { c.KernelHz = v }, nil},
		{"tunnel-port", 65535, func(c *dataplane.Config, v uint32) { c.TunnelPort = uint16(v) }, nil},
		{"local-node-id", 8, func(c *dataplane.Config, v uint32) { c.LocalNodeID = v }, nil},
	}
}

// SettingNames are the settings that a scenario may have, beside verdicts of an
// endpoint.
func SettingNames() []string {
	var names []string
	for _, x := range settings() {
		names = append(names, x.name)
	}
	return names
}

func applySetting(c *dataplane.Config, x *Setting) error {
	all := settings()
	i := slices.IndexFunc(all, func(s setting) bool { return s.name == x.Name })
	switch {
	case i < 0:
		return fmt.Errorf("set %s: no such setting; there are %s, and %s and %s of a pod", x.Name, strings.Join(SettingNames(), ", "), settingVerdicts, settingReload)
	case x.Value > all[i].most:
		return fmt.Errorf("set %s %d: allowed: %s", x.Name, x.Value, all[i].allowed())
	}
	all[i].set(c, x.Value)
	return nil
}

// allowed are a setting's values in words.
func (x *setting) allowed() string {
	if x.words != nil {
		return strings.Join(x.words, ", ")
	}
	return fmt.Sprintf("0 to %d", x.most)
}

// settingValue reads a value: a word of the setting, or a number.
func settingValue(name, text string) (uint32, error) {
	most, allowed := uint32(3), "0 to 3" // of verdicts
	switch name {
	case settingVerdicts:
	case settingReload:
		most, allowed = 1, "0, 1"
	default:
		all := settings()
		i := slices.IndexFunc(all, func(s setting) bool { return s.name == name })
		if i < 0 {
			return 0, fmt.Errorf("set %s: no such setting; there are %s, and %s and %s of a pod", name, strings.Join(SettingNames(), ", "), settingVerdicts, settingReload)
		}
		if j := slices.Index(all[i].words, text); j >= 0 {
			return uint32(j), nil
		}
		most, allowed = all[i].most, all[i].allowed()
	}
	v, err := strconv.ParseUint(text, 0, 32)
	if err != nil || uint32(v) > most {
		return 0, fmt.Errorf("set %s %s: allowed: %s", name, text, allowed)
	}
	return uint32(v), nil
}

// settingText is a value as settingValue reads it.
func settingText(name string, v uint32) string {
	for _, s := range settings() {
		if s.name == name && int(v) < len(s.words) {
			return s.words[v]
		}
	}
	return strconv.FormatUint(uint64(v), 10)
}
