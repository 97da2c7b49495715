package emu_test

import (
	"testing"

	"github.com/hooklab/hooklab/internal/conformance"
)

// recordedFrames are the distinct frames of the recorded packets, as good input
// for tests that need many kinds.
func recordedFrames(tb testing.TB) [][]byte {
	tb.Helper()
	v, err := conformance.Load("../../testdata/vectors")
	must(tb, err)
	var frames [][]byte
	seen := map[string]bool{}
	for _, g := range v.Groups {
		for _, s := range g.Scenarios {
			for _, step := range s.Steps {
				if !seen[string(step.In)] {
					seen[string(step.In)] = true
					frames = append(frames, step.In)
				}
			}
		}
	}
	return frames
}
