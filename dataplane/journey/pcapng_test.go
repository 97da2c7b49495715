package journey_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/internal/testkit"
)

// capture is a journey as pcapng.
func capture(tb testing.TB, j *journey.Journey) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := journey.WritePcapng(&b, []*journey.Journey{j}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// TestPcapng finds every tap and both sides of every hook in the capture, in order.
func TestPcapng(t *testing.T) {
	t.Parallel()
	c := article(t)
	for _, p := range paths() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			j := ask(t, c, p.question)
			ifaces, records, err := dissect.ReadAll(bytes.NewReader(capture(t, j)))
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for _, r := range records {
				got = append(got, ifaces[r.Interface].Name)
			}
			for _, k := range j.Packets {
				for _, s := range k.Steps {
					where := s.Place[strings.Index(s.Place, " ")+1:] // "gateway" has no kind
					switch {
					case s.Tap != nil:
						want = append(want, where+"/"+s.Device)
					case s.Run != nil:
						hook := where + "/" + s.Device + ":" + s.Run.Program
						want = append(want, hook+"@entry", hook+"@exit")
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// TestPcapngAgainstTshark lets Wireshark's own reader find interfaces, functions,
// verdicts and what the service translation did to the frame.
func TestPcapngAgainstTshark(t *testing.T) {
	t.Parallel()
	tshark := testkit.Tool(t, "tshark")
	j := ask(t, article(t), journey.Question{From: "pod2-1", To: "svc/web", Protocol: journey.TCP, Port: 80})
	file := filepath.Join(t.TempDir(), "web.pcapng")
	if err := os.WriteFile(file, capture(t, j), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := func(filter string) []string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), tshark, "-n", "-r", file, "-d", "udp.port==8472,vxlan", "-Y", filter,
			"-T", "fields", "-E", "separator=|", "-E", "occurrence=a", "-e", "frame.interface_name", "-e", "ip.dst", "-e", "vxlan.vni", "-e", "frame.comment").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	const hook = "cilium-worker2/lxc85df8762428b:from-container"
	tests := []struct {
		name, filter string
		want         []string // in the only line
	}{
		{"before the program", `frame.interface_name == "` + hook + `@entry" && tcp`, []string{hook + "@entry|10.96.52.248||packet 2"}},
		{
			"after the program", `frame.interface_name == "` + hook + `@exit" && tcp.dstport == 80`,
			[]string{
				"|10.0.1.79||packet 2", "functions: handle_xgress ", "[tail call 7] tail_handle_ipv4 ", "lb4_local", "goes to backend 7 (10.0.1.79:80)",
				"+ cilium_ct4_global TCP OUT", "verdict: redirect to egress of cilium_vxlan",
			},
		},
		{
			"on the wire", `frame.interface_name == "cilium-worker/eth0" && tcp.flags == 0x02`,
			[]string{"172.18.0.3,10.0.1.79|13789|packet 2", "cilium_vxlan decapsulates"},
		},
		{"the answer at its socket", `frame.interface_name == "default/pod2-1/eth0" && tcp.flags == 0x12`, []string{"packet 4  (answers 2)", "takes 10.96.52.248:80"}},
	}
	for _, tt := range tests {
		got := lines(tt.filter)
		for _, w := range tt.want {
			if len(got) != 1 || !strings.Contains(got[0], w) {
				t.Errorf("%s: no %q in %q", tt.name, w, got)
			}
		}
	}
}
