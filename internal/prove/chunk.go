package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hooklab/hooklab/dataplane/compare"
)

// proof is what was compared.
type proof struct {
	*options
	commit  string
	binary  string
	chunks  map[string][]*chunk // by engine
	skipped []string            // engines that cannot run here
}

// chunk is one run of compare.
type chunk struct {
	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`
	Report  report  `json:"report"`
}

// report is what compare writes as JSON, as far as it is needed.
type report struct {
	Left, Right struct{ Engine, Source string }
	Packets     int
	Worlds      int
	Paths       int
	Fields      int
	Same        bool
	Differing   int
	Compared    []compare.Count
	NotCompared []compare.Count
	Differences []struct {
		Class    string
		Stage    compare.Stage
		Packets  int
		First    string
		Scenario string
	}
	Coverage []compare.FuncCoverage
	Lines    []compare.LineCoverage
}

// errNotMade ends a summary.
var errNotMade = errors.New("no such chunk")

// maxChunks is how far apart the seeds of two proofs are.
const maxChunks = 1 << 20

// compare makes chunks until so many packets were compared with an engine. Packets that
// it cannot be given do not count.
func (p *proof) compare(engine string, packets int) error {
	done, differ, busy := 0, 0, 0.0
	for i := 0; done < packets; i++ {
		c, err := p.chunk(engine, i, min(p.size, packets-done))
		if err != nil {
			return err
		}
		p.chunks[engine] = append(p.chunks[engine], c)
		done, differ, busy = done+c.Report.Packets, differ+c.Report.Differing, busy+c.Seconds
		fmt.Fprintf(os.Stderr, "%s prove: %s, seed %d: %d of %d packets, %.0f a minute, %d differ\n",
			time.Now().Format(time.TimeOnly), engine, c.Seed, done, packets, float64(done)/busy*60, differ)
	}
	return nil
}

// chunk reads the result of a chunk, or makes it.
func (p *proof) chunk(engine string, i, packets int) (*chunk, error) {
	base := filepath.Join(p.work, fmt.Sprintf("%s-%04d", engine, i+1))
	c := &chunk{Seed: p.seed*maxChunks + uint64(i)}
	if data, err := os.ReadFile(base + ".json"); err == nil {
		return c, json.Unmarshal(data, c)
	}
	if p.summary {
		return nil, errNotMade
	}
	// What an interrupted run has left counts for nothing.
	if err := errors.Join(os.RemoveAll(base+".cover"), os.MkdirAll(base+".cover", 0o755)); err != nil {
		return nil, err
	}
	begin := time.Now()
	cmd := exec.Command(p.binary, "compare", "--engines", "emulated,"+engine, "--packets", strconv.Itoa(packets),
		"--workers", strconv.Itoa(p.workers), "--seed", strconv.FormatUint(c.Seed, 10), "--save", base+".differences", "--coverage", "-o", "json")
	cmd.Env = append(os.Environ(), "GOCOVERDIR="+base+".cover")
	var stderr tail
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return nil, fmt.Errorf("%s: %w: %s", engine, err, stderr)
	}
	c.Seconds = time.Since(begin).Seconds()
	if err := json.Unmarshal(out, &c.Report); err != nil {
		return nil, fmt.Errorf("%s: %w", engine, err)
	}
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(base+".tmp", data, 0o644); err != nil {
		return nil, err
	}
	return c, os.Rename(base+".tmp", base+".json")
}

// tail is the end of what a command says.
type tail []byte

const tailSize = 2000

// Write keeps the last bytes.
func (t *tail) Write(b []byte) (int, error) {
	*t = append(*t, b...)
	*t = (*t)[max(0, len(*t)-tailSize):]
	return len(b), nil
}

func (p *proof) same() bool {
	for _, list := range p.chunks {
		for _, c := range list {
			if !c.Report.Same {
				return false
			}
		}
	}
	return true
}
