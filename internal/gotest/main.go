// Command gotest prints the events of `go test -json`, which it reads from standard
// input: a line for each package, the whole output of what failed, and every skipped
// test with its reason. It exits with 1 if a test failed and, with -no-skips, if one
// was skipped.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	noSkips := flag.Bool("no-skips", false, "a skipped test is a failure")
	flag.Parse()
	r := newReport(os.Stdout)
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintf(os.Stderr, "gotest: read events: %v\n", err)
		os.Exit(1)
	}
	r.close()
	if *noSkips && len(r.skips) > 0 {
		fmt.Fprintln(os.Stderr, "gotest: nothing may be skipped here")
		os.Exit(1)
	}
	if r.failed > 0 {
		os.Exit(1)
	}
}

// event is what cmd/test2json writes.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build that printed something
	Test       string
	Output     string
}

// key names a test, or a package where test is empty.
type key struct{ pkg, test string }

// report collects events and prints what is worth reading.
type report struct {
	w       io.Writer
	output  map[key]*strings.Builder // of what has not ended yet
	builds  map[string]*strings.Builder
	skips   []string
	passed  int
	failed  int
	testing int // packages with tests
}

func newReport(w io.Writer) *report {
	return &report{w: w, output: make(map[key]*strings.Builder), builds: make(map[string]*strings.Builder)}
}

// read takes all events. A line that is none is printed as it is.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	const longest = 16 << 20
	lines.Buffer(nil, longest)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintf(r.w, "%s\n", lines.Bytes())
			continue
		}
		r.take(&e)
	}
	return lines.Err()
}

func (r *report) take(e *event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		add(r.builds, e.ImportPath, e.Output)
	case "build-fail":
		fmt.Fprint(r.w, text(r.builds, e.ImportPath))
		r.failed++
	case "output":
		add(r.output, k, e.Output)
	case "pass", "fail", "skip":
		out := text(r.output, k)
		if e.Test == "" {
			r.endPackage(e.Action, out)
		} else {
			r.endTest(e.Action, k, out)
		}
	}
}

// endTest counts a test and prints it if it failed.
func (r *report) endTest(action string, k key, out string) {
	switch action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		fmt.Fprint(r.w, out)
	case "skip":
		r.skips = append(r.skips, fmt.Sprintf("SKIP %s %s: %s", k.pkg, k.test, reason(out)))
	}
}

// endPackage prints the closing line of a package, or everything if it failed: a
// panic or a race is output of the package.
func (r *report) endPackage(action, out string) {
	switch action {
	case "fail":
		r.failed++
		fmt.Fprint(r.w, out)
		return
	case "pass":
		r.testing++
	}
	closing := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	fmt.Fprintln(r.w, closing[len(closing)-1])
}

// close prints what was skipped and the totals.
func (r *report) close() {
	for k := range r.output {
		if k.test != "" { // its process died
			fmt.Fprint(r.w, text(r.output, k))
		}
	}
	for _, s := range r.skips {
		fmt.Fprintln(r.w, s)
	}
	fmt.Fprintf(r.w, "%d tests passed, %d failures, %d skipped, in %d packages that passed\n",
		r.passed, r.failed, len(r.skips), r.testing)
}

// reason is what a skipped test said, on one line.
func reason(out string) string {
	var words []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			words = append(words, strings.Fields(line)...)
		}
	}
	return strings.Join(words, " ")
}

func add[K comparable](m map[K]*strings.Builder, k K, s string) {
	b := m[k]
	if b == nil {
		b = &strings.Builder{}
		m[k] = b
	}
	b.WriteString(s)
}

// text removes what was collected and returns it.
func text[K comparable](m map[K]*strings.Builder, k K) string {
	b := m[k]
	delete(m, k)
	if b == nil {
		return ""
	}
	return b.String()
}
