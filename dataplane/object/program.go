package object

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/hooklab/hooklab/dataplane"
)

// Ids of prog arrays in the names of tail-call sections (SPEC 1): a section "2/7" is slot 7 of the object's own calls map.
const (
	idPolicyCall = 1
	idCalls      = 2
)

// tailSection is a tail-call section, ID/SLOT, each decimal or hexadecimal.
var tailSection = regexp.MustCompile(`^(0x[0-9a-fA-F]+|[0-9]+)/(0x[0-9a-fA-F]+|[0-9]+)$`)

// addPrograms adds a program for each section. ids are the prog arrays by the id in section names.
func (o *Object) addPrograms(spec *ebpf.CollectionSpec, ids map[uint32]string) error {
	sections := map[string][]*ebpf.ProgramSpec{}
	for _, p := range spec.Programs {
		sections[p.SectionName] = append(sections[p.SectionName], p)
		o.License = p.License
	}
	if len(sections) == 0 {
		return o.refuse("no program in it")
	}
	if o.License == "" {
		return o.refuse("no section \"license\"")
	}
	for _, name := range sortedKeys(sections) {
		programs := sections[name]
		main, err := o.mainFunction(name, programs)
		if err != nil {
			return err
		}
		p := Program{Section: name, Func: main.Name, Instructions: main.Instructions}
		if err := o.place(&p, ids); err != nil {
			return err
		}
		o.Programs = append(o.Programs, p)
	}
	slices.SortFunc(o.Programs, func(a, b Program) int { return cmp.Compare(a.Section, b.Section) })
	return o.checkEntries()
}

// mainFunction finds the function of a section that none of its other functions calls.
func (o *Object) mainFunction(section string, programs []*ebpf.ProgramSpec) (*ebpf.ProgramSpec, error) {
	called := map[string]bool{}
	for _, p := range programs {
		for _, ins := range p.Instructions {
			if ins.IsFunctionReference() && ins.Reference() != p.Name {
				called[ins.Reference()] = true
			}
		}
	}
	var main []*ebpf.ProgramSpec
	for _, p := range programs {
		if !called[p.Name] {
			main = append(main, p)
		}
	}
	if len(main) != 1 {
		return nil, o.refuse("section %q: %d functions could be its program, want 1", section, len(main))
	}
	if len(main[0].Instructions) == 0 {
		return nil, o.refuse("section %q: no instructions", section)
	}
	return main[0], nil
}

// place finds out what a section is for.
func (o *Object) place(p *Program, ids map[uint32]string) error {
	if entry, ok := dataplane.ParseProg(p.Section); ok && entry != dataplane.PolicyProg {
		if KindOf(entry) != o.Kind {
			return o.refuse("section %q: a program of %s, not of %s", p.Section, KindOf(entry), o.Kind)
		}
		p.Entry, p.IsEntry = entry, true
		return nil
	}
	m := tailSection.FindStringSubmatch(p.Section)
	if m == nil {
		return o.refuse("section %q: neither a hook (from-container, …) nor a tail call (ID/SLOT)", p.Section)
	}
	id, err1 := strconv.ParseUint(m[1], 0, 32)
	slot, err2 := strconv.ParseUint(m[2], 0, 32)
	if err1 != nil || err2 != nil {
		return o.refuse("section %q: want ID/SLOT, both below 2^32", p.Section)
	}
	symbol, ok := ids[uint32(id)]
	if !ok {
		return o.refuse("section %q: no prog array with id %d", p.Section, id)
	}
	p.Tail = Tail{Map: symbol, Slot: uint32(slot)}
	if o.mapBySymbol(symbol).role == rolePolicyCall {
		if o.Kind != LXC {
			return o.refuse("section %q: a pod's policy program in %s", p.Section, o.Kind)
		}
		p.Tail.PerEndpoint = true
		p.Entry, p.IsEntry = dataplane.PolicyProg, true
		return nil
	}
	if size := o.mapBySymbol(symbol).Spec.MaxEntries; uint32(slot) >= size {
		return o.refuse("section %q: slot %d of map %s, which has %d", p.Section, slot, symbol, size)
	}
	return nil
}

// checkEntries refuses an object that lacks what its kind must have, and two programs for one place.
func (o *Object) checkEntries() error {
	need := map[Kind]dataplane.Prog{LXC: dataplane.FromContainer, Host: dataplane.FromHost, Overlay: dataplane.FromOverlay}[o.Kind]
	if _, err := o.Entry(need); err != nil {
		return err
	}
	places := map[Tail]string{}
	entries := map[dataplane.Prog]string{}
	for i := range o.Programs {
		p := &o.Programs[i]
		if p.Tail.Map != "" {
			t := p.Tail
			if t.PerEndpoint {
				t.Slot = 0
			}
			if other, ok := places[t]; ok {
				return o.refuse("sections %q and %q are for the same slot", other, p.Section)
			}
			places[t] = p.Section
		}
		if p.IsEntry {
			if other, ok := entries[p.Entry]; ok {
				return o.refuse("sections %q and %q are both %s", other, p.Section, p.Entry)
			}
			entries[p.Entry] = p.Section
		}
	}
	return nil
}

// isInline tells an instruction that holds a constant.
func (o *Object) isInline(program, instruction int) bool {
	_, found := slices.BinarySearchFunc(o.inline, [2]int{program, instruction}, func(c inlineConstant, at [2]int) int {
		return cmp.Or(cmp.Compare(c.program, at[0]), cmp.Compare(c.instruction, at[1]))
	})
	return found
}

// checkReferences refuses instructions that refer to what is not there or not supported.
func (o *Object) checkReferences() error {
	for i := range o.Programs {
		p := &o.Programs[i]
		functions := map[string]bool{}
		for _, ins := range p.Instructions {
			if s := ins.Symbol(); s != "" {
				functions[s] = true
			}
		}
		for j, ins := range p.Instructions {
			ref := ins.Reference()
			switch {
			case ins.IsKfuncCall():
				return o.refuse("section %q: calls the kernel function %q; only helpers are supported", p.Section, ref)
			case ref == "":
				if ins.IsFunctionReference() {
					return o.refuse("section %q, instruction %d: calls a function without a name", p.Section, j)
				}
				if ins.IsLoadFromMap() {
					return o.refuse("section %q, instruction %d: loads a map without a name", p.Section, j)
				}
			case functions[ref], o.isInline(i, j):
			case ins.IsLoadFromMap():
				if o.mapBySymbol(ref) == nil {
					return o.refuse("section %q refers to %q, which is no map that hooklab knows", p.Section, ref)
				}
			case ins.IsFunctionReference() || ins.OpCode.Class() == asm.LdClass:
				return o.refuse("section %q refers to the undefined symbol %q", p.Section, ref)
			}
		}
	}
	return nil
}
