package lab_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// TestPrivilegedPodAggregates looks at what pods' kernels may put together: where the way
// to other nodes has a limit, theirs is that one, also that of a pod which came later.
func TestPrivilegedPodAggregates(t *testing.T) {
	t.Parallel()
	for underlay, want := range map[string]string{"": "gso_max_size 65536", "socket": "gso_max_size 62040"} {
		w := upWith(t, article, func(o *lab.Options) { o.Underlay = underlay })
		later := strings.Replace(article, "  pods:\n", "  pods:\n  - {name: later, node: worker}\n", 1)
		_, err := w.Change(t.Context(), []cluster.Source{{Name: "later.yaml", Data: []byte(later)}}, false)
		must(t, err)
		for _, pod := range []string{"default/pod1-1", "default/later"} {
			var out bytes.Buffer
			ip := exec.Command("ip", "-d", "link", "show", "eth0")
			ip.Stdout = &out
			must(t, w.space(pod).Run(ip))
			if !strings.Contains(out.String(), want+" ") {
				t.Errorf("underlay %q, %s: want %s:\n%s", underlay, pod, want, &out)
			}
		}
	}
}

// TestPrivilegedTshark looks at the wire with tshark, which must be able to take every
// frame apart: aggregates, batches and single ones.
func TestPrivilegedTshark(t *testing.T) {
	t.Parallel()
	for _, underlay := range []string{"", "socket"} {
		w := upWith(t, article, func(o *lab.Options) { o.Underlay = underlay })
		wire := tap(t, w.space("wire/underlay"), "node2")
		echo(t, w.space("default/pod2-1"), ":80")
		pod := w.space("default/pod1-1")
		if _, _, err := ping(pod, "10.0.2.158", 3); err != nil {
			t.Fatal(err)
		}
		exchange(t, dial(t, pod, "tcp4", "10.0.2.158:80"), 300<<10)
		c := dial(t, pod, "udp4", "10.0.2.158:80")
		for range 50 {
			_, err := c.Write([]byte("eighteen bytes of x"))
			must(t, err)
		}
		_, err := c.Read(make([]byte, 100))
		must(t, err)

		var file bytes.Buffer
		p := pcapgo.NewWriter(&file)
		must(t, p.WriteFileHeader(1<<18, layers.LinkTypeEthernet))
		frames := captured(t, wire, isVXLAN)
		for _, s := range frames {
			must(t, p.WritePacket(gopacket.CaptureInfo{Timestamp: time.Now(), CaptureLength: len(s.frame), Length: len(s.frame)}, s.frame))
		}
		name := filepath.Join(t.TempDir(), "wire.pcap")
		must(t, os.WriteFile(name, file.Bytes(), 0o600))
		if len(frames) < 10 {
			t.Errorf("only %d frames on the wire", len(frames))
		}
		// A batch of several datagrams is one frame here; tshark sees the first.
		out, err := exec.Command("tshark", "-r", name, "-d", "udp.port==8472,vxlan", "-T", "fields",
			"-e", "frame.protocols", "-e", "_ws.malformed", "-e", "_ws.expert.severity").Output()
		must(t, err)
		lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
		if len(lines) != len(frames) {
			t.Errorf("underlay %q: tshark reads %d frames of %d", underlay, len(lines), len(frames))
		}
		const severe = "8388608" // PI_ERROR
		for i, line := range lines {
			f := strings.Split(line, "\t")
			if !strings.Contains(f[0], "udp:vxlan:eth:ethertype:ip:") || f[1] != "" || strings.Contains(f[2], severe) {
				t.Errorf("underlay %q: frame %d: %q", underlay, i+1, f)
			}
		}
	}
}

// listenUDP opens a socket with room for a burst.
func listenUDP(tb testing.TB, ns *netns.NS, addr string) *net.UDPConn {
	tb.Helper()
	var c net.PacketConn
	must(tb, ns.Do(func() (err error) {
		c, err = net.ListenPacket("udp4", addr)
		return err
	}))
	tb.Cleanup(func() { must(tb, c.Close()) })
	must(tb, c.(*net.UDPConn).SetReadBuffer(4<<20))
	return c.(*net.UDPConn)
}
