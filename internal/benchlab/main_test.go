package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEndKeeps: a lab that does not go keeps the directory, which has its mounts, and the
// user hears what to run.
func TestEndKeeps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		down string // stands for hooklab
		kept bool
	}{{"exit 1", true}, {`rm -r "$HOOKLAB_RUN_DIR"/start`, false}} {
		b := &bench{options: &options{}, dir: filepath.Join(t.TempDir(), "benchlab")}
		lab := filepath.Join(string(b.runDir()), "start")
		b.options.hooklab = filepath.Join(b.dir, "hooklab")
		for _, err := range []error{
			os.MkdirAll(lab, 0o700), os.WriteFile(filepath.Join(lab, "state.json"), nil, 0o600),
			os.WriteFile(b.options.hooklab, []byte("#!/bin/sh\n"+tt.down+"\n"), 0o700),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		err := b.end()
		_, statErr := os.Stat(filepath.Join(lab, "state.json"))
		if kept := statErr == nil; kept != tt.kept {
			t.Errorf("%q: kept %v, want %v", tt.down, kept, tt.kept)
		}
		want := "HOOKLAB_RUN_DIR=" + string(b.runDir()) + " " + b.options.hooklab + " down --all"
		if tt.kept && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q in it", tt.down, err, want)
		}
		if _, statErr := os.Stat(b.dir); !tt.kept && (err != nil || statErr == nil) {
			t.Errorf("%q: error %v, the directory is there: %v", tt.down, err, statErr == nil)
		}
	}
}
