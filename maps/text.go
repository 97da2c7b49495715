package maps

import (
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// TextOptions changes how maps are written. The zero value is the text of Cilium 1.12.8.
type TextOptions struct {
	// NoNodeID leaves out the node id of ipcache and tunnel values, as earlier 1.12 releases did.
	NoNodeID bool
	// AllSlots lists every backend slot of a service under its frontend's key. `cilium map get` shows slot 0 only.
	AllSlots bool
	// Numeric writes identities as numbers under the heading IDENTITY in a policy map (-n).
	Numeric bool
	// Labels returns the labels of an identity for policy maps; nil, or no labels, writes the number.
	Labels func(identity uint32) []string
	// Remaining returns the seconds until a conntrack lifetime passes and adds them to each entry (-d); nil leaves them out.
	Remaining func(lifetime uint32) int64
	// ProgName returns the section name of a program id; nil asks the program array itself.
	ProgName func(id uint32) string
}

// Row is one entry of a map as text, and as bytes in hex.
type Row struct {
	Key      string `json:"key"`
	Value    string `json:"value"`
	State    string `json:"state"`
	Error    string `json:"error,omitempty"`
	RawKey   string `json:"raw-key"`
	RawValue string `json:"raw-value"`
}

// stateSync is what `cilium map get` writes for an entry that is in the kernel's map. There is no other state here.
const stateSync = "sync"

// form is how the maps of one kind are written.
type form struct {
	// rows lists the entries in the order in which they are written. Cilium's own order is random for most maps.
	rows func(s Store, opt TextOptions) ([]Row, error)
	// list writes the map as `cilium bpf … list` does.
	list func(w io.Writer, s Store, opt TextOptions) error
	// cached says that `cilium map get` can print the map.
	cached bool
}

// formOf returns how a map is written. Maps that Cilium does not print, or which this package does not know, are written as bytes.
func formOf(name string) form {
	switch name {
	case NameLXC:
		return form{lxcRows, titled(lxcRows, "IP ADDRESS", "LOCAL ENDPOINT INFO", true), true}
	case NameIPCache:
		return form{ipcacheRows, titled(ipcacheRows, "IP PREFIX/ADDRESS", "IDENTITY", true), true}
	case NameTunnel:
		return form{tunnelRows, titled(tunnelRows, "TUNNEL", "VALUE", true), true}
	case NameServices:
		return form{serviceRows, listFrontends, true}
	case NameBackends:
		return form{backendRows, titled(backendRows, "ID", lbTitle, false), true}
	case NameRevNAT:
		return form{revNATRows, titled(revNATRows, "ID", lbTitle, false), true}
	case NameCT4, NameCTAny4:
		return form{ctRows, listCT, false}
	case NameFrags:
		return form{fragRows, titled(fragRows, "DATAGRAM", "PORTS", true), false}
	case NameMetrics:
		return form{metricsRows, listMetrics, false}
	case NamePolicyCall:
		return form{callRows, titled(callRows, "SLOT", "PROGRAM", true), false}
	}
	switch {
	case strings.HasPrefix(name, policyPrefix):
		return form{policyRows, listPolicy, false}
	case strings.HasPrefix(name, callsPrefix):
		return form{callRows, titled(callRows, "SLOT", "PROGRAM", true), false}
	}
	return form{rawRows, titled(rawRows, "KEY", "VALUE", true), false}
}

// Rows returns the entries of a map as text in a fixed order: by address, id or number. A service has one row, that of its
// frontend, unless opt.AllSlots is set. The store's name decides the form; a store with other sizes than this package's is an
// ErrInvalid.
func Rows(s Store, opt TextOptions) ([]Row, error) {
	return formOf(s.Spec().Name).rows(s, opt)
}

// WriteTable writes a map as `cilium map get NAME` does. For a map that this command cannot print (conntrack, policy,
// metrics, fragments, calls) it writes what the command `cilium bpf … list` of that map does. Rows are sorted; Cilium's order is random.
func WriteTable(w io.Writer, s Store, opt TextOptions) error {
	f := formOf(s.Spec().Name)
	if !f.cached {
		return f.list(w, s, opt)
	}
	rows, err := f.rows(s, opt)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		_, err := io.WriteString(w, "Cache is empty\n\n")
		return err
	}
	return tabulate(w, "Key\tValue\tState\tError", func(line func(cells ...string)) {
		for _, r := range rows {
			line(r.Key, r.Value, r.State, r.Error)
		}
	})
}

