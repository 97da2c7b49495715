package emu_test

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane/trace"
)

const (
	top      = "../.."
	document = top + "/docs/CILIUM.md"
)

// mirrored is a function of this package that stands for one of C.
type mirrored struct {
	goName, receiver, goFile string
	cName, cFile             string
	entered                  string // the trace.Func that it tells, or ""
	firstWord                string // of its comment
}

// goNameOf is the rule for names: underscores go, words are capitalized but for
// the first, initialisms are Go's, a leading "__" becomes "Inner" at the end.
func goNameOf(c string) string {
	initialisms := map[string]string{
		"ipv4": "IPv4", "ip4": "IP4", "ipcache": "IPCache", "arp": "ARP", "ct": "CT", "lb4": "LB4", "nat": "NAT", "l3": "L3", "l4": "L4",
		"ep": "EP", "id": "ID", "nodeid": "NodeID", "srcid": "SrcID", "lxc": "LXC", "l4ports": "L4Ports",
	}
	inner := strings.HasPrefix(c, "__")
	var b strings.Builder
	for i, word := range strings.Split(strings.TrimPrefix(c, "__"), "_") {
		switch upper, ok := initialisms[word]; {
		case i == 0:
			b.WriteString(word)
		case ok:
			b.WriteString(upper)
		default:
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	if inner {
		b.WriteString("Inner")
	}
	return b.String()
}

func TestGoNameOf(t *testing.T) {
	t.Parallel()
	for c, want := range map[string]string{
		"handle_xgress": "handleXgress", "tail_handle_ipv4": "tailHandleIPv4", "__tail_handle_ipv4": "tailHandleIPv4Inner",
		"ipv4_l3": "ipv4L3", "lb4_rev_nat": "lb4RevNAT", "resolve_srcid_ipv4": "resolveSrcIDIPv4", "redirect_ep": "redirectEP",
		"arp_respond": "arpRespond", "lookup_ip4_endpoint": "lookupIP4Endpoint",
	} {
		equal(t, c, goNameOf(c), want)
	}
}

// readMirrored reads all functions of this package: those with a "C:" line, and
// those that enter the trace.
func readMirrored(t *testing.T) []mirrored {
	t.Helper()
	names, err := filepath.Glob("*.go")
	must(t, err)
	cLine := regexp.MustCompile(`(?m)^C: (\w+) \(([\w./]+)\)\.$`)
	var all []mirrored
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		must(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			m := mirrored{goName: f.Name.Name, goFile: name, receiver: receiver(f), entered: entered(f)}
			m.firstWord, _, _ = strings.Cut(f.Doc.Text(), " ")
			if c := cLine.FindAllStringSubmatch(f.Doc.Text(), -1); len(c) == 1 {
				m.cName, m.cFile = c[0][1], c[0][2]
			} else if len(c) > 1 || strings.Contains(f.Doc.Text(), "C: ") {
				t.Errorf("%s: %s has a comment with \"C:\" that is not one line \"C: name (file).\"", name, m.goName)
			}
			all = append(all, m)
		}
	}
	return all
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	if star, ok := f.Recv.List[0].Type.(*ast.StarExpr); ok {
		return fmt.Sprintf("(*%s).", star.X)
	}
	return fmt.Sprintf("%s.", f.Recv.List[0].Type)
}

// entered is the name in p.Trace.Enter(trace.Name).
func entered(f *ast.FuncDecl) (name string) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Enter" {
			if arg, ok := call.Args[0].(*ast.SelectorExpr); ok {
				name = arg.Sel.Name
			}
		}
		return true
	})
	return name
}

// traceFuncs are the constants of type trace.Func by name.
func traceFuncs(t *testing.T) map[string]trace.Func {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../trace/func.go", nil, 0)
	must(t, err)
	funcs := map[string]trace.Func{}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for i, s := range g.Specs {
			if v, ok := s.(*ast.ValueSpec); ok && i < len(trace.Funcs()) {
				funcs[v.Names[0].Name] = trace.Func(i)
			}
		}
	}
	return funcs
}

// TestNames: a function with a "C:" line has the name that the rule makes of the
// C name, and its comment begins with it.
func TestNames(t *testing.T) {
	t.Parallel()
	n := 0
	for _, m := range readMirrored(t) {
		if m.cName == "" {
			continue
		}
		n++
		if want := goNameOf(m.cName); m.goName != want {
			t.Errorf("%s: %s stands for %s: the name should be %s", m.goFile, m.goName, m.cName, want)
		}
		if m.firstWord != m.goName {
			t.Errorf("%s: the comment of %s begins with %q", m.goFile, m.goName, m.firstWord)
		}
	}
	if n < 80 {
		t.Errorf("%d functions with a C name, want at least 80", n)
	}
}

