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

// TestRawFragment is a fragment that came without its first one, at to-container: the code
// -175 of conntrack leaves the program as it is, so that the frame reaches the pod with no
// policy asked, and is missed there (SPEC 10.5). The trace says that, and does not call it a drop.
func TestRawFragment(t *testing.T) {
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
	b := frame(remote.IP, pod.IP, remote.MAC, pod.NodeMAC, header.ProtoUDP)
	ip := header.IPv4(b[14:])
	binary.BigEndian.PutUint16(ip[6:], 100) // offset of the fragment
	ip.SetChecksum(0)
	ip.SetChecksum(header.IPv4HeaderChecksum(ip[:20]))
	j, err := journey.Inject(c, engine, journey.Question{From: "a frame", To: "pod1-2"}, sim.Point{
		Node: "cilium-worker", Device: "cilium_vxlan",
		Tunnel: dataplane.TunnelKey{Present: true, ID: uint32(remote.Identity), Remote: [4]byte{172, 18, 0, 5}, TTL: 64},
	}, b)
	if err != nil {
		t.Fatal(err)
	}
	const want = "fragments are missing (to-container let it go on with First logical datagram fragment not found (-175), which counts as no verdict)"
	if v := j.Verdict; v.Outcome != journey.Lost || v.Because != want || v.Drop != nil {
		t.Errorf("got %s %+v because %s", v.Outcome, v.Drop, v.Because)
	}
	testkit.Golden(t, "raw-fragment.txt", []byte(text(t, j, journey.Full)))
}
