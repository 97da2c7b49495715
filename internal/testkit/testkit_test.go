package testkit_test

import (
	"os"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/internal/testkit"
)

// recorder is a testing.TB that remembers what it was told.
type recorder struct {
	testing.TB
	text string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, _ ...any) { r.text += format }

func (r *recorder) Fatalf(format string, _ ...any) { r.text += format }

// It changes the working directory and the environment, so it is not parallel.
func TestGolden(t *testing.T) {
	t.Chdir(t.TempDir())
	const name = "deep/file.txt"
	record := func(got string) string {
		r := &recorder{TB: t}
		testkit.Golden(r, name, []byte(got))
		return r.text
	}
	if got := record("one\n"); !strings.Contains(got, "golden file") {
		t.Errorf("without a file: %q", got)
	}
	t.Setenv("HOOKLAB_UPDATE", "1")
	if got := record("one\n"); got != "" {
		t.Errorf("update: %q", got)
	}
	if b, err := os.ReadFile("testdata/" + name); err != nil || string(b) != "one\n" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	t.Setenv("HOOKLAB_UPDATE", "")
	if got := record("one\n"); got != "" {
		t.Errorf("same contents: %q", got)
	}
	if got := record("two\n"); !strings.Contains(got, "differs") {
		t.Errorf("other contents: %q", got)
	}
}

func TestPrivilegedNetNS(t *testing.T) {
	t.Parallel()
	one, two := testkit.NetNS(t), testkit.NetNS(t)
	if one.ID() == two.ID() {
		t.Errorf("both are %s", one.ID())
	}
	if lo, err := one.Link("lo"); err != nil || !lo.Up {
		t.Errorf("loopback up %t, %v", lo.Up, err)
	}
}
