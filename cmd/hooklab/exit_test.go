package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/netns"
)

func TestExitCode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		want int
		text string
	}{
		{"success", nil, 0, ""},
		{"anything", errors.New("it broke"), 1, "hooklab: it broke\n"},
		{"privilege", fmt.Errorf("make namespace: %w", netns.ErrPermission), 2, "hooklab: make namespace: missing privilege\n"},
		{"kernel", fmt.Errorf("tap: %w", netns.ErrNotSupported), 2, "hooklab: tap: not supported here\n"},
		{"engine", fmt.Errorf("run: %w", dataplane.ErrNotSupported), 2, "hooklab: run: not supported\n"},
		{"unknown", exitWith(exitUnknown, errors.New("no conntrack map")), 3, "hooklab: no conntrack map\n"},
		{"input", &cluster.InputError{Problems: []cluster.Problem{{Text: "one"}, {Text: "two"}}}, 4, "hooklab: one\nhooklab: two\n"},
		{"usage", usagef("no map %q", "x"), 4, "hooklab: no map \"x\"\n"},
		{"code of a program", exitWith(42, nil), 42, ""},
		{"code wins over kind", exitWith(3, netns.ErrPermission), 3, "hooklab: missing privilege\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := exitCode(tt.err); got != tt.want {
				t.Errorf("exitCode(%v) = %d, want %d", tt.err, got, tt.want)
			}
			var b bytes.Buffer
			report(&b, tt.err)
			if got := b.String(); got != tt.text {
				t.Errorf("report(%v) wrote %q, want %q", tt.err, got, tt.text)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"cilium_ct4_global", "cilium_ipcache", "cilium_lxc"}
	for _, tt := range []struct{ name, word, want string }{
		{"without prefix", "lxc", "cilium_lxc"},
		{"one letter less", "cilium_ipcach", "cilium_ipcache"},
		{"two letters swapped", "cilium_lcx", "cilium_lxc"},
		{"one letter more", "cilium_lxcs", "cilium_lxc"},
		{"something else", "tunnel", ""},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := nearest(tt.word, names); got != tt.want {
				t.Errorf("nearest(%q) = %q, want %q", tt.word, got, tt.want)
			}
		})
	}
}
