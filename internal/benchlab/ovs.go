package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/vishvananda/netlink"

	"github.com/hooklab/hooklab/netns"
)

// ovs is an instance of Open vSwitch with a database and directories of its own.
type ovs struct {
	ns  *netns.NS
	dir string
	vs  *exec.Cmd
}

const schema = "/usr/share/openvswitch/vswitch.ovsschema"

// newOVS starts an instance whose datapath is in a namespace.
func (b *bench) newOVS(name string, tso bool) (*ovs, error) {
	ns, err := b.space()
	if err != nil {
		return nil, err
	}
	o := &ovs{ns: ns, dir: filepath.Join(b.dir, name)}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	db, sock := filepath.Join(o.dir, "conf.db"), "unix:"+filepath.Join(o.dir, "db.sock")
	if _, err := output(nil, o.env(), "ovsdb-tool", "create", db, schema); err != nil {
		return nil, err
	}
	server := exec.Command("ovsdb-server", db, "--remote=p"+sock, "--unixctl="+filepath.Join(o.dir, "db.ctl"), "-vconsole:off", "-vsyslog:off")
	server.Env = append(os.Environ(), o.env()...)
	if err := b.start(nil, server); err != nil {
		return nil, err
	}
	if err := waitFor(func() error { return o.vsctl("--no-wait", "init") }); err != nil {
		return nil, err
	}
	if tso {
		if err := o.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true"); err != nil {
			return nil, err
		}
	}
	o.vs = exec.Command("ovs-vswitchd", sock, "--unixctl="+filepath.Join(o.dir, "vs.ctl"), "-vconsole:off", "-vsyslog:off")
	o.vs.Env = append(os.Environ(), o.env()...)
	return o, b.start(ns, o.vs)
}

func (o *ovs) env() []string {
	return []string{"OVS_RUNDIR=" + o.dir, "OVS_LOGDIR=" + o.dir, "OVS_DBDIR=" + o.dir}
}

func (o *ovs) vsctl(args ...string) error {
	_, err := output(nil, o.env(), "ovs-vsctl", append([]string{"--timeout=20", "--db=unix:" + filepath.Join(o.dir, "db.sock")}, args...)...)
	return err
}

func (o *ovs) bridge(name string) error {
	return o.vsctl("add-br", name, "--", "set", "bridge", name, "datapath_type=netdev")
}

// pod makes a namespace whose device is a TAP port of a bridge.
func (b *bench) ovsPod(o *ovs, bridge, dev, addr string, mtu int) (*netns.NS, error) {
	pod, err := b.space()
	if err != nil {
		return nil, err
	}
	return pod, inOrder(
		func() error {
			return o.vsctl("add-port", bridge, dev, "--", "set", "interface", dev, "type=tap", fmt.Sprintf("mtu_request=%d", mtu))
		},
		func() error {
			return o.ns.Do(func() error {
				l, err := netlink.LinkByName(dev)
				if err != nil {
					return err
				}
				return netlink.LinkSetNsFd(l, pod.FD())
			})
		},
		func() error { return pod.AddAddr(dev, prefix(addr)) },
		func() error { return pod.SetUp(dev, true) },
	)
}

func (b *bench) ovsLocal(s *subject, tso bool) error {
	o, err := b.newOVS(fmt.Sprintf("ovs-%t", tso), tso)
	if err != nil {
		return err
	}
	s.forwarders = []*exec.Cmd{o.vs}
	if err := o.bridge("br0"); err != nil {
		return err
	}
	if s.client, err = b.ovsPod(o, "br0", "tap1", "10.4.0.1/24", 1500); err != nil {
		return err
	}
	s.addr = "10.4.0.2"
	s.server, err = b.ovsPod(o, "br0", "tap2", s.addr+"/24", 1500)
	return err
}

// ovsCross is two nodes with userspace VXLAN: the tunnel's packets are routed by the
// switch itself, from a bridge that has the node's address.
func (b *bench) ovsCross(s *subject) error {
	wire, err := b.wire()
	if err != nil {
		return err
	}
	for n := byte(1); n <= 2; n++ {
		o, err := b.newOVS(fmt.Sprintf("ovs-node%d", n), false)
		if err != nil {
			return err
		}
		s.forwarders = append(s.forwarders, o.vs)
		mine := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 60, n}), 24)
		err = inOrder(
			func() error { return onWire(wire, o.ns, n) },
			func() error {
				return o.ns.SetOffloads("eth0", false, netns.OffloadTxChecksum, netns.OffloadTSO, netns.OffloadGSO, netns.OffloadGRO)
			},
			func() error { return o.bridge("br-phy") },
			func() error { return o.vsctl("add-port", "br-phy", "eth0") },
			func() error { return o.ns.AddAddr("br-phy", mine) },
			func() error { return o.ns.SetUp("br-phy", true) },
			func() error { return o.bridge("br-int") },
			func() error {
				return o.vsctl("add-port", "br-int", "vx0", "--", "set", "interface", "vx0", "type=vxlan",
					fmt.Sprintf("options:remote_ip=192.168.60.%d", 3-n), "options:key=7")
			},
		)
		if err != nil {
			return err
		}
		pod, err := b.ovsPod(o, "br-int", "tap1", fmt.Sprintf("10.5.0.%d/24", n), 1450)
		if err != nil {
			return err
		}
		if n == 1 {
			s.client = pod
		} else {
			s.server = pod
		}
	}
	s.addr = "10.5.0.2"
	return nil
}
