package journey_test

import (
	"bytes"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/maps"
)

func engine(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil }

// article is the example's cluster.
func article(tb testing.TB) *cluster.Cluster {
	tb.Helper()
	c, err := cluster.LoadFiles("../../examples/01-article/cluster.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// ask traces a question.
func ask(tb testing.TB, c *cluster.Cluster, q journey.Question) *journey.Journey {
	tb.Helper()
	j, err := journey.Ask(c, engine, q)
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

// text is a journey in a form.
func text(tb testing.TB, j *journey.Journey, d journey.Detail) string {
	tb.Helper()
	var b bytes.Buffer
	if err := j.WriteText(&b, journey.TextOptions{Detail: d}); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}
