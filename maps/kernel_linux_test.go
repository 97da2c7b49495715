package maps

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// kernelMap is a BPF map in the running kernel, reached by the bare system call. It is the oracle of the privileged tests.
type kernelMap struct {
	fd   int
	spec Spec
}

// bpfSyscall is the number of bpf(2), 0 where the tests do not know it.
func bpfSyscall() uintptr {
	switch runtime.GOARCH {
	case "amd64":
		return 321
	case "arm64":
		return 280
	}
	return 0
}

// bpfAttr is the part of union bpf_attr that map commands use.
type bpfAttr struct {
	w [4]uint64
	_ [96]byte
}

func bpf(cmd uintptr, a *bpfAttr) (uintptr, error) {
	r, _, e := syscall.Syscall(bpfSyscall(), cmd, uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a))
	if e != 0 {
		return 0, e
	}
	return r, nil
}

// newKernelMap creates a map, or skips the test where bpf(2) is not allowed.
func newKernelMap(tb testing.TB, s Spec) *kernelMap {
	tb.Helper()
	if bpfSyscall() == 0 {
		tb.Skipf("number of bpf(2) on %s is not known", runtime.GOARCH)
	}
	var a bpfAttr
	a.w[0] = uint64(s.Type) | uint64(s.KeySize)<<32
	a.w[1] = uint64(s.ValueSize) | uint64(s.MaxEntries)<<32
	a.w[2] = uint64(s.Flags)
	fd, err := bpf(0, &a)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
		tb.Skipf("creating BPF maps is not allowed here: %v", err)
	}
	if err != nil {
		tb.Fatalf("create %+v: %v", s, err)
	}
	tb.Cleanup(func() { _ = syscall.Close(int(fd)) })
	return &kernelMap{fd: int(fd), spec: s}
}

func (m *kernelMap) call(cmd uintptr, key, value []byte, flags uint64) error {
	var a bpfAttr
	var pin runtime.Pinner
	defer pin.Unpin()
	a.w[0] = uint64(m.fd)
	if len(key) > 0 {
		pin.Pin(&key[0])
		a.w[1] = uint64(uintptr(unsafe.Pointer(&key[0])))
	}
	if len(value) > 0 {
		pin.Pin(&value[0])
		a.w[2] = uint64(uintptr(unsafe.Pointer(&value[0])))
	}
	a.w[3] = flags
	_, err := bpf(cmd, &a)
	return kernelError(err)
}

func kernelError(err error) error {
	for _, p := range []struct {
		errno syscall.Errno
		is    error
	}{
		{syscall.ENOENT, ErrKeyNotExist},
		{syscall.EEXIST, ErrKeyExist},
		{syscall.E2BIG, ErrFull},
		{syscall.ENOSPC, ErrNoSpace},
		{syscall.EINVAL, ErrInvalid},
	} {
		if errors.Is(err, p.errno) {
			return p.is
		}
	}
	return err
}

func (m *kernelMap) Lookup(key, value []byte) error { return m.call(1, key, value, 0) }
func (m *kernelMap) Delete(key []byte) error        { return m.call(3, key, nil, 0) }
func (m *kernelMap) Update(key, value []byte, f UpdateFlag) error {
	return m.call(2, key, value, uint64(f))
}

// content lists the map by its own iteration.
func (m *kernelMap) content(tb testing.TB) map[string]string {
	tb.Helper()
	out := make(map[string]string)
	key, next := []byte(nil), make([]byte, m.spec.KeySize)
	for {
		err := m.call(4, key, next, 0)
		if errors.Is(err, ErrKeyNotExist) {
			return out
		}
		if err != nil || len(out) > int(m.spec.MaxEntries) {
			tb.Fatalf("next key: %v after %d entries", err, len(out))
		}
		value := make([]byte, m.spec.ValueSize)
		if err := m.Lookup(next, value); err == nil {
			out[string(next)] = string(value)
		}
		key = append(key[:0], next...)
	}
}

