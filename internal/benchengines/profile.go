package main

import (
	"fmt"
	"os"
	"runtime/pprof"
	"time"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/internal/conformance"
	"github.com/hooklab/hooklab/maps"
)

// Of each path, how long each engine runs: the profile needs some hundred samples of it, at a hundred a second.
const profiled = 6 * time.Second

// profile runs every path in both Go engines and writes where their time went: what the compiler is told to inline
// (cmd/hooklab/default.pgo).
func profile(o *options) (err error) {
	v, b, err := load(o)
	if err != nil {
		return err
	}
	f, err := os.Create(o.profile)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	for _, pa := range conformance.Paths() {
		fmt.Fprintf(os.Stderr, "%s\n", pa.Name)
		for _, e := range []dataplane.Runner{emu.New(maps.NewSet(maps.Sizes{})), bytecode.New(maps.NewSet(maps.Sizes{}), b)} {
			flight, err := pa.Prepare(v, e)
			if err != nil {
				return fmt.Errorf("%s: %w", pa.Name, err)
			}
			for start := time.Now(); time.Since(start) < profiled; {
				if _, _, err := fly(flight, 10000); err != nil {
					return fmt.Errorf("%s: %w", pa.Name, err)
				}
			}
		}
	}
	return nil
}
