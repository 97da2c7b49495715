package compare_test

import (
	"context"
	"slices"
	"testing"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/maps"
)

const partingCluster = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: parting}
spec:
  nodes: [{name: a}, {name: b}]
  pods: [{name: client, node: a}, {name: server, node: a}]
  services: [{name: web, selector: {run: client}, ports: [80]}]
`

// TestParting: with two engines that trace different things, the functions that are named
// are those that ran where their common steps part.
func TestParting(t *testing.T) {
	t.Parallel()
	b := twin(t)
	for _, tt := range []struct {
		name, steps string
		config      func(c *dataplane.Config)
		stage       string
		between     []string // among others
		sure        bool
	}{
		{
			"another address is asked for", "client > svc/web tcp SYN", func(c *dataplane.Config) { c.Loopback = [4]byte{169, 254, 42, 7} },
			"lb4_xlate",
			[]string{"lb4_xlate", "lb4_local"},
			false,
		},
		{
			"another MAC is written", "client > 10.0.0.200 arp", func(c *dataplane.Config) { c.Endpoint.NodeMAC = [6]byte{2, 2, 2, 2, 2, 2} },
			"arp_respond",
			[]string{"arp_respond"},
			false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			right := compare.Engine{
				Name: "bytecode", Function: bpf.Function,
				New: func() (dataplane.Runner, error) { return bytecode.New(maps.NewSet(maps.Sizes{}), b), nil },
				Config: func(c dataplane.Config) dataplane.Config {
					tt.config(&c)
					return c
				},
			}
			s, err := compare.Parse("parting", []byte("node a\n"+tt.steps+"\n"), []cluster.Source{{Name: "c.yaml", Data: []byte(partingCluster)}})
			if err != nil {
				t.Fatal(err)
			}
			r, err := compare.Run(context.Background(), &compare.Options{Left: emulated(), Right: right, Workers: 1, Shrink: 50}, compare.FeedOf("parting", s))
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Differences) == 0 {
				t.Fatal("nothing differs")
			}
			t.Logf("%+v", r.Differences[0].Fields)
			st := r.Differences[0].Stage
			if st.Func != tt.stage || st.Sure != tt.sure {
				t.Errorf("stage %+v, want %s, %t", st, tt.stage, tt.sure)
			}
			for _, f := range tt.between {
				if !slices.Contains(st.Between, f) {
					t.Errorf("%s is not among %v", f, st.Between)
				}
			}
			if len(st.Between) > 12 {
				t.Errorf("%d functions ran between: %v", len(st.Between), st.Between)
			}
		})
	}
}
