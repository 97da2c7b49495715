package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the most that one cluster file may hold, in bytes: some 800 pods as
// kubectl writes them, fifty thousand in a Lab document.
const MaxSize = 4 << 20

// maxNodes bounds the YAML nodes that are looked at, aliases expanded, in one load.
const maxNodes = 2 << 20

// Source is one file's content under the name that errors show.
type Source struct {
	Name string
	Data []byte
}

// ReadFile reads a cluster file. It fails with an ErrInput if the file cannot be
// read or is larger than MaxSize.
func ReadFile(path string) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return Source{}, inputErrorf("", "", "read cluster file: %v", err)
	}
	defer f.Close() //nolint:errcheck // Opened for reading only.
	return ReadSource(path, f)
}

// ReadSource reads a description from r, which errors call name. It reads MaxSize
// bytes at most.
func ReadSource(name string, r io.Reader) (Source, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return Source{}, inputErrorf("", "", "read cluster file: %v", err)
	}
	return Source{Name: name, Data: data}, nil
}

// check refuses what cannot be a text file before YAML sees it.
func (s Source) check() error {
	p := Problem{File: s.Name}
	switch nul := bytes.IndexByte(s.Data, 0); {
	case len(s.Data) > MaxSize:
		p.Text = fmt.Sprintf("larger than %d MiB, the most that a cluster file may have", MaxSize>>20)
	case nul >= 0:
		p.Text = fmt.Sprintf("not a text file: byte 0x00 at offset %d", nul)
	case !utf8.Valid(s.Data):
		at := 0
		for r, n := utf8.DecodeRune(s.Data); r != utf8.RuneError || n > 1; r, n = utf8.DecodeRune(s.Data[at:]) {
			at += n
		}
		p.Text = fmt.Sprintf("not a text file: byte 0x%02x at offset %d is not UTF-8", s.Data[at], at)
	default:
		return nil
	}
	return &InputError{Problems: []Problem{p}}
}

// document is one YAML document that is not empty.
type document struct {
	origin
	root *yaml.Node
}

// documents splits a source. Empty documents count but are left out.
func (s Source) documents() ([]document, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var docs []document
	dec := yaml.NewDecoder(bytes.NewReader(s.Data))
	for n := 1; ; n++ {
		var root yaml.Node
		err := dec.Decode(&root)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			line, text := yamlProblem(err)
			return nil, &InputError{Problems: []Problem{{File: s.Name, Line: line, Document: n, Text: "not YAML: " + text}}}
		}
		if len(root.Content) == 1 && root.Content[0].Tag != "!!null" {
			top := root.Content[0]
			docs = append(docs, document{origin: origin{file: s.Name, doc: n, line: top.Line}, root: top})
		}
	}
}

// yamlProblem takes a message of the YAML library apart: "yaml: line 3: text".
func yamlProblem(err error) (line int, text string) {
	text = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if num, msg, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(num); err == nil {
				return n, oneLine(msg)
			}
		}
	}
	return 0, oneLine(text)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
