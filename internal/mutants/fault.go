package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/dataplane/trace"
)

// fault is one change of the package, turned on by its number.
type fault struct {
	id       int
	kind     string
	place    string   // file:line
	function string   // that it is in: its C name, or the Go name of one without
	owners   []string // the functions that traces tell and that it is part of, by C name
	key      string   // says which fault it is whatever the lines are, see equivalents
	text     string   // the code that it changes
	file     string
	pos, end int // bytes that the change covers
	before   string
	after    string // put around the code; with whole, before is put in its place
	whole    bool

	result, class, stage string
	oracle               string // what found it
	stages, between      []string
	size                 int
}

// reads says what the report's first difference reads like.
func (f *fault) verdict() string {
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(name string) bool { return name == f.function || slices.Contains(f.owners, name) })
	}
	switch {
	case f.stage == "":
		return ""
	case in(f.stages[:1]):
		return blamedExactly
	case in(f.between) || in(f.stages):
		return blamedAmong
	}
	return blamedWrong
}

// where is the function that the fault is in, with those that traces tell instead of it.
func (f *fault) where() string {
	if len(f.owners) == 0 || slices.Contains(f.owners, f.function) {
		return f.function
	}
	return f.function + ", in " + strings.Join(f.owners, ", ")
}

// How a difference is blamed.
const (
	blamedExactly = "exactly"
	blamedAmong   = "among"
	blamedWrong   = "wrong"
)

// pkg is the package as read.
type pkg struct {
	fset  *token.FileSet
	files map[string][]byte
	syn   []*ast.File
	info  *types.Info
	self  *types.Package
	sites int

	callers map[types.Object][]types.Object // of the package's functions
	cNames  map[types.Object]string
}

// load reads and checks a package without its tests.
func load(dir string) (*pkg, error) {
	p := &pkg{fset: token.NewFileSet(), files: map[string][]byte{}, info: &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
		Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{},
	}}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if p.files[name], err = os.ReadFile(name); err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(p.fset, name, p.files[name], parser.ParseComments)
		if err != nil {
			return nil, err
		}
		p.syn = append(p.syn, f)
	}
	conf := types.Config{Importer: importer.ForCompiler(p.fset, "source", nil)}
	p.self, err = conf.Check(target, p.fset, p.syn, p.info)
	p.calls()
	return p, err
}

// calls finds out which function calls which, and their C names.
func (p *pkg) calls() {
	p.callers, p.cNames = map[types.Object][]types.Object{}, map[types.Object]string{}
	for _, f := range p.syn {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			self := p.info.Defs[fn.Name]
			if m := cName.FindStringSubmatch(fn.Doc.Text()); m != nil {
				p.cNames[self] = m[1]
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					if callee, ok := p.info.Uses[id].(*types.Func); ok && callee.Pkg() == p.self && callee != self {
						p.callers[callee.Origin()] = append(p.callers[callee.Origin()], self)
					}
				}
				return true
			})
		}
	}
}

// ownersOf are the functions that traces tell and that a function is part of: itself, or,
// if traces leave it out, those that call it.
func (p *pkg) ownersOf(fn types.Object) []string {
	traced := func(o types.Object) bool {
		return slices.ContainsFunc(trace.Funcs(), func(t trace.Func) bool { return t.Name() == p.cNames[o] })
	}
	var owners []string
	seen := map[types.Object]bool{fn: true}
	for queue := []types.Object{fn}; len(queue) > 0; queue = queue[1:] {
		if traced(queue[0]) {
			if name := p.cNames[queue[0]]; !slices.Contains(owners, name) {
				owners = append(owners, name)
			}
			continue
		}
		for _, c := range p.callers[queue[0]] {
			if !seen[c] {
				seen[c] = true
				queue = append(queue, c)
			}
		}
	}
	slices.Sort(owners)
	return owners
}

// spared are files with functions that load programs: they run before any packet.
func spared() []string { return []string{"engine.go", "object.go", "trace.go", "steps.go", "doc.go"} }

// all are the faults that there are, in the order of the source.
func (p *pkg) all() []fault {
	var all []fault
	for _, f := range p.syn {
		name := p.fset.Position(f.Pos()).Filename
		if slices.Contains(spared(), filepath.Base(name)) {
			continue
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil && fn.Name.Name != "load" {
				all = append(all, p.faults(name, fn)...)
			}
		}
	}
	seen := map[string]int{}
	for i := range all {
		key := all[i].key
		if seen[key]++; seen[key] > 1 {
			all[i].key = fmt.Sprintf("%s (%d)", key, seen[key])
		}
	}
	return all
}

