package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/hooklab/hooklab/maps"
)

// delta is the difference between a map and what it is to hold.
type delta struct {
	name string
	want layers
	part func(key string) bool               // which keys are meant; nil: all
	same func(have []byte, want string) bool // nil: byte for byte

	store maps.Store
	puts  []string          // keys to write, sorted
	gone  []string          // keys to remove, sorted
	had   map[string]string // values that puts replace
}

// find reads the map and computes the difference.
func (x *delta) find(m Maps) error {
	var err error
	if x.store, err = m.Lookup(x.name); err != nil {
		return fmt.Errorf("find map %s: %w", x.name, err)
	}
	x.had = make(map[string]string)
	kept := make(map[string]bool)
	for c := (maps.Cursor{}); !c.Done(); {
		if err := x.store.Range(&c, 0, func(key, value []byte) bool {
			k := string(key)
			if x.part != nil && !x.part(k) {
				return true
			}
			switch want, ok := x.want.get(k); {
			case !ok:
				x.gone = append(x.gone, k)
			case x.same != nil && x.same(value, want), bytes.Equal(value, []byte(want)):
				kept[k] = true
			default:
				x.had[k] = string(value)
			}
			return true
		}); err != nil {
			return fmt.Errorf("read map %s: %w", x.name, err)
		}
	}
	x.puts = x.want.keys(func(k string) bool { return !kept[k] })
	slices.Sort(x.gone)
	return nil
}

// put writes what is new or different.
func (x *delta) put() error {
	for _, k := range x.puts {
		want, _ := x.want.get(k)
		if err := x.store.Update([]byte(k), []byte(want), maps.Any); err != nil {
			return fmt.Errorf("update %s, key %x: %w", x.name, k, err)
		}
	}
	return nil
}

// remove deletes what is not wanted.
func (x *delta) remove() error {
	for _, k := range x.gone {
		if err := x.store.Delete([]byte(k)); err != nil && !errors.Is(err, maps.ErrKeyNotExist) {
			return fmt.Errorf("delete from %s, key %x: %w", x.name, k, err)
		}
	}
	return nil
}

// newcomers are the addresses in cilium_lxc that are about to get an endpoint, or
// another one than before.
func (x *delta) newcomers() map[[4]byte]bool {
	ips := make(map[[4]byte]bool)
	for _, k := range x.puts {
		want, _ := x.want.get(k)
		had := x.had[k]
		// Offsets 6 and 8 of the value: lxc_id and flags (SPEC 14.1).
		if host := want[8]&maps.EndpointHost != 0; !host && (had == "" || had[6:8] != want[6:8]) {
			ips[[4]byte([]byte(k[:4]))] = true
		}
	}
	return ips
}
