package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestREADME runs the commands whose output README.md shows and compares.
func TestREADME(t *testing.T) {
	t.Chdir("../..")
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for block := range strings.SplitSeq(string(data), "\n```\n") {
		command, want, found := strings.Cut(block, "\n")
		command, isCommand := strings.CutPrefix(command, "$ bin/hooklab ")
		if !found || !isCommand {
			continue
		}
		n++
		var out, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(command), stdio{out: &out, err: &stderr}); code != exitOK {
			t.Errorf("%s: exit code %d: %s", command, code, stderr.String())
		}
		if diff := cmp.Diff(want, strings.TrimSuffix(out.String(), "\n")); diff != "" {
			t.Errorf("%s (-README +output):\n%s", command, diff)
		}
	}
	if n < 2 {
		t.Errorf("found %d commands with their output", n)
	}
}
