package main

import (
	"strings"
	"testing"
)

// TestEquivalents: each fault that is said to be none is one that can be made, so that a
// reason does not outlive the code that it is about.
func TestEquivalents(t *testing.T) {
	t.Chdir("../..")
	p, err := load(target)
	if err != nil {
		t.Fatal(err)
	}
	all := p.all()
	keys := map[string]bool{}
	for i := range all {
		if keys[all[i].key] {
			t.Errorf("two faults are called %q", all[i].key)
		}
		keys[all[i].key] = true
	}
	if len(keys) < 500 {
		t.Errorf("%d faults", len(keys))
	}
	for key, why := range equivalents() {
		if !keys[key] {
			t.Errorf("no fault is called %q", key)
		}
		if len(why) < 40 {
			t.Errorf("%q: no reason: %q", key, why)
		}
	}
}

// TestReport counts what was found, by whom, and who is blamed.
func TestReport(t *testing.T) {
	faults := []fault{
		{place: "a.go:1", function: "redirect_ep", kind: "k", text: "one", result: "found", oracle: "generated", class: "bytes", stage: "redirect_ep", stages: []string{"redirect_ep"}, size: 1},
		{place: "a.go:2", function: "ipv4_l3", kind: "k", text: "two", result: "found", oracle: "recorded", class: "bytes", stage: "handle_ipv4", stages: []string{"handle_ipv4"}, between: []string{"ipv4_l3"}, size: 3},
		{place: "a.go:3", key: "lb.go lb4RevNAT: constant 8 for 9: trace.MapRevNAT", kind: "k", text: "three", result: survived},
	}
	got := string(report(faults, 7, 1, 100))
	for _, want := range []string{
		"3 faults: 2 found, 1 not. Of 2 that", "differ in a packet, 1 are blamed on\nexactly that function, by its C name, and of 1 more",
		"| a.go:3 |  | k: `three` |", "| a.go:2 | ipv4_l3 | k: `two` | recorded | bytes | handle_ipv4 | 3 |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
