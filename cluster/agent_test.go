package cluster_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/maps"
)

// dump is the content of all maps of a set, by map and key.
func dump(t *testing.T, set *maps.Set) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range set.Names() {
		store, err := set.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = ""
		for c := (maps.Cursor{}); !c.Done(); {
			if err := store.Range(&c, 0, func(key, value []byte) bool {
				all[name+" "+hex.EncodeToString(key)] = hex.EncodeToString(value)
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// watched is a set's maps for an agent; after every write it counts, and checks that
// the datapath would find a backend for every slot that a frontend counts.
type watched struct {
	t      *testing.T
	set    *maps.Set
	writes int
}

func (w *watched) Lookup(name string) (maps.Store, error) {
	var id uint16
	if _, err := fmt.Sscanf(name, "cilium_policy_%05d", &id); err == nil {
		w.set.AddPolicy(id) // as an engine does when it loads the endpoint
	}
	store, err := w.set.Lookup(name)
	return &watchedStore{Store: store, w: w}, err
}

type watchedStore struct {
	maps.Store
	w *watched
}

func (s *watchedStore) Update(key, value []byte, f maps.UpdateFlag) error {
	defer s.w.check()
	return s.Store.Update(key, value, f)
}

func (s *watchedStore) Delete(key []byte) error {
	defer s.w.check()
	return s.Store.Delete(key)
}

func (w *watched) check() {
	w.t.Helper()
	w.writes++
	for k, v := range w.set.Services.All() {
		if k.BackendSlot != 0 {
			continue
		}
		for slot := uint16(1); slot <= v.Count; slot++ {
			key := *k
			key.BackendSlot = slot
			s := w.set.Services.Ref(&key)
			if s == nil {
				w.t.Fatalf("service %v counts %d, and slot %d does not exist", k, v.Count, slot)
			}
			if w.set.Backends.Ref(&maps.LB4BackendKey{ID: s.BackendID}) == nil {
				w.t.Fatalf("service %v slot %d: backend %d does not exist", k, slot, s.BackendID)
			}
		}
	}
}

// changer makes random changes to a cluster.
type changer struct {
	t *testing.T
	r *rand.Rand
	c *cluster.Cluster
	n int
}

func (x *changer) step() {
	x.t.Helper()
	pods, services, nodes := x.c.Pods(), x.c.Services(), x.c.Nodes()
	x.n++
	var err error
	switch op := x.r.IntN(8); {
	case op < 2 || len(pods) == 0:
		_, err = x.c.AddPod(cluster.Pod{
			Name: fmt.Sprintf("pod-%d", x.n), Node: nodes[x.r.IntN(len(nodes))].Name,
			Labels: map[string]string{"app": fmt.Sprint(x.r.IntN(4))},
		})
	case op == 2:
		err = x.c.RemovePod(pods[x.r.IntN(len(pods))].Name)
	case op == 3:
		err = x.c.SetPhase(pods[x.r.IntN(len(pods))].Name, cluster.Phase(x.r.IntN(3)))
	case op == 4 || len(services) == 0:
		_, err = x.c.AddService(cluster.Service{
			Name: fmt.Sprintf("svc-%d", x.n), Selector: map[string]string{"app": fmt.Sprint(x.r.IntN(4))},
			Ports: []cluster.ServicePort{{Port: 80, TargetPort: "8080"}, {Port: 81}},
		})
	case op == 5:
		err = x.c.RemoveService(services[x.r.IntN(len(services))].Name)
	case op == 6:
		backends := []cluster.Backend{}
		for range x.r.IntN(4) {
			addr := netip.AddrFrom4([4]byte{8, 8, 8, byte(1 + x.r.IntN(4))})
			backends = append(backends, cluster.Backend{Addr: netip.AddrPortFrom(addr, 53), Terminating: x.r.IntN(3) == 0})
		}
		err = x.c.SetBackends(services[x.r.IntN(len(services))].Name, 81, backends)
	}
	if err != nil {
		x.t.Fatalf("change %d: %v", x.n, err)
	}
}

// TestAgentFollows makes random changes. Maps that were kept in step are those that
// a new agent makes, and at no moment does a slot lack its backend.
func TestAgentFollows(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			c := load(t, "apiVersion: hooklab.io/v1alpha1\nkind: Lab\nspec: {nodes: [{name: a}, {name: b}, {name: c}]}\n")
			x := &changer{t: t, r: rand.New(rand.NewPCG(seed, 0)), c: c}
			w := &watched{t: t, set: maps.NewSet(maps.Sizes{})}
			inSet := maps.NewSet(maps.Sizes{})
			viaStores, err := cluster.NewAgent(c, "a", w)
			if err != nil {
				t.Fatal(err)
			}
			direct, err := cluster.NewAgent(c, "b", inSet)
			if err != nil {
				t.Fatal(err)
			}
			for range 60 {
				for range 1 + x.r.IntN(3) {
					x.step()
				}
				if err := errors.Join(viaStores.Sync(), direct.Sync()); err != nil {
					t.Fatal(err)
				}
			}
			for _, e := range c.Endpoints("a") {
				w.set.AddPolicy(e.ID)
			}
			got := dump(t, w.set)
			for name := range got { // An engine would have removed these when it unloaded the programs.
				if id := uint16(0); strings.HasPrefix(name, "cilium_policy_") {
					if _, err := fmt.Sscanf(name, "cilium_policy_%05d", &id); err == nil && !has(c.Endpoints("a"), id) {
						delete(got, name)
					}
				}
			}
			if diff := cmp.Diff(dump(t, synced(t, c, "a")), got); diff != "" {
				t.Errorf("maps of a (-fresh +followed):\n%s", diff)
			}
			if diff := cmp.Diff(dump(t, synced(t, c, "b")), dump(t, inSet)); diff != "" {
				t.Errorf("maps of b (-fresh +followed):\n%s", diff)
			}
			if diff := cmp.Diff(content(c), content(again(t, c)), compareAddrs); diff != "" {
				t.Errorf("loading its own manifests made another cluster (-first +second):\n%s", diff)
			}
		})
	}
}

func has(list []cluster.NodeEndpoint, id uint16) bool {
	for _, e := range list {
		if e.ID == id {
			return true
		}
	}
	return false
}

// TestSyncWritesDifference counts an agent's writes.
func TestSyncWritesDifference(t *testing.T) {
	t.Parallel()
	c := loadFile(t, article)
	w := &watched{t: t, set: maps.NewSet(maps.Sizes{})}
	a, err := cluster.NewAgent(c, "cilium-worker", w)
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name    string
		change  func() error
		pending bool
		writes  int
	}{
		{"nothing", func() error { return nil }, false, 0},
		// lxc, ipcache and three policy entries.
		{"local pod", func() error { _, err := c.AddPod(cluster.Pod{Name: "x", Node: "cilium-worker"}); return err }, true, 5},
		{"local pod gone", func() error { return c.RemovePod("x") }, true, 2},
		// ipcache.
		{"remote pod", func() error { _, err := c.AddPod(cluster.Pod{Name: "y", Node: "cilium-worker2"}); return err }, true, 1},
		// Backend and frontend: the slot stays.
		{"backend terminating", func() error { return c.SetPhase("pod1-2", cluster.Terminating) }, true, 2},
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if err := s.change(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if got := a.Pending(); got != s.pending {
			t.Errorf("%s: Pending() = %t, want %t", s.name, got, s.pending)
		}
		w.writes = 0
		if err := a.Sync(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if w.writes != s.writes {
			t.Errorf("%s: %d writes, want %d", s.name, w.writes, s.writes)
		}
	}
}

// TestSyncKeepsCounters checks that policy counters survive a Sync, and that foreign
// entries do not.
func TestSyncKeepsCounters(t *testing.T) {
	t.Parallel()
	c := loadFile(t, article)
	set := maps.NewSet(maps.Sizes{})
	a, err := cluster.NewAgent(c, "cilium-worker", set)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	set.Policy(1272).Ref(&maps.PolicyKey{}).Packets = 7
	foreign := maps.NewEndpointKey([4]byte{10, 0, 1, 99})
	if err := set.LXC.Set(&foreign, &maps.EndpointInfo{}, maps.Any); err != nil {
		t.Fatal(err)
	}
	if err := c.RemovePod("pod2-1"); err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := set.Policy(1272).Ref(&maps.PolicyKey{}).Packets; got != 7 {
		t.Errorf("packets of the policy entry = %d, want 7", got)
	}
	if set.LXC.Ref(&foreign) != nil {
		t.Error("an endpoint that the cluster does not have stayed in cilium_lxc")
	}
}

// TestSyncErrors checks what Sync says when a map is full or missing, and that it
// goes on where it stopped.
func TestSyncErrors(t *testing.T) {
	t.Parallel()
	c := loadFile(t, article)
	small := maps.NewSet(maps.Sizes{LXC: 3})
	a, err := cluster.NewAgent(c, "cilium-worker", small)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); !errors.Is(err, maps.ErrFull) || !a.Pending() {
		t.Errorf("Sync = %v, pending %t; want ErrFull, pending", err, a.Pending())
	}
	set := maps.NewSet(maps.Sizes{})
	a, err = cluster.NewAgent(c, "cilium-worker", cluster.MapsFunc(set.Lookup))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); !errors.Is(err, maps.ErrNotSupported) {
		t.Errorf("Sync without policy maps = %v, want ErrNotSupported", err)
	}
	for _, e := range c.Endpoints("cilium-worker") {
		set.AddPolicy(e.ID)
	}
	if err := a.Sync(); err != nil {
		t.Errorf("Sync with policy maps = %v", err)
	}
	if diff := cmp.Diff(dump(t, synced(t, c, "cilium-worker")), dump(t, set)); diff != "" {
		t.Errorf("maps after the second try (-want +got):\n%s", diff)
	}
	if _, err := cluster.NewAgent(c, "nowhere", set); !errors.Is(err, cluster.ErrInput) {
		t.Errorf("NewAgent of an unknown node = %v, want ErrInput", err)
	}
}
