package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// mixed is a lab whose second node is Linux alone: a host of the underlay with a kernel
// VXLAN device. A pod on it is behind the service.
const mixed = `apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: mixed}
spec:
  external: [{name: kernel, ip: 172.18.0.99}]
  nodes: [{name: worker1, ip: 172.18.0.3}]
  pods:
  - {name: client, node: worker1, ip: 10.0.0.10}
  - {name: behind, node: worker1, ip: 10.0.0.11, labels: {app: web}}
  services:
  - name: web
    clusterIP: 10.96.0.99
    selector: {app: web}
    ports: [{name: iperf, port: 5201}, {name: conn, port: 8}, {name: echo, port: 7, protocol: UDP}, {name: blast, port: 9, protocol: UDP}]
`

const (
	mixedPod, mixedBehind = "10.0.0.10", "10.0.0.11"
	mixedService          = "10.96.0.99"
	mixedPeer             = "10.0.9.9"
)

// interop measures between a pod and a kernel VXLAN node: from the pod, from the kernel,
// or from the pod to a service whose backend is there. The lab is up once for all.
func (b *bench) interop(s *subject, client, addr string) error {
	if b.mixed == nil {
		cmd, err := b.role(nil, "mixed", string(b.runDir()))
		if err != nil {
			return err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := b.start(nil, cmd); err != nil {
			return err
		}
		b.later(func() error { return b.down("mixed") })
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			return fmt.Errorf("it did not come up: %w", err)
		}
		b.mixed = cmd
	}
	s.forwarders, s.addr, s.summed = []*exec.Cmd{b.mixed}, addr, true
	s.iperf = addr == mixedService && b.wanted(crossToKernel) // the same server
	ends := map[**netns.NS]string{&s.client: "client", &s.server: "external/kernel"}
	if client != "client" {
		ends = map[**netns.NS]string{&s.client: "external/kernel", &s.server: "client"}
	}
	for to, ref := range ends {
		path, err := b.runDir().Pin("mixed", ref)
		if err != nil {
			return err
		}
		if *to, err = netns.Open(path); err != nil {
			return err
		}
		b.later((*to).Close)
	}
	return nil
}

// mixedRole is the process of that lab.
func mixedRole(dir string) (err error) {
	c, err := cluster.Load(cluster.Source{Name: "mixed", Data: []byte(mixed)})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	l, err := lab.Up(ctx, lab.Options{Cluster: c, RunDir: lab.RunDir(dir), Engines: map[string]lab.Engine{
		lab.DefaultEngine: func(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil },
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := joinPeer(ctx, l, lab.RunDir(dir)); err != nil {
		return err
	}
	fmt.Println("ready") //nolint:forbidigo // for who has started us
	select {
	case <-l.Done():
	case <-ctx.Done():
	}
	return l.Err()
}

// joinPeer makes the host a node with a kernel VXLAN device and lets worker1 know it. A
// device has one VNI, so the identities of both ends are the pod's; and it takes frames for
// its own address, which is that of the pod's gateway, as nothing rewrites it on the way.
func joinPeer(ctx context.Context, l *lab.Lab, dir lab.RunDir) error {
	pod, err := l.Cluster().Pod("client")
	if err != nil {
		return err
	}
	n, err := l.Cluster().Node("worker1")
	if err != nil {
		return err
	}
	path, err := dir.Pin(l.Name(), "external/kernel")
	if err != nil {
		return err
	}
	ns, err := netns.Open(path)
	if err != nil {
		return err
	}
	peer := netip.MustParseAddr(mixedPeer)
	err = inOrder(
		func() error {
			return ns.AddVXLAN(netns.Link{Name: "vx0", MAC: netns.MAC(pod.NodeMAC), MTU: 1450, Up: true},
				netns.VXLAN{Port: 8472, VNI: pod.Identity, Remote: n.IP.As4()})
		},
		func() error { return ns.AddAddr("vx0", netip.PrefixFrom(peer, 32)) },
		func() error {
			return ns.AddRoute(netns.Route{Dst: n.PodCIDR, Dev: "vx0", Scope: netns.ScopeLink, Src: peer})
		},
		func() error { return ns.AddNeigh("vx0", pod.IP, netns.MAC(pod.MAC)) },
		ns.Close)
	if err != nil {
		return err
	}
	var setErr error
	err = l.Do(ctx, "worker1", func(_ *node.Node, m *maps.Set) {
		k := maps.NewIPCacheKey(peer.As4(), 32)
		setErr = m.IPCache.Set(&k, &maps.RemoteEndpointInfo{SecLabel: pod.Identity, TunnelEndpoint: [4]byte{172, 18, 0, 99}}, maps.Any)
		behind, moved := netip.MustParseAddr(mixedBehind).As4(), 0
		for id := (maps.LB4BackendKey{ID: 1}); id.ID < 100; id.ID++ {
			if v := m.Backends.Ref(&id); v != nil && v.Address == behind {
				v.Address, moved = peer.As4(), moved+1
			}
		}
		if moved == 0 {
			setErr = errors.Join(setErr, errors.New("the service has no backend"))
		}
	})
	return errors.Join(err, setErr)
}

// checksumErrors counts what a namespace's TCP and UDP have refused.
func checksumErrors(ns *netns.NS) (n int, err error) {
	out, err := output(ns, nil, "cat", "/proc/net/snmp")
	if err != nil {
		return 0, err
	}
	names := map[string][]string{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if names[f[0]] == nil {
			names[f[0]] = f
			continue
		}
		for i, name := range names[f[0]] {
			if name != "InCsumErrors" {
				continue
			}
			v, err := strconv.Atoi(f[i])
			if err != nil {
				return 0, err
			}
			n += v
		}
	}
	return n, nil
}

// checkSums is an error if one end of a subject has refused a checksum.
func (s *subject) checkSums() error {
	if !s.summed {
		return nil
	}
	for _, ns := range []*netns.NS{s.client, s.server} {
		switch n, err := checksumErrors(ns); {
		case err != nil:
			return err
		case n > 0:
			return fmt.Errorf("%d packets with a wrong checksum", n)
		}
	}
	return nil
}
