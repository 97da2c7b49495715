package bpf_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/bpf"
)

// TestFunction: each function of the source is known by the lines between its braces.
func TestFunction(t *testing.T) {
	inlined := regexp.MustCompile(`^static __always_inline .*?(\w+)\(`)
	for _, file := range []string{"lib/l3.h", "lib/conntrack.h", "lib/lb.h", "lib/policy.h", "lib/drop.h"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		name := ""
		for i, line := range strings.Split(string(data), "\n") {
			if m := inlined.FindStringSubmatch(line); m != nil && !strings.HasSuffix(line, ";") {
				name = m[1]
				found++
			}
			if strings.HasPrefix(line, "\t") && name != "" {
				if got := bpf.Function("/src/bpf/"+file, uint32(i+1)); got != name {
					t.Errorf("%s:%d is in %q, want %q: %s", file, i+1, got, name, line)
				}
			}
			if strings.HasPrefix(line, "}") {
				name = ""
			}
		}
		if found == 0 {
			t.Errorf("%s: no function", file)
		}
	}
	if got := bpf.Function("bpf_lxc.c", 1); got != "" {
		t.Errorf("a comment is in %q", got)
	}
	if got := bpf.Function("elsewhere.c", 1); got != "" {
		t.Errorf("a file that is none is in %q", got)
	}
}
