package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
)

// run is the memory of test runs.
type run struct {
	attr testRunAttr
	ctx  [skbSize]byte
	in   []byte
	out  []byte
	err  error
}

const (
	skbSize  = 192 // of struct __sk_buff
	minFrame = header.EthernetSize
	outRoom  = 256 // what a program may add to a frame
)

// etherTypeHold is what a frame that is too short for its type is submitted with; the harness restores the type. It is one of
// those for local experiments.
const etherTypeHold = 0x88b5

// Sizes below which the kernel refuses frames of a type.
const (
	etherTypeIPv4, minIPv4 = 0x0800, minFrame + 20
	etherTypeIPv6, minIPv6 = 0x86dd, minFrame + 40
)

// Run implements [dataplane.Runner]. Frames below 14 bytes and, depending on the kernel, above about 3,500 are errors: the
// kernel does not run them. A frame that changes its length is the engine's and valid until the next run.
func (e *Engine) Run(h dataplane.Hook, p *dataplane.Packet, env *dataplane.Env) (dataplane.Verdict, error) {
	slot, ok := e.hooks[h]
	if !ok {
		return dataplane.Verdict{}, fmt.Errorf("run %s on ifindex %d: not loaded", h.Prog, h.Ifindex)
	}
	wrap := func(err error) (dataplane.Verdict, error) {
		return dataplane.Verdict{}, fmt.Errorf("run %s on ifindex %d: %w", h.Prog, h.Ifindex, err)
	}
	if len(p.Data) < minFrame {
		return wrap(fmt.Errorf("a frame of %d bytes: the kernel runs frames of %d and more: %w", len(p.Data), minFrame, dataplane.ErrNotSupported))
	}
	if p.Csum.Partial {
		return wrap(fmt.Errorf("a checksum that is still to be completed: BPF_PROG_TEST_RUN takes none: %w", dataplane.ErrNotSupported))
	}
	if p.Events != nil && e.events.stale {
		if err := e.events.drain(nil); err != nil {
			return wrap(err)
		}
	}
	if err := e.devices.ensure(p.Ifindex); err != nil {
		return wrap(err)
	}
	e.prepare(slot, p, env)
	if err := e.devices.do(e.testRun); err != nil {
		return wrap(err)
	}
	if err := e.run.err; err != nil {
		return wrap(e.explain(err, len(p.Data)))
	}
	e.events.stale = true
	if p.Events != nil {
		if err := e.events.drain(p.Events); err != nil {
			return wrap(err)
		}
	}
	return e.finish(p, env)
}

// prepare fills the control page and the system call.
func (e *Engine) prepare(slot uint32, p *dataplane.Packet, env *dataplane.Env) {
	c := e.control.control
	*c = control{
		KtimeNS: env.KtimeNS, Jiffies: env.Jiffies, Slot: slot, PktType: uint32(p.PktType), Hash: p.Hash,
		TCIndex: uint32(p.TCIndex), Queue: uint32(p.QueueMapping), Mark: p.Mark, CB: p.CB,
	}
	if env.Rand != nil {
		for i := range c.Rand {
			c.Rand[i] = env.Rand()
		}
	}
	if t := p.TunnelIn; t.Present {
		// A key that a program sets is one to send with; programs read a received one. The kernel keeps both in one
		// place, with the addresses exchanged.
		c.Tunnel = 1
		c.TunnelKey = tunnelKey{ID: t.ID, TTL: t.TTL, TOS: t.TOS, Local: hostOrder(t.Remote)}
	}
	r := &e.run
	r.in = append(r.in[:0], p.Data...)
	if t := binary.BigEndian.Uint16(r.in[12:]); t == etherTypeIPv4 && len(r.in) < minIPv4 || t == etherTypeIPv6 && len(r.in) < minIPv6 {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&c.EtherType)), 2), r.in[12:14])
		c.Restore = 1
		binary.BigEndian.PutUint16(r.in[12:], etherTypeHold)
	}
	if need := len(r.in) + outRoom; len(r.out) < need {
		r.out = make([]byte, need)
	}
	binary.NativeEndian.PutUint32(r.ctx[skbIngressIfindex:], p.IngressIfindex)
	binary.NativeEndian.PutUint32(r.ctx[skbIfindex:], p.Ifindex)
	r.attr = testRunAttr{
		fd: uint32(e.harness.FD()), dataIn: uint32(len(r.in)), dataOut: uint32(len(r.out)),
		in: pointer(unsafe.SliceData(r.in)), out: pointer(unsafe.SliceData(r.out)),
		ctxIn: skbSize, ctxInAt: pointer(&r.ctx[0]),
	}
}

// testRun is the system call.
func (e *Engine) testRun() {
	e.run.err = bpf(cmdProgTestRun, unsafe.Pointer(&e.run.attr), unsafe.Sizeof(e.run.attr))
	runtime.KeepAlive(e)
}

func (e *Engine) explain(err error, length int) error {
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("BPF_PROG_TEST_RUN refuses a frame of %d bytes: %w: %w", length, dataplane.ErrNotSupported, err)
	}
	return fmt.Errorf("BPF_PROG_TEST_RUN: %w", err)
}

// finish reads what came of the packet.
func (e *Engine) finish(p *dataplane.Packet, env *dataplane.Env) (dataplane.Verdict, error) {
	c := e.control.control
	switch {
	case c.missed != 0:
		return dataplane.Verdict{}, errors.New("the harness could not enter the program: its slot is empty")
	case c.tunnelErr != 0:
		return dataplane.Verdict{}, fmt.Errorf("set the tunnel key: %w (needs Linux 6.0): %w", dataplane.ErrNotSupported, unix.Errno(-int32(c.tunnelErr)))
	case c.drawn > randoms:
		return dataplane.Verdict{}, fmt.Errorf("the program drew %d random numbers: at most %d can be told before: %w", c.drawn, randoms, dataplane.ErrNotSupported)
	}
	env.Drawn += int(c.drawn)
	out := e.run.out[:e.run.attr.dataOut]
	if len(out) == len(p.Data) {
		copy(p.Data, out)
	} else {
		p.Data = out
	}
	p.Mark, p.TCIndex, p.PktType, p.QueueMapping, p.Hash, p.CB = c.mark, uint16(c.tcIndex), uint8(c.pktType), uint16(c.queue), c.hash, c.cb
	if c.tunnelSets > 0 && c.tunnelOK == 0 {
		p.TunnelOut = dataplane.TunnelKey{
			Present: true, ID: c.tunnelKey.ID, Remote: hostOrder(c.tunnelKey.Local), TTL: c.tunnelKey.TTL, TOS: c.tunnelKey.TOS,
		}
	}
	v := dataplane.Verdict{Action: code.Ret(int32(c.ret))}
	switch v.Action {
	case code.Drop:
		v.Drop = -code.Ret(c.cb[2] & 0xff) // left by send_drop_notify
	case code.Redirect:
		v.Ifindex = c.redirectTo
		if c.redirectFlags&1 != 0 {
			v.Flags |= dataplane.RedirectIngress
		}
		if c.redirectKind == redirectPeer {
			v.Flags |= dataplane.RedirectPeer
		}
	default:
	}
	return v, nil
}

// hostOrder exchanges an address between network order and that of struct bpf_tunnel_key.
func hostOrder(a [4]byte) [4]byte {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], binary.BigEndian.Uint32(a[:]))
	return b
}
