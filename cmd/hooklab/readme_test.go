package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns/lab"
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

// TestExampleREADME runs the commands of the example's README and compares what stands
// below them; HOOKLAB_UPDATE=1 writes it.
func TestExampleREADME(t *testing.T) {
	t.Chdir("../../examples/01-article")
	t.Setenv(lab.EnvRunDir, t.TempDir()) // without a lab the cluster is ./cluster.yaml
	testkit.Tool(t, "jq")
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	n := 0
	lines := strings.Split(string(data), "\n")
	for i := 0; i < len(lines); i++ {
		out.WriteString(lines[i] + "\n")
		text := strings.TrimLeft(lines[i], " ")
		command, ok := strings.CutPrefix(text, "$ ")
		if !ok || strings.TrimSpace(lines[i-1]) != "```" {
			continue
		}
		n++
		indent := strings.Repeat(" ", len(lines[i])-len(text))
		for line := range strings.Lines(piped(t, command)) {
			out.WriteString(strings.TrimRight(indent+strings.TrimRight(line, "\n"), " ") + "\n")
		}
		for i+1 < len(lines) && strings.TrimSpace(lines[i+1]) != "```" {
			i++
		}
	}
	got := strings.TrimSuffix(out.String(), "\n")
	if os.Getenv("HOOKLAB_UPDATE") == "1" {
		testkit.Rewrite(t, "README.md", []byte(got))
	} else if diff := cmp.Diff(string(data), got); diff != "" {
		t.Errorf("(-README +output):\n%s", diff)
	}
	if n < 15 {
		t.Errorf("found %d commands", n)
	}
}

// piped runs a command line of a README: hooklab is this program, what is before and
// behind it in a pipe is the shell's.
func piped(t *testing.T, line string) string {
	t.Helper()
	var in io.Reader = strings.NewReader("")
	first, rest, found := strings.Cut(line, "hooklab ")
	if !found {
		t.Fatalf("no hooklab in %q", line)
	}
	if before, ok := strings.CutSuffix(first, "| "); ok {
		in = strings.NewReader(shell(t, before, in))
	}
	args, after, _ := strings.Cut(rest, " | ")
	var out, stderr bytes.Buffer
	if code := run(t.Context(), strings.Fields(args), stdio{in: in, out: &out, err: &stderr}); code != exitOK {
		t.Fatalf("%s: exit code %d: %s", line, code, stderr.String())
	}
	if after == "" {
		return out.String()
	}
	return shell(t, after, &out)
}

// shell runs a command line that reads in.
func shell(t *testing.T, line string, in io.Reader) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-c", line)
	c.Stdin = in
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return string(out)
}
