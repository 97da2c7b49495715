// Command hooklab runs the TC datapath of Cilium 1.12 in user space: it computes a
// cluster's BPF maps from manifests and carries real traffic between network
// namespaces.
package main

import (
	"context"
	"os"

	"github.com/hooklab/hooklab/netns/lab"
)

func main() {
	if lab.IsInit() {
		code, err := lab.RunInit()
		report(os.Stderr, err)
		os.Exit(max(code, exitCode(err)))
	}
	os.Exit(run(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}
