package bpf

import (
	"embed"
	"path"
	"regexp"
	"strings"
	"sync"
)

// sources are what the objects are compiled from.
//
//go:embed *.c lib/*.h
var sources embed.FS

// span is where a function is defined: lines from the first of its name to its closing
// brace.
type span struct {
	first, last uint32
	name        string
}

var definition = regexp.MustCompile(`^(?:static|int|__section|SEC)\b.*?\b(\w+)\((?:struct|const|__\w+|void|enum|bool|int)\b`)

// functions are the functions of all files, by the file's path below this directory.
var functions = sync.OnceValue(func() map[string][]span {
	all := map[string][]span{}
	for _, dir := range []string{".", "lib"} {
		entries, err := sources.ReadDir(dir)
		if err != nil {
			continue // not possible: it is embedded
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if data, err := sources.ReadFile(name); err == nil && !e.IsDir() {
				all[name] = spans(string(data))
			}
		}
	}
	return all
})

func spans(text string) []span {
	var list []span
	open := span{}
	n := uint32(0)
	for line := range strings.Lines(text) {
		n++
		if m := definition.FindStringSubmatch(line); m != nil {
			open = span{first: n, name: m[1]}
		}
		if strings.HasPrefix(line, "}") && open.name != "" {
			open.last = n
			list, open = append(list, open), span{}
		}
	}
	return list
}

// Defines says that a C function of that name is part of the objects.
func Defines(name string) bool {
	for _, list := range functions() {
		for _, s := range list {
			if s.name == name {
				return true
			}
		}
	}
	return false
}

// Function is the C function at a line of the objects' source, "" if there is none. The
// file is a path that ends as it does below this directory, as line information has it.
func Function(file string, line uint32) string {
	name := path.Base(file)
	if dir := path.Base(path.Dir(file)); dir == "lib" {
		name = path.Join(dir, name)
	}
	for _, s := range functions()[name] {
		if s.first <= line && line <= s.last {
			return s.name
		}
	}
	return ""
}
