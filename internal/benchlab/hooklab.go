package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// twoNodes is the lab that is measured.
const twoNodes = `apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: NAME}
spec:
  nodes: [{name: worker1}, {name: worker2}]
  pods:
  - {name: pod1-1, node: worker1}
  - {name: pod1-2, node: worker1}
  - {name: pod2-1, node: worker2}
`

func (b *bench) runDir() lab.RunDir { return lab.RunDir(filepath.Join(b.dir, "run")) }

func (b *bench) env() []string { return []string{"HOOKLAB_RUN_DIR=" + string(b.runDir())} }

// up brings a lab up in the background.
func (b *bench) up(name, text string, flags ...string) error {
	file := filepath.Join(b.dir, name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	_, err := output(nil, b.env(), b.options.hooklab, append([]string{"up", "--detach", "-f", file}, flags...)...)
	return err
}

func (b *bench) down(name string) error {
	_, err := output(nil, b.env(), b.options.hooklab, "down", "--lab", name)
	return err
}

// hooklab measures from pod1-1 to another pod of a lab. Its process is one of ours, in
// our session, as the other forwarders are: the scheduler gives each session its share.
func (b *bench) hooklab(s *subject, name, server string, flags ...string) error {
	file := filepath.Join(b.dir, name+".yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(twoNodes, "NAME", name, 1)), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(b.options.hooklab, append([]string{"up", "-f", file}, flags...)...)
	cmd.Env = append(os.Environ(), b.env()...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.start(nil, cmd); err != nil {
		return err
	}
	b.later(func() error { return b.down(name) })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("it did not come up: %w", err)
	}
	s.forwarders = []*exec.Cmd{cmd}
	for to, ref := range map[**netns.NS]string{&s.client: "pod1-1", &s.server: server} {
		path, err := b.runDir().Pin(name, ref)
		if err != nil {
			return err
		}
		ns, err := netns.Open(path)
		if err != nil {
			return err
		}
		b.later(ns.Close)
		*to = ns
	}
	s.addr, err = address(s.server)
	return err
}

// address is the namespace's address on eth0.
func address(ns *netns.NS) (string, error) {
	out, err := output(ns, nil, "ip", "-4", "-o", "addr", "show", "dev", "eth0")
	if err != nil {
		return "", err
	}
	for i, f := range strings.Fields(out) {
		if f == "inet" {
			ip, _, _ := strings.Cut(strings.Fields(out)[i+1], "/")
			return ip, nil
		}
	}
	return "", fmt.Errorf("no address in %q", out)
}
