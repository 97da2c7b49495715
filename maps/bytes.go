package maps

import (
	"fmt"
	"reflect"
	"unsafe"
)

// view shows *p as its bytes without copying. It is sound because newSpec has checked that T has no hidden padding and no
// pointers, and because bigendian.go keeps the package off machines where the bytes would differ from Cilium's. The view
// has no spare capacity, so an append cannot run into the neighbouring entry.
func view[T any](p *T) []byte {
	n := unsafe.Sizeof(*p)
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), n)[:n:n]
}

// Bytes returns the bytes of a key or value of this package as they are in a kernel map, nil for nil. It is the live
// memory, not a copy.
func Bytes[T any](p *T) []byte {
	if p == nil {
		return nil
	}
	return view(p)
}

// decode reads a T from exactly as many bytes as it has; b needs no alignment.
func decode[T any](b []byte) (v T, ok bool) {
	w := view(&v)
	if len(b) != len(w) {
		return v, false
	}
	copy(w, b)
	return v, true
}

// newSpec checks that K and V can be shown as bytes and that their sizes are those of the spec, where 0 means "take it
// from the type".
func newSpec[K, V any](s Spec, want ...Type) (Spec, error) {
	if s.Type == 0 {
		s.Type = want[0]
	}
	known := false
	for _, t := range want {
		known = known || s.Type == t
	}
	if !known {
		return s, fmt.Errorf("map %s of type %s: %w", s.Name, s.Type, ErrInvalid)
	}
	if s.MaxEntries == 0 || s.MaxEntries > maxSlots {
		return s, fmt.Errorf("map %s with max_entries %d (1 to %d): %w", s.Name, s.MaxEntries, uint32(maxSlots), ErrInvalid)
	}
	for _, c := range []struct {
		what string
		typ  reflect.Type
		size *uint32
	}{
		{"key", reflect.TypeFor[K](), &s.KeySize},
		{"value", reflect.TypeFor[V](), &s.ValueSize},
	} {
		if err := plain(c.typ); err != nil {
			return s, fmt.Errorf("map %s, %s: %w", s.Name, c.what, err)
		}
		n := uint32(c.typ.Size())
		if *c.size == 0 {
			*c.size = n
		}
		if *c.size != n {
			return s, fmt.Errorf("map %s: %s size %d, %s has %d: %w", s.Name, c.what, *c.size, c.typ, n, ErrInvalid)
		}
	}
	return s, nil
}

// plain checks that t consists of fixed-size integers and byte arrays without hidden padding.
func plain(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Array:
		return plain(t.Elem())
	case reflect.Struct:
		var sum uintptr
		for f := range t.Fields() {
			if err := plain(f.Type); err != nil {
				return err
			}
			if f.Offset != sum {
				return fmt.Errorf("%s has hidden padding before %s: %w", t, f.Name, ErrInvalid)
			}
			sum += f.Type.Size()
		}
		if sum != t.Size() || sum == 0 {
			return fmt.Errorf("%s has hidden padding or no fields: %w", t, ErrInvalid)
		}
		return nil
	}
	return fmt.Errorf("%s is not a fixed-size integer: %w", t, ErrInvalid)
}
