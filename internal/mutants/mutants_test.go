package main

import (
	"slices"
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

// TestOwners: a fault in a function that traces leave out is one of those that call it.
func TestOwners(t *testing.T) {
	t.Chdir("../..")
	p, err := load(target)
	if err != nil {
		t.Fatal(err)
	}
	all := p.all()
	for name, want := range map[string]string{
		"policyLookup": "__policy_can_access", "ipv4_l3": "ipv4_l3", "egressPolicy": "handle_ipv4_from_lxc",
		"redirect_to_proxy": "handle_ipv4_from_lxc, ipv4_policy", "ct_entry_alive": "__ct_lookup",
	} {
		i := slices.IndexFunc(all, func(f fault) bool { return f.function == name })
		if i < 0 || strings.Join(all[i].owners, ", ") != want {
			t.Errorf("%s: fault %d, want it to be part of %s", name, i, want)
		}
	}
}

// TestReport counts what was found, by whom, and who is blamed.
func TestReport(t *testing.T) {
	proven := "drop.go sendDropNotifyInner: constant 254 for 255: 0xff"
	faults := []fault{
		{place: "a.go:1", function: "redirect_ep", owners: []string{"redirect_ep"}, kind: "k", text: "one", result: "found", oracle: "generated", class: "bytes", stage: "redirect_ep", stages: []string{"redirect_ep"}, size: 1},
		{place: "a.go:2", function: "l3Helper", owners: []string{"ipv4_l3"}, kind: "k", text: "two", result: "found", oracle: "recorded", class: "bytes", stage: "handle_ipv4", stages: []string{"handle_ipv4"}, between: []string{"ipv4_l3"}, size: 3},
		{place: "a.go:3", key: proven, function: "f", kind: "k", text: "three", result: survived},
		{place: "a.go:4", key: "unknown", function: "f", kind: "k", text: "four", result: survived},
		{place: "a.go:5", function: "g", owners: []string{"g"}, kind: "k", text: "five", result: "found", oracle: "generated", class: "bytes", stage: "h", stages: []string{"h"}, between: []string{"i"}, size: 2},
		{place: "a.go:6", function: "g", kind: "k", text: "six", result: "found: TestX", oracle: "tests"},
	}
	got := string(report(faults, 7, 1, 100))
	for _, want := range []string{
		"| found | 4 |", "| not found, and shown to be none | 1 |", "| not found, and not explained | 1 |", "in the median | 2 (of 3) |",
		"in the first difference | 1 | 33.3 % |", "those listed | 1 | 33.3 % |", "| wrong | 1 | 33.3 % |",
		"| a.go:5 | g | k: `five` | h | i |", "| a.go:3 | f | k: `three` | the byte is what", "| a.go:4 | f | k: `four` |  |",
		"| a.go:2 | l3Helper, in ipv4_l3 | k: `two` | recorded | bytes | handle_ipv4 | among | 3 |", "| a.go:6 | g | k: `six` | tests | found: TestX | | | |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
