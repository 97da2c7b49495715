package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestPrivilegedNeighbours lets each pod of a lab ping another one, every second of them a
// pod of the other node. `make bench-start` does it with 1,000 pods.
func TestPrivilegedNeighbours(t *testing.T) {
	t.Parallel()
	const pods, atOnce = 20, 8 // of each node
	name := func(node, pod int) string { return fmt.Sprintf("pod%d-%d", node, pod) }
	var text strings.Builder
	text.WriteString("apiVersion: hooklab.io/v1alpha1\nkind: Lab\nmetadata: {name: neighbours}\nspec:\n  nodes: [{name: node0}, {name: node1}]\n  pods:\n")
	for i := range 2 * pods {
		fmt.Fprintf(&text, "  - {name: %s, node: node%d}\n", name(i/pods, i%pods), i/pods)
	}
	s := newSession(t)
	s.write("cluster.yaml", text.String())
	s.run("up", "--detach")

	var pinging sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i := range 2 * pods {
		node, pod := i/pods, i%pods
		from, to := name(node, pod), name(node, (pod+1)%pods)
		if pod%2 == 1 {
			to = name(1-node, pod)
		}
		places <- struct{}{}
		pinging.Go(func() {
			defer func() { <-places }()
			out, err := s.command("exec", from, "--", "ping", "-c", "1", "-W", "30", to).CombinedOutput()
			if err != nil || !strings.Contains(string(out), " 0% packet loss") {
				t.Errorf("%s pings %s: %v\n%s", from, to, err, out)
			}
		})
	}
	pinging.Wait()
	s.run("down")
}
