package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestPrivilegedCheck: each feature says which commands it opens, and to a user without rights
// why it is not there.
func TestPrivilegedCheck(t *testing.T) {
	t.Parallel()
	want := []string{
		"AF_PACKET", "BPF_PROG_TEST_RUN", "BTF", "SCHED_CLS", "TAP", "bpf syscall", "bpffs", "clsact", "memlock", "nftables", "redirect_neigh",
		"redirect_peer", "tcx", "tunnel offloads", "user namespaces", "veth pairs", "vnet_hdr", "vxlan external",
	}
	s := newSession(t)
	as := ordinary(t, s)
	for _, who := range []string{"root", "nobody"} {
		out, code := s.try("check", "-o", "json")
		if who == "nobody" {
			out, code = as("check", "-o", "json")
		}
		var found []checked
		if err := json.Unmarshal([]byte(out), &found); err != nil || code != exitOK {
			t.Fatalf("%s: exit code %d, %v: %s", who, code, err, out)
		}
		var names []string
		for _, c := range found {
			names = append(names, c.Feature)
			if len(c.For) == 0 {
				t.Errorf("%s: %s opens nothing", who, c.Feature)
			}
			if c.OK == (c.Reason != "") || strings.Contains(c.Reason, "\n") {
				t.Errorf("%s: %+v: want either yes or a reason on one line", who, c)
			}
			// The others are there in a user namespace.
			if who == "nobody" && c.OK && slices.Contains([]string{"bpf syscall", "SCHED_CLS", "BPF_PROG_TEST_RUN", "tcx", "memlock"}, c.Feature) {
				t.Errorf("nobody can use %s", c.Feature)
			}
		}
		if slices.Sort(names); !slices.Equal(names, want) {
			t.Errorf("%s: features %q, want %q", who, names, want)
		}
	}
}
