package compare_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/compare"
)

// twoPods is a small cluster.
const twoPods = `apiVersion: hooklab.io/v1alpha1
kind: Lab
spec:
  nodes: [{name: a}, {name: b}]
  pods: [{name: x, node: a}, {name: y, node: a}, {name: z, node: b}]
  services: [{name: web, selector: {run: y}, ports: [80]}]
`

// FuzzParse reads any text as a scenario. What is read can be played, and what was
// played can be written, read and written again as the same text.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"x > y tcp SYN\nexpect redirect y\nreply tcp SYN,ACK sport=80 ttl=3\n",
		"node b\nset verdicts z 3\nset delivery peer\nat 2000s\nz > 8.8.8.8 udp dport=53 len=20\nexpect ok\n",
		"policy x deny egress identity 2 tcp 80 proxy 10\npacket from-overlay cilium_vxlan tunnel=6@172.18.0.3/64/0 cb=1,2,3,4,5 frame=00\n",
		"map cilium_lb4_backends_v2 del 01000000\nx > svc/web icmp frag-needed\nexpect ip.ttl 63\nexpect mark 0xf00\nafter 5s\nx > y arp",
		"x > y proto 132 frag=3 more=1\n-- a.yaml --\n" + twoPods,
	} {
		f.Add([]byte(s))
	}
	given := []cluster.Source{{Name: "two.yaml", Data: []byte(twoPods)}}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := compare.Parse("fuzz.txtar", data, given)
		if err != nil {
			if !errors.Is(err, compare.ErrInput) && !errors.Is(err, cluster.ErrInput) {
				t.Errorf("%v is no error of the input", err)
			}
			return
		}
		r, err := compare.Run(context.Background(), &compare.Options{Left: emulated(), Right: emulated()}, compare.FeedOf("fuzz", s))
		if err != nil {
			if !errors.Is(err, compare.ErrInput) {
				t.Errorf("play: %v", err)
			}
			return
		}
		if r.Differing != 0 {
			t.Error("two emulators differ")
		}
		var once, twice bytes.Buffer
		if s.Write(&once) != nil {
			return // it has answers, which only a run fills in
		}
		again, err := compare.Parse("again.txtar", once.Bytes(), nil)
		if err != nil {
			t.Fatalf("%v in what was written:\n%s", err, once.String())
		}
		if err := again.Write(&twice); err != nil || once.String() != twice.String() {
			t.Errorf("written twice (%v):\n%s\n%s", err, once.String(), twice.String())
		}
	})
}
