package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/internal/testkit"
)

// varying is what is another each time in the example's outputs. It is compared without.
var varying = []struct{ re, with string }{
	{`time=[\d.]+ ms`, "time=T ms"},
	{`, time \d+ms`, ", time T"},
	{`(rtt min/avg/max/mdev =).*`, "$1 T"},
	{`up for \S+, process \d+`, "up for T, process P"},
	{`(profile \S+, hooklab) .*`, "$1 VERSION"},
	{`\b(10\.0\.0\.204):\d+`, "$1:PORT"},
	{`expires=\d+`, "expires=T"},
	{`(?m)^([ab] +emulated +\S+ +\S+ ).*`, "$1 COUNTERS"},
	{` +\n`, "\n"},
}

func steady(text string) string {
	for _, v := range varying {
		text = regexp.MustCompile(v.re).ReplaceAllString(text, v.with)
	}
	return text
}

// TestPrivilegedLabREADME goes through the session of examples/03-lab and compares what
// its README shows; HOOKLAB_UPDATE=1 writes it, with as many lines.
func TestPrivilegedLabREADME(t *testing.T) {
	t.Parallel()
	const example = "../../examples/03-lab"
	testkit.Tool(t, "tshark")
	x := &labREADME{session: newSession(t)}
	for _, name := range []string{"cluster.yaml", "more.yaml", "serve"} {
		data, err := os.ReadFile(filepath.Join(example, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(x.path(name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(example, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	const fence = "```\n"
	parts := strings.Split(string(data), fence)
	for i := 1; i < len(parts); i += 2 {
		command, want, _ := strings.Cut(parts[i], "\n")
		command = strings.TrimPrefix(command, "$ ")
		at := &parts[i]
		x.block(command, want, func(got string) { *at = "$ " + command + "\n" + got })
	}
	got := strings.Join(parts, fence)
	testkit.Rewrite(t, filepath.Join(example, "README.md"), []byte(got))
	if diff := cmp.Diff(steady(string(data)), steady(got)); diff != "" && os.Getenv("HOOKLAB_UPDATE") != "1" {
		t.Errorf("(-README +output):\n%s", diff)
	}
	if len(parts) < 30 {
		t.Errorf("found %d commands", len(parts)/2)
	}
}

// labREADME is the session. A command that watches runs beside the next one.
type labREADME struct {
	*session
	watching *background
	watched  func()
}

// block runs a command and gives its output to put, soon or after the next command.
func (x *labREADME) block(command, want string, put func(string)) {
	x.tb.Helper()
	lines := strings.Count(want, "\n")
	args, isOurs := strings.CutPrefix(command, "hooklab ")
	if isOurs && (strings.HasPrefix(args, "monitor ") || strings.HasPrefix(args, "capture ")) {
		b := x.start("Ctrl-C to quit\n", strings.Fields(args)...)
		x.watching, x.watched = b, func() {
			text := b.await(`\A(?:.*\n){` + strconv.Itoa(lines) + `}`)
			put(strings.Join(strings.SplitAfter(text, "\n")[:lines], ""))
		}
		return
	}
	put(x.shell(command, lines))
	if x.watched != nil {
		x.watched()
		x.watched = nil
		if strings.HasPrefix(x.watching.cmd.Args[1], "monitor") {
			x.watching.stop()
		}
	}
}

// shell runs a command line in the user's directory. One that reads a capture is
// repeated until the frames are there.
func (x *labREADME) shell(line string, lines int) string {
	x.tb.Helper()
	for end := time.Now().Add(patience); ; {
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir, cmd.Env = x.dir, x.command().Env
		out, err := cmd.Output()
		if strings.HasPrefix(line, "tshark ") && strings.Count(string(out), "\n") < lines && time.Now().Before(end) {
			continue // the capture is not so far, and ends in the middle of a frame
		}
		if err != nil {
			x.tb.Fatalf("%s: %v\n%s", line, err, out)
		}
		return string(out)
	}
}
