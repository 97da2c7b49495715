package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadFiles gives every broken description to the command line: exit code 4, the
// problems on standard error behind the program's and the file's name, a screen of
// them at most, and nothing on standard output.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "cluster", "testdata", "bad")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("%d broken files in %s, want 20 at least", len(files), dir)
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(dir, f.Name())
			var out, errOut bytes.Buffer
			if got := run(t.Context(), []string{"validate", "-f", path}, stdio{strings.NewReader(""), &out, &errOut}); got != exitUsage {
				t.Errorf("exit code %d, want %d", got, exitUsage)
			}
			if out.Len() > 0 {
				t.Errorf("standard output: %q", out.String())
			}
			lines := strings.Split(strings.TrimSuffix(errOut.String(), "\n"), "\n")
			if len(lines) > 6 {
				t.Errorf("%d lines on standard error, want 6 at most:\n%s", len(lines), errOut.String())
			}
			for _, line := range lines {
				if !strings.HasPrefix(line, "hooklab: "+path+":") && !strings.HasPrefix(line, "hooklab: and ") {
					t.Errorf("line on standard error without the file: %q", line)
				}
			}
		})
	}
}
