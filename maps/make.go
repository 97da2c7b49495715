package maps

import (
	"strconv"
	"strings"
	"unsafe"
)

// The functions in this file make maps whose types are known to be sound, which the layout tests check, so they need no
// error.

func fixedSpec[K, V any](name string, t Type, entries, flags uint32) Spec {
	var k K
	var v V
	return Spec{
		Name: name, Type: t, KeySize: uint32(unsafe.Sizeof(k)), ValueSize: uint32(unsafe.Sizeof(v)), MaxEntries: entries, Flags: flags,
	}
}

// hashMap makes a hash map without preallocation, as Cilium's agent does by default.
func hashMap[K comparable, V any](name string, t Type, entries uint32) *Hash[K, V] {
	return &Hash[K, V]{makeExact[K, V](fixedSpec[K, V](name, t, entries, FlagNoPrealloc))}
}

func lruMap[K comparable, V any](name string, entries uint32) *LRU[K, V] {
	m := &LRU[K, V]{makeExact[K, V](fixedSpec[K, V](name, TypeLRUHash, entries, 0))}
	m.lru = true
	return m
}

func policyMap(name string, entries uint32) *Hash[PolicyKey, PolicyEntry] {
	m := hashMap[PolicyKey, PolicyEntry](name, TypeHash, entries)
	m.classes = &classes[PolicyKey]{of: policyClass}
	return m
}

func ipcacheMap(entries uint32) *LPM[IPCacheKey, RemoteEndpointInfo] {
	s := fixedSpec[IPCacheKey, RemoteEndpointInfo](NameIPCache, TypeLPMTrie, entries, FlagNoPrealloc)
	m := &LPM[IPCacheKey, RemoteEndpointInfo]{makeTable[IPCacheKey, RemoteEndpointInfo](s)}
	m.lens = newLengths((s.KeySize - prefixSize) * 8)
	return m
}

func progArray(name string, entries uint32) *ProgArray {
	return &ProgArray{cells: cells[uint32]{spec: fixedSpec[uint32, uint32](name, TypeProgArray, entries, 0)}}
}

// endpointOf returns the endpoint id in the name of a policy map, 0 if there is none.
func endpointOf(name string) uint16 {
	id, err := strconv.ParseUint(strings.TrimPrefix(name, policyPrefix), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(id)
}