// TestTraceNames: what a call stack calls a function is what its comment says,
// and every function that a trace can tell is there once.
func TestTraceNames(t *testing.T) {
	t.Parallel()
	funcs := traceFuncs(t)
	equal(t, "trace functions", len(funcs), len(trace.Funcs()))
	told := map[string]string{}
	for _, m := range readMirrored(t) {
		if m.entered == "" {
			continue
		}
		f, ok := funcs[m.entered]
		switch {
		case !ok:
			t.Errorf("%s enters trace.%s, which there is not", m.goName, m.entered)
		case m.cName != f.Name() || m.cFile != f.File():
			t.Errorf("%s stands for %s (%s), its trace tells %s (%s)", m.goName, m.cName, m.cFile, f.Name(), f.File())
		case told[m.entered] != "":
			t.Errorf("%s and %s both enter trace.%s", told[m.entered], m.goName, m.entered)
		}
		told[m.entered] = m.goName
	}
	for name := range funcs {
		if told[name] == "" {
			t.Errorf("no function enters trace.%s", name)
		}
	}
}

// TestFunctionIndex compares the table of functions in docs/CILIUM.md with the
// code; HOOKLAB_UPDATE=1 writes it.
func TestFunctionIndex(t *testing.T) {
	var rows []mirrored
	for _, m := range readMirrored(t) {
		if m.cName != "" {
			rows = append(rows, m)
		}
	}
	slices.SortFunc(rows, func(a, b mirrored) int {
		return cmp.Or(cmp.Compare(strings.TrimPrefix(a.cFile, "bpf"), strings.TrimPrefix(b.cFile, "bpf")),
			cmp.Compare(strings.TrimLeft(a.cName, "_"), strings.TrimLeft(b.cName, "_")), cmp.Compare(a.cName, b.cName))
	})
	twin := twinFunctions(t)
	var b bytes.Buffer
	fmt.Fprintln(&b, "| C function | in Cilium, below `bpf/` | in the twin, below `bpf/` | Go function | in `dataplane/emu/` | in call stacks |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|")
	for _, m := range rows {
		told := ""
		if m.entered != "" {
			told = "yes"
		}
		at := ""
		if file := twin[m.cName]; file != "" {
			at = "`" + file + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | `%s%s` | `%s` | %s |\n", m.cName, m.cFile, at, m.receiver, m.goName, m.goFile, told)
	}
	section(t, "functions", b.String())
}

// twinFunctions are the files below bpf/ by the functions that they define.
func twinFunctions(t *testing.T) map[string]string {
	t.Helper()
	definition := regexp.MustCompile(`(?m)^[a-z_][\w \t*]*[ \t\n*](\w+)\([^;{}]*\)\s*\{`)
	all := map[string]string{}
	for _, pattern := range []string{"bpf_*.c", "lib/*.h"} {
		files, err := filepath.Glob(filepath.Join(top, "bpf", pattern))
		must(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			must(t, err)
			rel, err := filepath.Rel(filepath.Join(top, "bpf"), file)
			must(t, err)
			for _, m := range definition.FindAllStringSubmatch(string(text), -1) {
				if all[m[1]] != "" && all[m[1]] != rel {
					rel = all[m[1]] + "`, `" + rel // a program of several objects
				}
				all[m[1]] = rel
			}
		}
	}
	return all
}

// TestDifferencesAreListed compares the known differences in docs/CILIUM.md with
// the comments "Differs:" of all packages; HOOKLAB_UPDATE=1 writes them.
func TestDifferencesAreListed(t *testing.T) {
	var b bytes.Buffer
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != top && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		for _, g := range file.Comments {
			for _, text := range differences(g.Text()) {
				fmt.Fprintf(&b, "- `%s`: %s\n", filepath.ToSlash(rel), text)
			}
		}
		return err
	})
	must(t, err)
	section(t, "differences", b.String())
}

// differences are the paragraphs of a comment that begin with "Differs:".
func differences(comment string) []string {
	var all []string
	for paragraph := range strings.SplitSeq(comment, "\n\n") {
		if text, ok := strings.CutPrefix(strings.Join(strings.Fields(paragraph), " "), "Differs: "); ok {
			all = append(all, text)
		}
	}
	return all
}

// section compares the part of the document between two markers with want, or
// writes it.
func section(t *testing.T, name, want string) {
	t.Helper()
	raw, err := os.ReadFile(document)
	must(t, err)
	text := string(raw)
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
	before, rest, ok := strings.Cut(text, begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no lines %q and %q", document, begin, end)
	}
	if got == want {
		return
	}
	if os.Getenv("HOOKLAB_UPDATE") == "1" {
		must(t, os.WriteFile(document, []byte(before+begin+want+end+after), 0o644))
		return
	}
	equal(t, "docs/CILIUM.md, "+name+" (rewrite with HOOKLAB_UPDATE=1)", got, want)
}
