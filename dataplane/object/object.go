package object

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/hooklab/hooklab/dataplane"
)

// ErrObject is wrapped by every refusal of an object or of the headers beside it.
var ErrObject = errors.New("object refused")

// maxFile bounds what is read: the largest object of Cilium 1.12 with debug information has about 2 MB.
const maxFile = 64 << 20

// Object is one parsed ELF object. It is not changed after [Parse] and may be shared by goroutines.
type Object struct {
	Kind     Kind
	Name     string // file name, for messages
	License  string
	Programs []Program // by section name; constants not applied
	Maps     []Map     // by symbol; names of the template
	Unused   []string  // symbols of unknown maps that no program refers to; nothing is made for them
	BTF      *btf.Spec // nil if there is none

	inline []inlineConstant // constants that are addresses of data symbols
	vars   []variable       // constants in read-only data
}

// Program is one program of an object: a section that is attached to a hook or lives in a prog array.
type Program struct {
	Section string // "from-container", "2/7"
	Func    string // C function

	// Entry is the program that the section is attached as, if IsEntry. A pod's policy program is an entry and a tail
	// call.
	Entry   dataplane.Prog
	IsEntry bool
	// Tail says where the program belongs in a prog array; its Map is the symbol of one of the object's maps, "" if the
	// program is in none.
	Tail Tail

	// Instructions are the program and the functions that it calls. References are symbols of functions and of Maps;
	// Source is a *btf.Line if the object has line information. Shared: not to be changed.
	Instructions asm.Instructions
}

// Tail is a slot of a prog array. PerEndpoint means that the slot is the endpoint's id, whatever the section says.
type Tail struct {
	Map         string
	Slot        uint32
	PerEndpoint bool
}

// Parse reads an object. name is for messages. Errors wrap [ErrObject] and name what is not understood; input never makes
// it panic.
func Parse(kind Kind, name string, file []byte) (o *Object, err error) {
	defer func() {
		// The ELF and BTF readers below were not written for hostile input.
		if r := recover(); r != nil {
			o, err = nil, refuse(name, "malformed ELF (%v at %s)", r, panicSite())
		}
	}()
	if kind >= numKinds {
		return nil, refuse(name, "object %s: want %s, %s or %s", kind, LXC, Host, Overlay)
	}
	if err := checkELF(name, file); err != nil {
		return nil, err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(file))
	if err != nil {
		return nil, refuse(name, "%w", err)
	}
	o = &Object{Kind: kind, Name: name, BTF: spec.Types}
	ids, err := o.addMaps(spec)
	if err != nil {
		return nil, err
	}
	if err := o.addPrograms(spec, ids); err != nil {
		return nil, err
	}
	if err := o.addConstants(spec); err != nil {
		return nil, err
	}
	if err := o.checkReferences(); err != nil {
		return nil, err
	}
	return o, nil
}

// refuse makes an error that names the object.
func refuse(name, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %w", name, ErrObject, fmt.Errorf(format, args...))
}

func (o *Object) refuse(format string, args ...any) error { return refuse(o.Name, format, args...) }

// panicSite is the innermost function of a panic outside the runtime.
func panicSite() string {
	lines := strings.Split(string(debug.Stack()), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "panic(") {
			for _, l := range lines[i+1:] {
				if !strings.HasPrefix(l, "\t") && !strings.HasPrefix(l, "runtime.") {
					site, _, _ := strings.Cut(l, "(0x")
					return site
				}
			}
		}
	}
	return "unknown"
}

// checkELF refuses what is no BPF object of this machine's byte order, and sections that claim more than the file has,
// before anything is allocated for them.
func checkELF(name string, file []byte) error {
	if len(file) == 0 {
		return refuse(name, "the file is empty")
	}
	if len(file) > maxFile {
		return refuse(name, "%d bytes: want at most %d", len(file), maxFile)
	}
	if !bytes.HasPrefix(file, []byte(elf.ELFMAG)) {
		return refuse(name, "no ELF file (it begins with %q)", file[:min(4, len(file))])
	}
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return refuse(name, "truncated or malformed ELF: %w", err)
	}
	if f.Machine != elf.EM_BPF && f.Machine != elf.EM_NONE {
		return refuse(name, "compiled for %s: want EM_BPF (clang -target bpf)", f.Machine)
	}
	if f.Class != elf.ELFCLASS64 || f.Type != elf.ET_REL {
		return refuse(name, "%s, %s: want a 64-bit relocatable object", f.Class, f.Type)
	}
	if (f.ByteOrder == binary.ByteOrder(binary.BigEndian)) != bigEndian {
		return refuse(name, "compiled for another byte order (%s) than this machine's", f.Data)
	}
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_COMPRESSED != 0 {
			return refuse(name, "section %q is compressed", s.Name)
		}
		if s.Type == elf.SHT_NOBITS {
			if s.Size > maxData {
				return refuse(name, "section %q: %d bytes: want at most %d", s.Name, s.Size, maxData)
			}
			continue
		}
		if s.Type != elf.SHT_NULL && (s.Offset > uint64(len(file)) || s.Size > uint64(len(file))-s.Offset) {
			return refuse(name, "truncated: section %q ends at byte %d, the file has %d", s.Name, s.Offset+s.Size, len(file))
		}
	}
	return nil
}

// maxData bounds a data section, in bytes.
const maxData = 1 << 20

var bigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

// Program finds a program by its section name.
func (o *Object) Program(section string) (*Program, bool) {
	i := slices.IndexFunc(o.Programs, func(p Program) bool { return p.Section == section })
	if i < 0 {
		return nil, false
	}
	return &o.Programs[i], true
}

// Entry finds the program of a hook; the error lists the entries that there are.
func (o *Object) Entry(prog dataplane.Prog) (*Program, error) {
	var have []string
	for i := range o.Programs {
		p := &o.Programs[i]
		if p.IsEntry && p.Entry == prog {
			return p, nil
		}
		if p.IsEntry {
			have = append(have, p.Entry.String())
		}
	}
	return nil, o.refuse("no program %s; there are %s", prog, strings.Join(have, ", "))
}
