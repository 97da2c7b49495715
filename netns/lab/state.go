package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// stateFormat is the version of State's form on disk.
const stateFormat = 1

// State is what a lab has made or is about to make. It is on disk before anything of
// it exists, so that a lab whose process is gone can be removed.
type State struct {
	Format  int    `json:"format"`
	Name    string `json:"name"`
	Version string `json:"version"` // of hooklab
	Engine  string `json:"engine"`
	Profile string `json:"profile"`
	Wire    string `json:"wire"` // of pods: "tap" or "veth"
	// WireReason is why Wire is what it is, "" if somebody has asked for it.
	WireReason string `json:"wireReason,omitempty"`
	// Rootless says that the lab is in a user namespace: only its process can enter.
	Rootless bool     `json:"rootless,omitempty"`
	Sources  []string `json:"sources,omitempty"` // the cluster's files, as the user named them
	Process  Process  `json:"process"`           // that runs the lab
	Ready    bool     `json:"ready"`             // everything is there
	PinMaps  bool     `json:"pinMaps,omitempty"` // below bpfDir
	// NetnsLinks says that `ip netns` sees the spaces.
	NetnsLinks bool    `json:"netnsLinks,omitempty"`
	Spaces     []Space `json:"spaces"`
	// Hosts maps a pod that lives in its node's network to the node.
	Hosts map[string]string `json:"hosts,omitempty"`
}

// Process names a process for as long as the machine runs.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot
	Boot  string `json:"boot"`  // id of that boot
}

// thisProcess is the calling process.
func thisProcess() (Process, error) {
	return lookProcess(os.Getpid())
}

// lookProcess is the process that has the id now.
func lookProcess(pid int) (Process, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	// The name, in parentheses, may contain anything; after it comes field 3.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const start = 22 - 3
	if len(fields) <= start {
		return Process{}, fmt.Errorf("process %d: %d fields in stat", pid, len(fields))
	}
	ticks, err := strconv.ParseUint(fields[start], 10, 64)
	if err != nil {
		return Process{}, fmt.Errorf("process %d: start time: %w", pid, err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return Process{PID: pid, Start: ticks, Boot: strings.TrimSpace(string(boot))}, nil
}

// alive says whether the process still runs.
func (p Process) alive() bool {
	now, err := lookProcess(p.PID)
	return err == nil && now == p
}

// State reads the state of a lab. The error wraps ErrNoLab if there is none.
func (r RunDir) State(name string) (*State, error) {
	h, err := r.home(name)
	if err != nil {
		return nil, err
	}
	s, err := h.state()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s in %s", ErrNoLab, name, r)
	}
	return s, err
}

func (h home) state() (*State, error) {
	data, err := os.ReadFile(h.path(stateFile))
	if err != nil {
		return nil, h.foreign(fmt.Errorf("read state: %w", err))
	}
	s := &State{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("read state %s: %w", h.path(stateFile), err)
	}
	if s.Format != stateFormat {
		return nil, fmt.Errorf("state %s has format %d of hooklab %s; this one reads format %d",
			h.path(stateFile), s.Format, s.Version, stateFormat)
	}
	return s, nil
}

// save writes the state in one step: a reader sees the old one or the new one.
func (h home) save(s *State) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	next := h.path(stateFile + ".new")
	if err := os.WriteFile(next, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := os.Rename(next, h.path(stateFile)); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}
