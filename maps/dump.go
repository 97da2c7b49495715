package maps

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Entry is an entry of a map as bytes.
type Entry struct{ Key, Value []byte }

// SpecOf returns the description of a map of any node by Cilium's name: one that every node has, or the policy or calls map of
// an endpoint. It is false for other names.
func SpecOf(name string) (Spec, bool) {
	s := NewSet(Sizes{})
	switch id := endpointOf(name); {
	case name == PolicyName(id):
		s.AddPolicy(id)
	case strings.HasPrefix(name, callsPrefix) && len(name) > len(callsPrefix):
		s.AddCalls(name)
	}
	m, err := s.Lookup(name)
	if err != nil {
		return Spec{}, false
	}
	return m.Spec(), true
}

// Entries copies all entries of a map, sorted by key.
func Entries(m Store) ([]Entry, error) {
	var out []Entry
	for c := (Cursor{}); !c.Done(); {
		err := m.Range(&c, 0, func(key, value []byte) bool {
			out = append(out, Entry{bytes.Clone(key), bytes.Clone(value)})
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return bytes.Compare(a.Key, b.Key) })
	return out, nil
}

// dumpedEntry is an entry in JSON: as `bpftool map dump -j` writes it, or short. A value is a list of bytes in hex; bpftool
// writes an object in its place where it could not read one.
type dumpedEntry struct {
	Key    *[]string       `json:"key,omitempty"`
	Value  json.RawMessage `json:"value,omitempty"`
	Values []dumpedCPU     `json:"values,omitempty"`
	K      *string         `json:"k,omitempty"`
	V      *string         `json:"v,omitempty"`
}

// dumpedCPU is the value that one CPU has in a per-CPU map.
type dumpedCPU struct {
	CPU   int      `json:"cpu"`
	Value []string `json:"value"`
}

// WriteDump writes entries as `bpftool map dump -j` does: a per-CPU map's as those of one CPU.
func WriteDump(w io.Writer, s Spec, entries []Entry) error {
	perCPU := s.Type == TypePerCPUHash || s.Type == TypePerCPUArray
	var b bytes.Buffer
	b.WriteByte('[')
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"key":%s,`, hexList(e.Key))
		if perCPU {
			fmt.Fprintf(&b, `"values":[{"cpu":0,"value":%s}]}`, hexList(e.Value))
		} else {
			fmt.Fprintf(&b, `"value":%s}`, hexList(e.Value))
		}
	}
	b.WriteString("]\n")
	_, err := w.Write(b.Bytes())
	return err
}

func hexList(b []byte) string {
	words := make([]string, len(b))
	for i, x := range b {
		words[i] = fmt.Sprintf(`"0x%02x"`, x)
	}
	return "[" + strings.Join(words, ",") + "]"
}

// WriteDumps writes the entries of several maps as one object, {"cilium_lxc":[{"k":hex,"v":hex},…],…}, sorted by name.
func WriteDumps(w io.Writer, dumps map[string][]Entry) error {
	short := make(map[string][]dumpedEntry, len(dumps))
	for name, entries := range dumps {
		short[name] = []dumpedEntry{}
		for _, e := range entries {
			k, v := hex.EncodeToString(e.Key), hex.EncodeToString(e.Value)
			short[name] = append(short[name], dumpedEntry{K: &k, V: &v})
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(short)
}

// ReadDumps reads entries in either form: a list is that of the map called name, an object has lists by name, where "map"
// stands for name too. Values of per-CPU maps are summed by 64 bits. The error names map, entry and what is wrong with it: a
// name that [SpecOf] does not know, or a size that is not the map's, wraps ErrInvalid.
func ReadDumps(data []byte, name string) (map[string][]Entry, error) {
	data = bytes.TrimSpace(data)
	lists := map[string][]dumpedEntry{}
	var list []dumpedEntry
	switch {
	case len(data) == 0:
		return nil, fmt.Errorf("empty, want a list of entries: %w", ErrInvalid)
	case data[0] == '[':
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		lists[name] = list
	default:
		var failed struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(data, &failed) == nil && failed.Error != "" {
			return nil, fmt.Errorf("bpftool has written an error: %s: %w", failed.Error, ErrInvalid)
		}
		if err := json.Unmarshal(data, &lists); err != nil {
			return nil, fmt.Errorf("neither the list that bpftool map dump -j writes nor {\"map\": [{\"k\": hex, \"v\": hex}]}: %w: %w", ErrInvalid, err)
		}
		if list, ok := lists["map"]; ok {
			delete(lists, "map")
			lists[name] = list
		}
	}
	out := make(map[string][]Entry, len(lists))
	for name, list := range lists {
		spec, ok := SpecOf(name)
		if !ok {
			return nil, fmt.Errorf("unknown map %q: %w", name, ErrInvalid)
		}
		entries := make([]Entry, 0, len(list))
		for i := range list {
			e, err := list[i].entry(&spec)
			if err != nil {
				return nil, fmt.Errorf("map %s, entry %d: %w", name, i+1, err)
			}
			if e.Value != nil {
				entries = append(entries, e)
			}
		}
		out[name] = entries
	}
	return out, nil
}

// entry decodes an entry and checks its sizes. The value is nil if bpftool could not read it, which happens to empty slots.
func (d *dumpedEntry) entry(s *Spec) (e Entry, err error) {
	switch {
	case d.K != nil && d.V != nil && d.Key == nil && d.Value == nil && d.Values == nil:
		if e.Key, err = hex.DecodeString(*d.K); err == nil {
			e.Value, err = hex.DecodeString(*d.V)
		}
	case d.Key != nil && d.K == nil && d.V == nil:
		if e.Key, err = byteList(*d.Key); err == nil {
			e.Value, err = d.value(s)
		}
	default:
		return e, fmt.Errorf("neither \"key\" with \"value\" nor \"k\" with \"v\": %w", ErrInvalid)
	}
	switch {
	case err != nil:
		return e, fmt.Errorf("%w: %w", ErrInvalid, err)
	case len(e.Key) != int(s.KeySize):
		return e, fmt.Errorf("key of %d bytes, want %d: %w", len(e.Key), s.KeySize, ErrInvalid)
	case e.Value != nil && len(e.Value) != int(s.ValueSize):
		return e, fmt.Errorf("value of %d bytes, want %d: %w", len(e.Value), s.ValueSize, ErrInvalid)
	}
	return e, nil
}

// value is the value in bpftool's form.
func (d *dumpedEntry) value(s *Spec) ([]byte, error) {
	if d.Values == nil {
		raw := bytes.TrimSpace(d.Value)
		if len(raw) > 0 && raw[0] == '{' {
			return nil, nil // {"error": "No such file or directory"}
		}
		var words []string
		if err := json.Unmarshal(raw, &words); err != nil {
			return nil, err
		}
		return byteList(words)
	}
	sum := make([]byte, s.ValueSize)
	for _, c := range d.Values {
		v, err := byteList(c.Value)
		if err != nil {
			return nil, err
		}
		if len(v) != len(sum) {
			return nil, fmt.Errorf("value of CPU %d has %d bytes, want %d", c.CPU, len(v), len(sum))
		}
		for i := 0; i+8 <= len(sum); i += 8 {
			binary.LittleEndian.PutUint64(sum[i:], binary.LittleEndian.Uint64(sum[i:])+binary.LittleEndian.Uint64(v[i:]))
		}
	}
	return sum, nil
}

// byteList reads bytes that are written one by one, "0x0a" or "10".
func byteList(words []string) ([]byte, error) {
	out := make([]byte, len(words))
	for i, w := range words {
		n, err := strconv.ParseUint(w, 0, 8)
		if err != nil {
			return nil, fmt.Errorf("byte %d: %w", i, err)
		}
		out[i] = byte(n)
	}
	return out, nil
}
