package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hooklab/hooklab/dataplane/compare"
)

// goPackage is the package whose coverage is told.
const goPackage = "dataplane/emu"

// block is a stretch of Go code, as the compiler counts it.
type block struct {
	file        string // below goPackage
	line        int
	text        string // its first line
	function    string
	statements  int
	reached     bool
	start, stop int // lines of the braces
}

// blocks reads the coverage of all chunks.
func (p *proof) blocks() ([]block, error) {
	dirs, err := filepath.Glob(filepath.Join(p.work, "*.cover"))
	if err != nil {
		return nil, err
	}
	dirs = slices.DeleteFunc(dirs, func(d string) bool {
		_, err := os.Stat(strings.TrimSuffix(d, ".cover") + ".json") // else its chunk is not whole
		return err != nil
	})
	name := filepath.Join(p.work, "profile")
	if _, err := output("go", "tool", "covdata", "textfmt", "-i", strings.Join(dirs, ","), "-o", name); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var list []block
	sources := map[string]*source{}
	for line := range strings.Lines(string(data)) {
		_, rest, ok := strings.Cut(line, "/"+goPackage+"/")
		if !ok {
			continue
		}
		b, err := parseBlock(rest)
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", name, line, err)
		}
		if sources[b.file] == nil {
			if sources[b.file], err = readSource(filepath.Join(goPackage, b.file)); err != nil {
				return nil, err
			}
		}
		sources[b.file].name(&b)
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b block) int { return strings.Compare(a.key(), b.key()) })
	return list, nil
}

func (b *block) key() string { return fmt.Sprintf("%s:%06d", b.file, b.line) }

// parseBlock reads FILE:LINE.COLUMN,LINE.COLUMN STATEMENTS COUNT.
func parseBlock(s string) (block, error) {
	var b block
	var col, endCol, hits int
	file, rest, _ := strings.Cut(s, ":")
	b.file = file
	if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &b.start, &col, &b.stop, &endCol, &b.statements, &hits); err != nil {
		return b, err
	}
	b.reached = hits > 0
	return b, nil
}

// source is a Go file.
type source struct {
	lines []string
	set   *token.FileSet
	file  *ast.File
}

func readSource(name string) (*source, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s := &source{lines: strings.Split(string(data), "\n"), set: token.NewFileSet()}
	s.file, err = parser.ParseFile(s.set, name, data, parser.SkipObjectResolution)
	return s, err
}

// name gives a block its function and the first line of its code, which is behind the brace
// that it begins with.
func (s *source) name(b *block) {
	b.line = b.start
	if text := strings.TrimSpace(s.lines[b.start-1]); b.start < b.stop && strings.HasSuffix(text, "{") || strings.HasSuffix(text, ":") {
		b.line++
	}
	b.text = strings.TrimSpace(s.lines[b.line-1])
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && s.set.Position(f.Pos()).Line <= b.start && b.start <= s.set.Position(f.End()).Line {
			b.function = f.Name.Name
		}
	}
}

// goCode tells the coverage of the emulation.
func (p *proof) goCode(b *bytes.Buffer) error {
	list, err := p.blocks()
	if err != nil {
		return err
	}
	hit, statements, done := 0, 0, 0
	for i := range list {
		statements += list[i].statements
		if list[i].reached {
			hit++
			done += list[i].statements
		}
	}
	fmt.Fprintf(b, "\n## Code of %s\n\n%d of %d blocks (%.1f %%) and %d of %d statements (%.1f %%), as the Go compiler counts them, were reached. Not reached:\n\n",
		goPackage, hit, len(list), percent(hit, len(list)), done, statements, percent(done, statements))
	b.WriteString("| block | function | code | why |\n|---|---|---|---|\n")
	for i := range list {
		if x := &list[i]; !x.reached {
			fmt.Fprintf(b, "| %s:%d | `%s` | `%s` | %s |\n", x.file, x.line, x.function, cell(x.text), why(goReasons(), x.function, x.text))
		}
	}
	return nil
}

// cCode tells the coverage of the twin.
func (p *proof) cCode(b *bytes.Buffer) error {
	reached := map[compare.LineCoverage]bool{}
	for _, e := range engines() {
		for _, c := range p.chunks[e] {
			for _, l := range c.Report.Lines {
				was := l.Reached
				l.Reached = false
				reached[l] = reached[l] || was
			}
		}
	}
	hit := 0
	var missed []compare.LineCoverage
	for l, is := range reached {
		if is {
			hit++
		} else {
			missed = append(missed, l)
		}
	}
	slices.SortFunc(missed, func(x, y compare.LineCoverage) int {
		return strings.Compare(fmt.Sprintf("%s:%06d", x.File, x.Line), fmt.Sprintf("%s:%06d", y.File, y.Line))
	})
	fmt.Fprintf(b, "\n## Code of the twin\n\n%d of %d lines of C that have instructions (%.1f %%) were reached in the virtual machine. Not reached:\n\n", hit, len(reached), percent(hit, len(reached)))
	b.WriteString("| line | function | code | why |\n|---|---|---|---|\n")
	for _, l := range missed {
		name, err := cFunction(filepath.Join("bpf", l.File), int(l.Line))
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "| %s:%d | `%s` | `%s` | %s |\n", l.File, l.Line, name, cell(l.Text), why(cReasons(), name, l.Text))
	}
	return nil
}

// cFunction is the function that a line of C is in: the last one whose name begins before
// it, in the first column.
func cFunction(file string, line int) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	head := regexp.MustCompile(`^[a-z].*?(\w+)\(`)
	name := strconv.Itoa(line)
	for i, text := range strings.Split(string(data), "\n") {
		if i >= line {
			break
		}
		if m := head.FindStringSubmatch(text); m != nil && !strings.HasSuffix(text, ";") {
			name = m[1]
		}
	}
	return name, nil
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

// cell is code that a table's cell can hold.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