// choose takes faults by chance from all that there are, so that none is inside the code
// that another one replaces.
func (p *pkg) choose(n int, r *rand.Rand) []fault {
	all := p.all()
	p.sites = len(all)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var chosen []fault
	for _, f := range all {
		if len(chosen) == n {
			break
		}
		if !slices.ContainsFunc(chosen, func(c fault) bool { return clash(&c, &f) }) {
			f.id = len(chosen) + 1
			f.before = strings.ReplaceAll(f.before, "#", fmt.Sprint(f.id))
			f.after = strings.ReplaceAll(f.after, "#", fmt.Sprint(f.id))
			chosen = append(chosen, f)
		}
	}
	return chosen
}

// clash says that two faults cannot be in one text: their code overlaps, and it is not
// that one is put around what the other is in.
func clash(a, b *fault) bool {
	if a.file != b.file || a.end <= b.pos || b.end <= a.pos {
		return false
	}
	inA := a.pos <= b.pos && b.end <= a.end && !a.whole && (a.pos < b.pos || a.end > b.end)
	inB := b.pos <= a.pos && a.end <= b.end && !b.whole && (b.pos < a.pos || b.end > a.end)
	return !inA && !inB
}

var cName = regexp.MustCompile(`(?m)^C: (\w+) \(`)

// faults are all that can be made in a function.
func (p *pkg) faults(file string, fn *ast.FuncDecl) []fault {
	self := p.info.Defs[fn.Name]
	function := p.cNames[self]
	if function == "" {
		function = fn.Name.Name
	}
	owners := p.ownersOf(self)
	var list []fault
	add := func(kind string, n ast.Node, before, after string, whole bool) {
		at := p.fset.Position(n.Pos())
		pos, end := at.Offset, p.fset.Position(n.End()).Offset
		text := strings.Join(strings.Fields(string(p.files[file][pos:end])), " ")
		list = append(list, fault{
			kind: kind, place: fmt.Sprintf("%s:%d", filepath.Base(file), at.Line), function: function, owners: owners, text: strings.ReplaceAll(text, "|", `\|`),
			key:  fmt.Sprintf("%s %s: %s: %s", filepath.Base(file), fn.Name.Name, kind, text),
			file: file, pos: pos, end: end, before: before, after: after, whole: whole,
		})
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			if traces(n.Cond) {
				return false // for the trace only
			}
			add("negated condition", n.Cond, "(", ") != mutantIs(#)", false)
		case *ast.BlockStmt:
			drop(n.List, add)
		case *ast.CaseClause:
			drop(n.Body, add)
		case ast.Expr:
			p.expression(n, add)
			return p.info.Types[n].Value == nil
		}
		return true
	})
	return list
}

// drop adds the loss of each statement of a list that the rest can be compiled without.
func drop(list []ast.Stmt, add func(kind string, n ast.Node, before, after string, whole bool)) {
	for _, n := range list {
		switch n := n.(type) {
		case *ast.ExprStmt, *ast.IncDecStmt:
			add("dropped statement", n, "if !mutantIs(#) { ", " }", false)
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				add("dropped statement", n, "if !mutantIs(#) { ", " }", false)
			}
		}
	}
}

// traces says that a condition asks first for the packet's trace.
func traces(cond ast.Expr) bool {
	b, ok := cond.(*ast.BinaryExpr)
	if !ok {
		return false
	}
	if b.Op == token.LAND {
		return traces(b.X)
	}
	s, ok := b.X.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Trace"
}

// expression adds the faults of an expression that is read.
func (p *pkg) expression(e ast.Expr, add func(kind string, n ast.Node, before, after string, whole bool)) {
	tv := p.info.Types[e]
	switch e := e.(type) {
	case *ast.CallExpr:
		p.swap(e.Args, add)
		if s, ok := e.Fun.(*ast.SelectorExpr); ok {
			if o, ok := s.X.(*ast.SelectorExpr); ok && o.Sel.Name == "BigEndian" {
				add("byte order", o, "mutantOrder(#)", "", true)
			} else if ok && o.Sel.Name == "LittleEndian" {
				add("byte order", o, "mutantOrder(-#)", "", true)
			}
		}
	case *ast.KeyValueExpr:
		if t, ok := p.info.Types[e.Value]; ok && t.Type != nil && t.Type.String() == "[2]byte" && t.Value == nil {
			add("byte order", e.Value, "mutantSwap(#, ", ")", false)
		}
	case *ast.CompositeLit:
		var values []ast.Expr
		for _, x := range e.Elts {
			if kv, ok := x.(*ast.KeyValueExpr); ok {
				values = append(values, kv.Value)
			}
		}
		p.swap(values, add)
	}
	if tv.Value == nil || tv.Value.Kind() != constant.Int || tv.Type == nil {
		return
	}
	v, ok := constant.Int64Val(tv.Value)
	b, basic := tv.Type.Underlying().(*types.Basic)
	if !ok || !basic || b.Info()&types.IsInteger == 0 || b.Info()&types.IsUntyped != 0 {
		return
	}
	other := v + 1
	if v > 0 && v%2 == 1 || v == 255 || v == 65535 {
		other = v - 1
	}
	name := types.TypeString(tv.Type, func(q *types.Package) string {
		if q == p.self {
			return ""
		}
		return q.Name()
	})
	add(fmt.Sprintf("constant %d for %d", other, v), e, fmt.Sprintf("mutantOr[%s](#, %d, %d)", name, v, other), "", true)
}