// TestPrivilegedKernel runs the same random calls on each container and on a map of the same type in the running kernel.
func TestPrivilegedKernel(t *testing.T) {
	t.Parallel()
	for name, s := range containers(t, 24) {
		z := s.Spec()
		switch z.Type {
		case TypePerCPUHash, TypePerCPUArray, TypeProgArray:
			continue // values for each CPU, and program descriptors: other bytes than here
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reach := uint32(30)
			if z.Type == TypeLRUHash {
				reach = 12 // eviction is the one thing that differs: stay below it
				z.MaxEntries = 4096
			}
			if z.Type == TypeHash {
				z.Flags = FlagNoPrealloc
			}
			k := newKernelMap(t, z)
			r := rand.New(rand.NewPCG(7, 7))
			for i := range 3000 {
				key := raw(r.Uint32N(reach))
				if z.Type == TypeLPMTrie {
					key = raw(trieKey{r.Uint32N(35), [4]byte{byte(r.UintN(3)) << 6, byte(r.UintN(2)) << 7, byte(r.UintN(4)), byte(r.UintN(3))}})
				}
				value, flag := raw(r.Uint32()), UpdateFlag(r.UintN(4))
				var got, want error
				op := r.UintN(3)
				got1, want1 := make([]byte, 4), make([]byte, 4)
				switch op {
				case 0:
					got, want = s.Update(key, value, flag), k.Update(key, value, flag)
				case 1:
					got, want = s.Delete(key), k.Delete(key)
				default:
					got, want = s.Lookup(key, got1), k.Lookup(key, want1)
				}
				if !sameErr(got, want) || string(got1) != string(want1) {
					t.Fatalf("call %d: op %d key %x flag %d: %x, error %v; the kernel says %x, %v", i, op, key, flag, got1, got, want1, want)
				}
			}
			if d := cmp.Diff(k.content(t), storeContent(t, s, 0)); d != "" {
				t.Errorf("content (-kernel +got):\n%s", d)
			}
		})
	}
}

// TestPrivilegedProgArray compares the errors of a program array, which need no program.
func TestPrivilegedProgArray(t *testing.T) {
	t.Parallel()
	s, err := NewProgArray(Spec{Name: "test", MaxEntries: 2})
	must(t, err)
	k := newKernelMap(t, s.Spec())
	for i := range uint32(3) {
		key, value := raw(i), make([]byte, 4)
		if got, want := s.Delete(key), k.Delete(key); !sameErr(got, want) {
			t.Errorf("delete %d: %v, the kernel says %v", i, got, want)
		}
		if got, want := s.Lookup(key, value), k.Lookup(key, value); !sameErr(got, want) {
			t.Errorf("lookup %d: %v, the kernel says %v", i, got, want)
		}
		for f := NoExist; f <= 3; f++ {
			if got, want := s.Update(key, raw(uint32(1)), f), k.Update(key, value, f); !sameErr(got, want) {
				t.Errorf("update %d flag %d: %v, the kernel says %v", i, f, got, want)
			}
		}
	}
}

// TestPrivilegedKernelMemory checks the formula of kernelBytes against what the running kernel accounts for.
func TestPrivilegedKernelMemory(t *testing.T) {
	t.Parallel()
	const n = 128
	for _, z := range []Spec{
		NewSet(Sizes{}).LXC.Spec(), NewSet(Sizes{}).IPCache.Spec(), NewSet(Sizes{}).Services.Spec(), NewSet(Sizes{}).AddPolicy(1).Spec(),
	} {
		t.Run(z.Name, func(t *testing.T) {
			t.Parallel()
			m := newKernelMap(t, z)
			before := m.memlock(t)
			for i := range uint32(n) {
				key := make([]byte, z.KeySize)
				binary.BigEndian.PutUint32(key[4:], i)
				if z.Type == TypeLPMTrie {
					binary.LittleEndian.PutUint32(key, 32)
				}
				must(t, m.Update(key, make([]byte, z.ValueSize), Any))
			}
			if got, want := float64(m.memlock(t)-before)/n, kernelBytes(z).entry; got != want {
				t.Errorf("the kernel takes %.1f bytes for an entry, the formula says %.1f", got, want)
			}
		})
	}
}

// memlock returns the bytes that the kernel accounts to the map.
func (m *kernelMap) memlock(tb testing.TB) int {
	tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", m.fd))
	must(tb, err)
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, "memlock:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			must(tb, err)
			return n
		}
	}
	tb.Skip("this kernel does not tell the memory of a map")
	return 0
}