// WriteBPFList writes a map as the command of `cilium bpf` for it does: endpoint list, ipcache list, tunnel list, lb list
// --frontends, --backends or --revnat, ct list, policy get, metrics list. Fragments and program arrays have a form of our own.
func WriteBPFList(w io.Writer, s Store, opt TextOptions) error {
	return formOf(s.Spec().Name).list(w, s, opt)
}

// item is a decoded entry.
type item[K, V any] struct {
	k K
	v V
}

// items reads all entries of a store, sorted by less-than-zero compare.
func items[K, V any](s Store, compare func(a, b *item[K, V]) int) ([]item[K, V], error) {
	var out []item[K, V]
	bad := false
	for c := (Cursor{}); !c.Done() && !bad; {
		err := s.Range(&c, 0, func(key, value []byte) bool {
			k, okKey := decode[K](key)
			v, okValue := decode[V](value)
			if bad = !okKey || !okValue; bad {
				return false
			}
			out = append(out, item[K, V]{k, v})
			return true
		})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", s.Spec().Name, err)
		}
	}
	if bad {
		z := s.Spec()
		return nil, fmt.Errorf("list %s with key size %d and value size %d: %w", z.Name, z.KeySize, z.ValueSize, ErrInvalid)
	}
	slices.SortFunc(out, func(a, b item[K, V]) int { return compare(&a, &b) })
	return out, nil
}

// rows makes rows of entries.
func rows[K, V any](in []item[K, V], text func(k *K, v *V) (key, value string)) []Row {
	out := make([]Row, 0, len(in))
	for i := range in {
		e := &in[i]
		r := Row{State: stateSync, RawKey: hex.EncodeToString(view(&e.k)), RawValue: hex.EncodeToString(view(&e.v))}
		r.Key, r.Value = text(&e.k, &e.v)
		out = append(out, r)
	}
	return out
}

// rawRows lists a map as bytes in hex, sorted by key.
func rawRows(s Store, _ TextOptions) ([]Row, error) {
	var out []Row
	for c := (Cursor{}); !c.Done(); {
		err := s.Range(&c, 0, func(key, value []byte) bool {
			k, v := hex.EncodeToString(key), hex.EncodeToString(value)
			out = append(out, Row{Key: k, Value: v, State: stateSync, RawKey: k, RawValue: v})
			return true
		})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", s.Spec().Name, err)
		}
	}
	slices.SortFunc(out, func(a, b Row) int { return strings.Compare(a.RawKey, b.RawKey) })
	return out, nil
}

// titled returns a list with two columns, where a key that repeats is written once. If sayEmpty is set, a map without entries is said to be
// empty instead of getting a header alone.
func titled(
	list func(Store, TextOptions) ([]Row, error), first, second string, sayEmpty bool,
) func(io.Writer, Store, TextOptions) error {
	return func(w io.Writer, s Store, opt TextOptions) error {
		rows, err := list(s, opt)
		if err != nil {
			return err
		}
		if sayEmpty && len(rows) == 0 {
			return writeNone(w)
		}
		return twoColumns(w, first, second, rows)
	}
}

func writeNone(w io.Writer) error {
	_, err := io.WriteString(w, "No entries found.\n")
	return err
}

// twoColumns writes rows as Cilium's table printer does: each row, unlike the header, ends in a tab.
func twoColumns(w io.Writer, first, second string, rows []Row) error {
	return tabulate(w, first+"\t"+second, func(line func(cells ...string)) {
		last := ""
		for i, r := range rows {
			key := r.Key
			if i > 0 && key == last {
				key = ""
			}
			last = r.Key
			line(key, r.Value, "")
		}
	})
}

// tabulate writes lines of cells in columns with Cilium's settings.
func tabulate(w io.Writer, header string, body func(line func(cells ...string))) error {
	t := tabwriter.NewWriter(w, 5, 0, 3, ' ', 0)
	fmt.Fprintln(t, header)
	body(func(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) })
	return t.Flush()
}
