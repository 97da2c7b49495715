package main

import (
	"fmt"
	"io"
	"os/exec"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/songgao/water"

	"github.com/hooklab/hooklab/netns"
)

// naive is what one writes first: a goroutine for each TAP device that reads a frame,
// takes it apart with gopacket, puts it together again and writes it to the other.
func (b *bench) naive(s *subject) (err error) {
	for _, to := range []**netns.NS{&s.client, &s.server} {
		if *to, err = b.space(); err != nil {
			return err
		}
	}
	s.addr = "10.6.0.2"
	cmd, err := b.role(nil, "naive", fmt.Sprintf("/proc/self/fd/%d", 3), fmt.Sprintf("/proc/self/fd/%d", 4))
	if err != nil {
		return err
	}
	if err := startWithSpaces(b, cmd, s.client, s.server); err != nil {
		return err
	}
	s.forwarders = []*exec.Cmd{cmd}
	for i, ns := range []*netns.NS{s.client, s.server} {
		err := inOrder(
			func() error { return waitFor(func() error { _, err := ns.Link("eth0"); return err }) },
			func() error { return ns.AddAddr("eth0", prefix(fmt.Sprintf("10.6.0.%d/24", i+1))) },
			func() error { return ns.SetUp("eth0", true) },
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// naiveRole is the forwarder's process: its arguments are two namespaces.
func naiveRole(args []string) error {
	var taps []io.ReadWriteCloser
	for _, path := range args {
		ns, err := netns.Open(path)
		if err != nil {
			return err
		}
		err = ns.Do(func() error {
			cfg := water.Config{DeviceType: water.TAP}
			cfg.Name = "eth0"
			w, err := water.New(cfg)
			if err == nil {
				taps = append(taps, w)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	done := make(chan error, 2)
	go func() { done <- forward(taps[0], taps[1]) }()
	go func() { done <- forward(taps[1], taps[0]) }()
	return <-done
}

func forward(from io.Reader, to io.Writer) error {
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return err
		}
		p := gopacket.NewPacket(buf[:n], layers.LayerTypeEthernet, gopacket.Default)
		var parts []gopacket.SerializableLayer
		var ip *layers.IPv4
		for _, l := range p.Layers() {
			switch l := l.(type) {
			case *layers.IPv4:
				ip = l
			case *layers.TCP:
				err = l.SetNetworkLayerForChecksum(ip)
			case *layers.UDP:
				err = l.SetNetworkLayerForChecksum(ip)
			}
			if err != nil {
				return err
			}
			part, ok := l.(gopacket.SerializableLayer)
			if !ok {
				parts = nil
				break
			}
			parts = append(parts, part)
		}
		frame := buf[:n]
		if parts != nil {
			b := gopacket.NewSerializeBuffer()
			if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err == nil {
				frame = b.Bytes()
			}
		}
		if _, err := to.Write(frame); err != nil {
			return err
		}
	}
}
