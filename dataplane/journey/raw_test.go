package journey_test

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/dataplane/sim"
	"github.com/hooklab/hooklab/internal/testkit"
)

// TestRaw are codes of conntrack at to-container that leave the program as they are, so that
// the frame goes on to the pod with no policy asked (SPEC 10.5). The trace says that, and does
// not call it a drop.
func TestRaw(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../examples/01-article/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, strings.Replace(string(data), `kernelVersion: "5.10"`, `kernelVersion: "5.4"`, 1))
	remote, err := c.Pod("pod2-1")
	if err != nil {
		t.Fatal(err)
	}
	pod, err := c.Pod("pod1-2")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		outcome journey.Outcome
		because string
		proto   uint8
		change  func(b []byte) []byte
	}{
		{
			"raw-fragment", journey.Lost,
			"fragments are missing (to-container let it go on with First logical datagram fragment not found (-175), which counts as no verdict)",
			header.ProtoUDP,
			func(b []byte) []byte { binary.BigEndian.PutUint16(b[20:], 100); return b },
		},
		{
			"raw-short", journey.Lost,
			"malformed header (to-container let it go on with CT: Truncated or invalid header (-135), which counts as no verdict)",
			header.ProtoTCP,
			func(b []byte) []byte { return b },
		},
		{
			"raw-sctp", journey.Delivered,
			"cilium_lxc has 10.0.1.79 as local endpoint 436 (default/pod1-2)",
			header.ProtoSCTP,
			func(b []byte) []byte { return b },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := tt.change(frame(remote.IP, pod.IP, remote.MAC, pod.NodeMAC, tt.proto))
			ip := header.IPv4(b[14:])
			ip.SetChecksum(0)
			ip.SetChecksum(header.IPv4HeaderChecksum(ip[:20]))
			j, err := journey.Inject(c, engine, journey.Question{From: "a frame", To: "pod1-2"}, sim.Point{
				Node: "cilium-worker", Device: "cilium_vxlan",
				Tunnel: dataplane.TunnelKey{Present: true, ID: remote.Identity, Remote: [4]byte{172, 18, 0, 5}, TTL: 64},
			}, b)
			if err != nil {
				t.Fatal(err)
			}
			if v := j.Verdict; v.Outcome != tt.outcome || v.Because != tt.because || v.Drop != nil {
				t.Errorf("got %s %+v because %s", v.Outcome, v.Drop, v.Because)
			}
			testkit.Golden(t, tt.name+".txt", []byte(text(t, j, journey.Full)))
		})
	}
}