// swap exchanges two values of the same type beside each other.
func (p *pkg) swap(list []ast.Expr, add func(kind string, n ast.Node, before, after string, whole bool)) {
	for i := 1; i < len(list); i++ {
		a, b := p.info.Types[list[i-1]], p.info.Types[list[i]]
		if a.Type == nil || b.Type == nil || !types.Identical(a.Type, b.Type) || a.Value != nil || b.Value != nil {
			continue
		}
		x, y := list[i-1], list[i]
		if !plain(x) || !plain(y) {
			continue
		}
		add("swapped fields", x, "mutantOr(#, "+p.text(x)+", "+p.text(y)+")", "", true)
	}
}

// plain says that an expression has no calls, so that it may be read twice.
func plain(e ast.Expr) bool {
	ok := true
	ast.Inspect(e, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.CallExpr, *ast.FuncLit, *ast.CompositeLit:
			ok = false
		}
		return ok
	})
	return ok
}

func (p *pkg) text(e ast.Expr) string {
	pos, end := p.fset.Position(e.Pos()), p.fset.Position(e.End())
	return string(p.files[pos.Filename][pos.Offset:end.Offset])
}

// rewrite is the package's files with the faults in them, and one more that tells which
// is on.
func (p *pkg) rewrite(faults []fault) map[string][]byte {
	out := map[string][]byte{}
	for name, src := range p.files {
		var inside []*fault
		for i := range faults {
			if faults[i].file == name {
				inside = append(inside, &faults[i])
			}
		}
		b := insert(src, inside)
		if bytes.Contains(src, []byte(`"encoding/binary"`)) {
			b.WriteString("\nvar _ binary.ByteOrder // a fault may have taken the only use\n")
		}
		out[name] = b.Bytes()
	}
	out[filepath.Join(target, "mutant.go")] = []byte(switches)
	return out
}

// insert puts faults around or in the place of their code.
func insert(src []byte, faults []*fault) *bytes.Buffer {
	b := &bytes.Buffer{}
	for i := 0; i <= len(src); {
		b.WriteString(after(faults, i))
		text, skip := before(faults, i)
		b.WriteString(text)
		switch {
		case skip > 0:
			i += skip
			continue
		case i < len(src):
			b.WriteByte(src[i])
		}
		i++
	}
	return b
}

// after is what is put behind the code that ends at a byte, the innermost first.
func after(faults []*fault, at int) string {
	var ends []*fault
	for _, f := range faults {
		if f.end == at && !f.whole {
			ends = append(ends, f)
		}
	}
	slices.SortFunc(ends, func(a, b *fault) int { return b.pos - a.pos })
	var text strings.Builder
	for _, f := range ends {
		text.WriteString(f.after)
	}
	return text.String()
}

// before is what is put in front of the code that begins at a byte, the outermost first,
// and how many bytes it takes the place of.
func before(faults []*fault, at int) (text string, skip int) {
	var begins []*fault
	for _, f := range faults {
		if f.pos == at {
			begins = append(begins, f)
		}
	}
	slices.SortFunc(begins, func(a, b *fault) int { return b.end - a.end })
	for _, f := range begins {
		text += f.before
		if f.whole {
			skip = f.end - f.pos
		}
	}
	return text, skip
}

// switches turn faults on; the process is told by its environment which one.
const switches = `package emu

import (
	"encoding/binary"
	"os"
	"strconv"
)

var mutantOn = func() int { n, _ := strconv.Atoi(os.Getenv("HOOKLAB_MUTANT")); return n }()

func mutantIs(n int) bool { return mutantOn == n }

func mutantOr[T any](n int, v, w T) T {
	if mutantOn == n {
		return w
	}
	return v
}

func mutantSwap(n int, v [2]byte) [2]byte {
	if mutantOn == n {
		return [2]byte{v[1], v[0]}
	}
	return v
}

func mutantOrder(n int) binary.ByteOrder {
	if n > 0 != (mutantOn == max(n, -n)) {
		return binary.BigEndian
	}
	return binary.LittleEndian
}
`
