package lab

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
)

func TestShort(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 253)
	a, b := newSpace(KindPod, long, long+"1"), newSpace(KindPod, long, long+"2")
	if a.Pin == b.Pin || len(a.file()) > 255 || len(b.file()) > 255 {
		t.Errorf("pins %q and %q", a.Pin, b.Pin)
	}
	c, d := newSpace(KindPod, "a-b", "c"), newSpace(KindPod, "a", "b-c")
	if c.Pin == d.Pin {
		t.Errorf("a-b/c and a/b-c both have the pin %s", c.Pin)
	}
}

// TestForeign: what fails because a lab is another user's says so, whatever it is.
func TestForeign(t *testing.T) {
	t.Parallel()
	h := home("/run/hooklab/article")
	err := h.foreign(&fs.PathError{Op: "open", Path: h.path(stateFile), Err: fs.ErrPermission})
	if !errors.Is(err, netns.ErrPermission) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "lab article is another user's") {
		t.Errorf("permission: got %v", err)
	}
	if err := h.foreign(fs.ErrNotExist); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, netns.ErrPermission) {
		t.Errorf("other error: got %v", err)
	}
	if err := h.foreign(nil); err != nil {
		t.Errorf("no error: got %v", err)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	base := time.Now()
	sec := clock{base: base, ktime: 100e9 + 5e8, hz: 250, unit: dataplane.ClockKtime}
	jif := sec
	jif.unit = dataplane.ClockJiffies
	ns, jiffies := sec.now()
	if ns < sec.ktime || ns > sec.ktime+60e9 || jiffies != ns*250/1e9 {
		t.Errorf("now = %d, %d after %d", ns, jiffies, sec.ktime)
	}
	if got := sec.units(); got < 100 || got > 160 {
		t.Errorf("seconds: %d, want some 100", got)
	}
	if got := jif.units(); got < 100*250>>8 || got > 160*250>>8 {
		t.Errorf("jiffies: %d, want some %d", got, 100*250>>8)
	}
	for _, tt := range []struct {
		name     string
		c        *clock
		at       uint32
		min, max time.Duration
	}{
		{"past", &sec, 3, 0, 0},
		{"now", &sec, 100, 0, 0},
		{"soon", &sec, 160, time.Nanosecond, 60 * time.Second},
		{"far", &sec, 1 << 30, time.Hour, time.Hour},
		{"jiffies", &jif, jif.units() + 100, 40 * time.Second, 104 * time.Second},
		{"never", &jif, ^uint32(0), time.Hour, time.Hour},
	} {
		if got := tt.c.until(tt.at); got < tt.min || got > tt.max {
			t.Errorf("%s: until(%d) = %v, want %v to %v", tt.name, tt.at, got, tt.min, tt.max)
		}
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	reply := mapReply{
		Spec:     maps.Spec{Name: "m", KeySize: 1, ValueSize: 2},
		Entries:  []entry{{hexBytes{1}, hexBytes{1, 1}}, {hexBytes{2}, hexBytes{2, 2}}, {hexBytes{3}, hexBytes{3, 3}}},
		Programs: map[uint32]string{7: "2/7"},
	}
	s, err := newSnapshot(&reply)
	if err != nil {
		t.Fatal(err)
	}
	var _ maps.Store = s
	for _, limit := range []int{0, 1, 2, 3, 9} {
		var got []byte
		slices := 0
		for c := (maps.Cursor{}); !c.Done() && slices < 9; slices++ {
			if err := s.Range(&c, limit, func(key, value []byte) bool {
				got = append(append(got, key...), value...)
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]byte{1, 1, 1, 2, 2, 2, 3, 3, 3}, got); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, diff)
		}
	}
	value := make([]byte, 2)
	if err := s.Lookup([]byte{2}, value); err != nil || value[0] != 2 {
		t.Errorf("Lookup = %v, %v", value, err)
	}
	for name, err := range map[string]error{
		"no such key": s.Lookup([]byte{9}, value), "wrong size": s.Lookup(nil, value),
		"update": s.Update([]byte{1}, value, maps.Any), "delete": s.Delete([]byte{1}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := s.ProgName(7); got != "2/7" {
		t.Errorf("ProgName = %q", got)
	}
	reply.Entries[1].Value = nil
	if _, err := newSnapshot(&reply); err == nil {
		t.Error("an entry without value: no error")
	}
}

// TestLock lets two owners come and go.
func TestLock(t *testing.T) {
	t.Parallel()
	h := home(t.TempDir() + "/run/lab")
	if _, err := h.lock(false); err == nil {
		t.Error("locked a lab that does not exist")
	}
	f, err := h.lock(true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.lock(true); err == nil {
		t.Error("locked twice")
	}
	// The owner goes and takes the directory along; the next one makes it again.
	if err := h.remove(""); err != nil {
		t.Fatal(err)
	}
	g, err := h.lock(true)
	if err != nil {
		t.Fatal(err)
	}
	if h.sameLock(f) || !h.sameLock(g) {
		t.Error("the removed lock counts")
	}
	if err := unlock(f); err != nil {
		t.Error(err)
	}
	if err := unlock(g); err != nil {
		t.Error(err)
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	p, err := thisProcess()
	if err != nil {
		t.Fatal(err)
	}
	if !p.alive() {
		t.Errorf("%+v is not alive", p)
	}
	p.Start++
	if p.alive() {
		t.Errorf("%+v is alive, but it is another process", p)
	}
	if _, err := lookProcess(1 << 30); err == nil {
		t.Error("a process that cannot exist does")
	}
}
