package journey

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/hooklab/hooklab/maps"
)

// Entry is an entry of a node's map as it is at a moment.
type Entry struct {
	Key, Value string       // in Cilium's words
	Bytes      [2][]byte    // key and value
	Fields     []EntryField // of the value, none for maps without fields
}

// view is a node with its map of a name.
func (s *Stepper) view(node, name string) (*nodeView, maps.Store, error) {
	n := s.world.nodes[node]
	if n == nil {
		return nil, nil, fmt.Errorf("node %q: %w; there are %s", node, ErrEntry, strings.Join(s.Nodes(), ", "))
	}
	store, err := n.set.Lookup(name)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	return n, store, nil
}

// Entries are the entries of a map at this moment, sorted by the bytes of their keys.
func (s *Stepper) Entries(node, name string) ([]Entry, error) {
	n, _, err := s.view(node, name)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, e := range entriesOf(n.set, name) {
		x := Entry{Bytes: e, Fields: fieldsOf(name, e[1])}
		x.Key, x.Value = n.entryText(name, e[0], e[1])
		out = append(out, x)
	}
	return out, nil
}

// Entry finds an entry by its key: in Cilium's words, or as 0x and hex digits.
func (s *Stepper) Entry(node, name, key string) (*Entry, error) {
	all, err := s.Entries(node, name)
	if err != nil {
		return nil, err
	}
	raw, isHex := hexBytes(key)
	for i := range all {
		if all[i].Key == key || isHex && bytes.Equal(all[i].Bytes[0], raw) {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("%s of %s has no key %q: %w", name, node, key, ErrEntry)
}

// Set changes fields of an entry, "NAME=VALUE" each, or replaces its whole value, which
// is then 0x and hex digits. With both key and value in hex the entry may be a new one.
func (s *Stepper) Set(node, name, key string, values []string) error {
	_, store, err := s.view(node, name)
	if err != nil {
		return err
	}
	if value, ok := hexBytes(strings.Join(values, "")); ok {
		raw, isHex := hexBytes(key)
		if !isHex {
			e, err := s.Entry(node, name, key)
			if err != nil {
				return err
			}
			raw = e.Bytes[0]
		}
		spec := store.Spec()
		if len(raw) != int(spec.KeySize) || len(value) != int(spec.ValueSize) {
			return fmt.Errorf("%w: %s has keys of %d and values of %d bytes, not %d and %d", ErrEntry, name, spec.KeySize, spec.ValueSize, len(raw), len(value))
		}
		return s.edit(node, name, raw, value)
	}
	e, err := s.Entry(node, name, key)
	if err != nil {
		return err
	}
	value := clone(e.Bytes[1])
	for _, v := range values {
		field, text, ok := strings.Cut(v, "=")
		if !ok {
			return fmt.Errorf("%w: %q is not FIELD=VALUE", ErrEntry, v)
		}
		if value, err = setField(name, value, field, text); err != nil {
			return err
		}
	}
	return s.edit(node, name, e.Bytes[0], value)
}

// Delete removes an entry.
func (s *Stepper) Delete(node, name, key string) error {
	e, err := s.Entry(node, name, key)
	if err != nil {
		return err
	}
	return s.edit(node, name, e.Bytes[0], nil)
}

// edit changes an entry and keeps that for going back.
func (s *Stepper) edit(node, name string, key, value []byte) error {
	e := edit{at: s.now.N, node: node, name: name, key: key, value: value}
	if s.journey != nil {
		return fmt.Errorf("%w: the end has come, nothing reads the map any more", ErrEntry)
	}
	if err := s.apply(e); err != nil {
		return err
	}
	s.edits = append(s.edits, e)
	return nil
}

func (s *Stepper) apply(e edit) error {
	_, store, err := s.view(e.node, e.name)
	if err != nil {
		return err
	}
	if e.value == nil {
		err = store.Delete(e.key)
	} else {
		err = store.Update(e.key, e.value, maps.Any)
	}
	if err != nil {
		return errors.Join(ErrEntry, err)
	}
	return nil
}

// hexBytes reads 0x and hex digits.
func hexBytes(s string) ([]byte, bool) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok {
		return nil, false
	}
	b, err := hex.DecodeString(digits)
	return b, err == nil
}
