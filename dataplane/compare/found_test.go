package compare_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/dataplane/kernel"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/maps"
)

// TestFound plays the scenarios of differences that were found once (docs/CILIUM.md):
// the emulation and our twin in the virtual machine do what each says.
func TestFound(t *testing.T) {
	t.Parallel()
	b := twin(t)
	found(t, compare.Engine{Name: "bytecode", New: func() (dataplane.Runner, error) {
		return bytecode.New(maps.NewSet(maps.Sizes{}), b), nil
	}})
}

// TestPrivilegedFound is the same in the kernel.
func TestPrivilegedFound(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	b := twin(t)
	found(t, compare.Engine{Name: "kernel", New: func() (dataplane.Runner, error) { return kernel.New(b, kernel.Options{}) }})
}

func found(t *testing.T, right compare.Engine) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := compare.Parse(name, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := compare.Run(context.Background(), &compare.Options{Left: emulated(), Right: right, Workers: 1}, compare.FeedOf(name, s))
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		if !r.Same() || r.Packets == 0 {
			t.Errorf("%s\n%s", name, &text)
		}
	}
}
