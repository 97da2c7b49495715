package bytecode

import (
	"fmt"
	"unsafe"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

const (
	stackSize    = 512 // of a frame (MAX_BPF_STACK)
	maxFrames    = 8   // MAX_CALL_FRAMES
	maxTailCalls = 33  // MAX_TAIL_CALL_CNT

	// maxSteps bounds the instructions of a run. The verifier accepts no program that
	// takes more than a million for each tail call.
	maxSteps = (maxTailCalls + 1) * maxInsns
)

// registers are r0 to r10; the array is longer so that four bits are always an index.
type registers = [16]uint64

// callFrame is what a call leaves behind for its return.
type callFrame struct {
	ret   *inst
	code  *decoder
	prog  *program
	saved [4]uint64 // r6 to r9
}

// machineObject is a permanent region: it stands for a map, or is memory that belongs to a program.
type machineObject struct {
	kind                        objectKind
	name                        string
	m                           maps.Live       // kindMap
	calls                       *maps.ProgArray // kindPrograms
	keySize, valueSize, entries uint32
	values                      uint64 // kindScratch: address of the first value

	traced   trace.Map // its name in a trace
	endpoint uint16
}

// describe takes over a map's sizes.
func (o *machineObject) describe(s maps.Spec) {
	o.keySize, o.valueSize, o.entries = s.KeySize, s.ValueSize, s.MaxEntries
}

// machine is the virtual processor of a node: registers, memory, the current run.
type machine struct {
	regions []region
	objects []machineObject // by region: what stands there permanently; the rest of regions is of the run
	tails   []*program      // by program id - 1; nil is free

	p       *dataplane.Packet
	env     *dataplane.Env
	failing Failing
	meta    metadata
	verdict dataplane.Verdict
	fault   *Fault

	depth  int // frames below the current one
	frames [maxFrames]callFrame
	stack  [maxFrames*stackSize + 8]byte // a bit more, so that a pointer to the end of a frame is inside
	used   int                           // bytes of the stack that runs may have written

	prog     *program // running
	code     *decoder
	steps    int64 // left
	maxSteps int64 // of a run
	tailLeft int

	cover    bool     // count lines in all runs
	traced   *program // the program that a trace has entered
	text     []byte   // of a helper call in a trace
	scratch  []byte   // a packet that has outgrown its buffer
	record   []byte   // of a ring buffer
	reserved uint64   // its address while a program fills it, else 0
}

func newMachine() *machine {
	m := &machine{maxSteps: maxSteps}
	m.regions = make([]region, firstRegion, 64)
	m.objects = make([]machineObject, firstRegion)
	m.regions[regionStack] = regionOf(m.stack[:maxFrames*stackSize])
	return m
}

// reset begins a run.
func (m *machine) reset(p *dataplane.Packet, env *dataplane.Env) {
	m.p, m.env = p, env
	m.meta = metadata{protocol: protocolOf(p), network: header.EthernetSize, wireLen: uint32(len(p.Data))}
	m.verdict, m.fault, m.reserved = dataplane.Verdict{}, nil, 0
	m.depth, m.steps, m.tailLeft = 0, m.maxSteps, maxTailCalls
	clear(m.stack[:m.used])
	m.used = stackSize
	m.regions = m.regions[:len(m.objects)]
	m.regions[regionPacket] = regionOf(p.Data)
}

// moved tells the program's view of the packet that the frame has another place or length.
func (m *machine) moved() { m.regions[regionPacket] = regionOf(m.p.Data) }

// run executes a program on a packet and returns what it returned in the lower half of r0. The
// error is a *Fault.
func (m *machine) run(prog *program, p *dataplane.Packet, env *dataplane.Env) (uint32, error) {
	m.reset(p, env)
	m.traced = nil
	m.enter(prog)
	ret, at := m.exec()
	if p.Trace != nil {
		m.traceEnd(code.Ret(int32(ret)))
	}
	if m.fault != nil {
		m.locate(at)
		return 0, m.fault
	}
	return uint32(ret), nil
}

// enter makes prog the running program.
func (m *machine) enter(prog *program) {
	m.prog, m.code = prog, prog.plain
	if m.p.Trace != nil {
		m.traceEnter(prog)
	}
	if m.p.Trace != nil || m.cover {
		m.code = prog.instrumented()
	}
}

// locate fills in where a fault happened.
func (m *machine) locate(at *inst) {
	i := int(uintptr(unsafe.Pointer(at))-uintptr(unsafe.Pointer(&m.code.code[0]))) / int(instSize)
	m.fault.Program, m.fault.PC = m.prog.name, int(m.code.at[i])
	if l, ok := m.prog.lineAt(m.fault.PC); ok {
		m.fault.Source = fmt.Sprintf("%s:%d", l.File, l.Line)
	}
}

// addObject makes a permanent region and returns its number, which is free again after removeObject.
func (m *machine) addObject(o machineObject, g region) uint32 {
	for id := firstRegion; id < len(m.objects); id++ {
		if m.objects[id].kind == kindFree {
			m.objects[id], m.regions[id] = o, g
			return uint32(id)
		}
	}
	m.regions = append(m.regions[:len(m.objects)], g)
	m.objects = append(m.objects, o)
	return uint32(len(m.objects) - 1)
}

// removeObject forgets a permanent region.
func (m *machine) removeObject(id uint32) {
	m.objects[id], m.regions[id] = machineObject{}, region{}
}

// addTail gives a program an id for prog arrays, from 1.
func (m *machine) addTail(p *program) uint32 {
	for i, t := range m.tails {
		if t == nil {
			m.tails[i] = p
			return uint32(i) + 1
		}
	}
	m.tails = append(m.tails, p)
	return uint32(len(m.tails))
}
