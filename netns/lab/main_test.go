package lab_test

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

func TestMain(m *testing.M) {
	if child := os.Getenv(childEnv); child != "" {
		os.Exit(runChild(child))
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

var noDeadline time.Time

func must(tb testing.TB, errs ...error) {
	tb.Helper()
	for _, err := range errs {
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// article is the article's cluster as far as it is known, with two nodes.
const article = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: article}
spec:
  nodes:
  - {name: worker, ip: 172.18.0.5, podCIDR: 10.0.2.0/24, router: 10.0.2.17}
  - {name: worker2, ip: 172.18.0.3, podCIDR: 10.0.1.0/24, router: 10.0.1.197}
  pods:
  - {name: pod1-1, node: worker2, ip: 10.0.1.178, identity: 19140, labels: {app: one}}
  - {name: pod1-2, node: worker2, ip: 10.0.1.79, identity: 62536, labels: {app: web}}
  - {name: pod2-1, node: worker, ip: 10.0.2.158, identity: 13789, labels: {app: two}}
  services:
  - {name: web, clusterIP: 10.96.52.248, selector: {app: web}, ports: [80]}
`

func engines() map[string]lab.Engine {
	return map[string]lab.Engine{
		"emulated": func(s *maps.Set) (dataplane.Runner, error) { return emu.New(s), nil },
	}
}

func load(tb testing.TB, text string) *cluster.Cluster {
	tb.Helper()
	c, err := cluster.Load(cluster.Source{Name: "test.yaml", Data: []byte(text)})
	must(tb, err)
	return c
}

// world is a lab for one test.
type world struct {
	*lab.Lab
	tb  testing.TB
	dir lab.RunDir
}

func options(tb testing.TB, text string) lab.Options {
	tb.Helper()
	return lab.Options{
		Cluster: load(tb, text), RunDir: lab.RunDir(tb.TempDir()), Engines: engines(), Version: "test",
		Log: slog.New(slog.NewTextHandler(tb.Output(), nil)),
	}
}

// up brings a cluster up for the test.
func up(tb testing.TB, text string) *world {
	tb.Helper()
	return upWith(tb, text, func(*lab.Options) {})
}

// upWith brings a cluster up for the test, with changed options.
func upWith(tb testing.TB, text string, change func(*lab.Options)) *world {
	tb.Helper()
	testkit.RequireRoot(tb)
	o := options(tb, text)
	change(&o)
	l, err := lab.Up(tb.Context(), o)
	must(tb, err)
	tb.Cleanup(func() { must(tb, l.Close()) })
	return &world{Lab: l, tb: tb, dir: o.RunDir}
}

// space opens a namespace of the lab, as "default/pod1-1" or "node/worker".
func (w *world) space(ref string) *netns.NS {
	w.tb.Helper()
	path, err := w.dir.Pin(w.Name(), ref)
	must(w.tb, err)
	ns, err := netns.Open(path)
	must(w.tb, err)
	w.tb.Cleanup(func() { must(w.tb, ns.Close()) })
	return ns
}

// health is the address of a node's health endpoint.
func (w *world) health(node string) string {
	w.tb.Helper()
	n, err := w.Cluster().Node(node)
	must(w.tb, err)
	return n.Health.IP.String()
}

// until waits for a condition.
func until(tb testing.TB, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			tb.Fatal("it did not happen")
		}
	}
}
