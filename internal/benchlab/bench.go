package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"github.com/hooklab/hooklab/netns"
)

// subject is one way between two namespaces.
type subject struct {
	name           string
	cross          bool // between two nodes
	client, server *netns.NS
	addr           string      // of the server, for the client
	forwarders     []*exec.Cmd // processes that move the frames
	iperf          bool        // its iperf3 server runs
	summed         bool        // its ends must not refuse a checksum
}

// bench is everything that is up.
type bench struct {
	options  *options
	dir      string
	subjects []*subject
	results  map[string]*results
	loads    []float64 // load averages
	undo     []func() error
	mixed    *exec.Cmd // the lab of interop
}

// build brings all subjects up.
func (b *bench) build() error {
	for _, s := range []struct {
		name  string
		build func(*subject) error
	}{
		{hooklabTAP, func(s *subject) error { return b.hooklab(s, "bench-tap", "pod1-2") }},
		{hooklabVeth, func(s *subject) error { return b.hooklab(s, "bench-veth", "pod1-2", "--wire", "veth") }},
		{kernelRouting, func(s *subject) error { return b.kernelLocal(s, false) }},
		{kernelPeer, func(s *subject) error { return b.kernelLocal(s, true) }},
		{ovsTSO, func(s *subject) error { return b.ovsLocal(s, true) }},
		{ovsPlain, func(s *subject) error { return b.ovsLocal(s, false) }},
		{naiveTAP, b.naive},
		{crossHooklabTAP, func(s *subject) error { return b.hooklab(s, "cross-tap", "pod2-1") }},
		{crossHooklabSocket, func(s *subject) error { return b.hooklab(s, "cross-socket", "pod2-1", "--underlay", "socket") }},
		{crossHooklabVeth, func(s *subject) error { return b.hooklab(s, "cross-veth", "pod2-1", "--wire", "veth") }},
		{crossKernel, b.kernelCross},
		{crossToKernel, func(s *subject) error { return b.interop(s, "client", mixedPeer) }},
		{crossFromKernel, func(s *subject) error { return b.interop(s, "external/kernel", mixedPod) }},
		{crossService, func(s *subject) error { return b.interop(s, "client", mixedService) }},
		{crossOVS, b.ovsCross},
	} {
		if !b.wanted(s.name) {
			continue
		}
		to := &subject{name: s.name, cross: len(s.name) > len(crossPrefix) && s.name[:len(crossPrefix)] == crossPrefix}
		if err := s.build(to); err != nil {
			return fmt.Errorf("build %s: %w", s.name, err)
		}
		b.subjects = append(b.subjects, to)
		b.results[s.name] = &results{}
	}
	return nil
}

// later runs f when everything is taken down, the last one first.
func (b *bench) later(f func() error) { b.undo = append(b.undo, f) }

func (b *bench) close() error {
	var errs []error
	for _, f := range slices.Backward(b.undo) {
		errs = append(errs, f())
	}
	b.undo = nil
	return errors.Join(errs...)
}

// space makes a namespace for as long as the bench is up, with its loopback device.
func (b *bench) space() (*netns.NS, error) {
	ns, err := netns.New("")
	if err != nil {
		return nil, err
	}
	b.later(ns.Close)
	for _, set := range []struct{ name, value string }{
		{"net/ipv6/conf/all/disable_ipv6", "1"},
		{"net/ipv6/conf/default/disable_ipv6", "1"},
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
	} {
		if err := ns.SetSysctl(set.name, set.value); err != nil {
			return nil, err
		}
	}
	return ns, ns.SetUp("lo", true)
}

// start starts a process in a namespace, or here if that is nil, and kills it in the end.
func (b *bench) start(ns *netns.NS, cmd *exec.Cmd) error {
	cmd.Stderr = os.Stderr
	start := cmd.Start
	if ns != nil {
		start = func() error { return ns.Start(cmd) }
	}
	if err := start(); err != nil {
		return err
	}
	b.later(func() error {
		_ = cmd.Process.Kill() // fails if it has ended
		_ = cmd.Wait()         // it was killed
		return nil
	})
	return nil
}

// output runs a command and returns what it prints.
func output(ns *netns.NS, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	run := cmd.Run
	if ns != nil {
		run = func() error { return ns.Run(cmd) }
	}
	if err := run(); err != nil {
		return "", fmt.Errorf("%s %q: %w: %s%s", name, args, err, errs.String(), out.String())
	}
	return out.String(), nil
}

// inOrder runs the steps up to the first error.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
