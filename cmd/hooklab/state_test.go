package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/maps"
)

// kernelStore is a map of the kernel, for the agent to write.
type kernelStore struct {
	m    *ebpf.Map
	spec maps.Spec
}

func (s kernelStore) Spec() maps.Spec { return s.spec }

func (s kernelStore) Lookup(key, value []byte) error {
	err := s.m.Lookup(key, &value)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return maps.ErrKeyNotExist
	}
	return err
}

func (s kernelStore) Update(key, value []byte, f maps.UpdateFlag) error {
	return s.m.Update(key, value, ebpf.MapUpdateFlags(f))
}

func (s kernelStore) Delete(key []byte) error { return s.m.Delete(key) }

func (s kernelStore) Range(c *maps.Cursor, _ int, fn func(key, value []byte) bool) error {
	var key, value []byte
	it := s.m.Iterate()
	for it.Next(&key, &value) {
		if !fn(key, value) {
			break
		}
	}
	c.SetResume(nil, true)
	return it.Err()
}

// kernelMaps makes the maps of a node in the kernel.
type kernelMaps struct {
	tb   testing.TB
	made map[string]kernelStore
}

func (k kernelMaps) Lookup(name string) (maps.Store, error) {
	if s, ok := k.made[name]; ok {
		return s, nil
	}
	spec, ok := maps.SpecOf(name)
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, maps.ErrNotSupported)
	}
	// Some sizes would take hundreds of megabytes of a shared machine.
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: strings.ReplaceAll(name, "cilium_", "")[:min(15, len(name)-7)], Type: ebpf.MapType(spec.Type), KeySize: spec.KeySize,
		ValueSize: spec.ValueSize, MaxEntries: min(spec.MaxEntries, 1024), Flags: spec.Flags,
	})
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	k.tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			k.tb.Error(err)
		}
	})
	k.made[name] = kernelStore{m, spec}
	return k.made[name], nil
}

// TestPrivilegedKernelState fills kernel maps by the agents, lets bpftool dump them, and
// gets from trace --state what it says of the cluster's description.
func TestPrivilegedKernelState(t *testing.T) {
	t.Parallel()
	if ok, err := privileged(); err != nil || !ok {
		t.Skipf("needs root for BPF maps: %v", err)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	const file = "../../examples/01-article/cluster.yaml"
	c, err := cluster.LoadFiles(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, n := range c.Nodes() {
		km := kernelMaps{t, map[string]kernelStore{}}
		agent, err := cluster.NewAgent(c, n.Name, km)
		if err != nil {
			t.Fatal(err)
		}
		if err := agent.Sync(); err != nil {
			t.Fatal(err)
		}
		for _, name := range maps.NewSet(maps.Sizes{}).Names() {
			if spec, _ := maps.SpecOf(name); spec.Type == maps.TypeProgArray || name == maps.NameTailCallBuffer {
				continue
			}
			if _, err := km.Lookup(name); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(dir, n.Name), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, s := range km.made {
			info, err := s.m.Info()
			if err != nil {
				t.Fatal(err)
			}
			id, ok := info.ID()
			if !ok {
				t.Fatalf("%s has no id", name)
			}
			out, err := exec.Command("bpftool", "-j", "map", "dump", "id", strconv.Itoa(int(id))).Output()
			if err != nil {
				t.Fatalf("bpftool map dump of %s: %v", name, err)
			}
			if err := os.WriteFile(filepath.Join(dir, n.Name, name+".json"), out, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, q := range []string{
		"--from pod1-1 --to pod1-2", "--from pod1-1 --to pod2-1 --udp 53", "--from node/cilium-worker --to pod2-1",
		"--from pod1-1 --to svc/web --tcp 80", "--from pod2-1 --to svc/kube-system/kube-dns --udp 53", "--from pod1-1 --to 8.8.8.8",
		"--from pod1-1 --to 10.0.1.250", "--from pod1-1 --to 10.0.1.197 --arp", "--from pod1-1 --to pod1-2 --ttl 1",
	} {
		want := traced(t, append([]string{"trace", "-f", file}, strings.Fields(q)...))
		got := traced(t, append([]string{"trace", "-f", file, "--state", dir}, strings.Fields(q)...))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-cluster +bpftool):\n%s", q, diff)
		}
	}
}

// traced is a trace's text without what it assumes and the state's hash.
func traced(tb testing.TB, args []string) string {
	tb.Helper()
	var out, errs bytes.Buffer
	if rc := run(context.Background(), args, stdio{in: strings.NewReader(""), out: &out, err: &errs}); rc != 0 {
		tb.Fatalf("%v: %d, %s", args, rc, errs.String())
	}
	var b strings.Builder
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "assumed:") && !strings.HasPrefix(line, "  state ") {
			b.WriteString(line)
		}
	}
	return b.String()
}
