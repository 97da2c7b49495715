package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane"
)

// timing is what Time needs beside a run: a harness that restores the frame, too, and a program that does nothing.
type timing struct {
	harness *ebpf.Program
	nothing *ebpf.Program
	slot    uint32 // of nothing
}

// maxTimed is the longest frame that Time takes.
const maxTimed = 256

// Time runs a packet n times, each time from the same bytes and metadata, in one system call without leaving the kernel, and
// returns what one run takes, as the kernel measures it, and how much of that is the harness, which the same n runs of an
// empty program tell. Notifications are lost.
func (e *Engine) Time(h dataplane.Hook, p *dataplane.Packet, env *dataplane.Env, n int) (run, harness time.Duration, err error) {
	wrap := func(err error) (time.Duration, time.Duration, error) {
		return 0, 0, fmt.Errorf("time %s on ifindex %d: %w", h.Prog, h.Ifindex, err)
	}
	slot, err := e.timed(h, p)
	if err != nil {
		return wrap(err)
	}
	if err := e.startTiming(); err != nil {
		return wrap(err)
	}
	var took [2]time.Duration
	for i, slot := range []uint32{e.timing.slot, slot} {
		e.prepare(slot, p, env)
		e.control.FrameLen = uint32(copy(e.control.Frame[:], p.Data))
		e.run.attr.fd, e.run.attr.repeat = uint32(e.timing.harness.FD()), uint32(n)
		if err := e.devices.do(e.testRun); err != nil {
			return wrap(err)
		}
		if err := e.run.err; err != nil {
			return wrap(e.explain(err, len(p.Data)))
		}
		if e.control.missed != 0 {
			return wrap(fmt.Errorf("the harness could not enter the program: its slot is empty"))
		}
		took[i] = time.Duration(e.run.attr.duration)
	}
	e.events.stale = true
	return took[1], took[0], nil
}

// TimeCalls runs a packet n times with a system call for each, as Run does, and returns the CPU time of one: what the
// kernel's answer about a packet costs. Neither maps nor notifications are read.
func (e *Engine) TimeCalls(h dataplane.Hook, p *dataplane.Packet, env *dataplane.Env, n int) (time.Duration, error) {
	slot, err := e.timed(h, p)
	var took time.Duration
	if err == nil {
		err = e.devices.do(func() {
			start := threadTime()
			for range n {
				e.prepare(slot, p, env)
				if e.testRun(); e.run.err != nil {
					return
				}
			}
			took = threadTime() - start
		})
	}
	if err = cmp.Or(err, e.run.err); err != nil {
		return 0, fmt.Errorf("time %s on ifindex %d: %w", h.Prog, h.Ifindex, err)
	}
	e.events.stale = true
	return took / time.Duration(n), nil
}

// timed is the slot of a hook's program, if a packet can be run there.
func (e *Engine) timed(h dataplane.Hook, p *dataplane.Packet) (uint32, error) {
	slot, ok := e.hooks[h]
	if !ok {
		return 0, errors.New("not loaded")
	}
	if len(p.Data) < minIPv4 || len(p.Data) > maxTimed {
		return 0, fmt.Errorf("a frame of %d bytes: want %d to %d", len(p.Data), minIPv4, maxTimed)
	}
	return slot, e.devices.ensure(p.Ifindex)
}

// threadTime is the time that the calling thread has had a CPU.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // every Linux has it
	}
	return time.Duration(t.Nano())
}

// startTiming loads what Time needs, once.
func (e *Engine) startTiming() error {
	if e.timing.harness != nil {
		return nil
	}
	nothing, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "hooklab_nothing", Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return err
	}
	e.timing.nothing, e.timing.slot = nothing, e.slots
	e.slots++
	if err := e.targets.Update(e.timing.slot, uint32(nothing.FD()), ebpf.UpdateAny); err != nil {
		return err
	}
	e.timing.harness, err = newHarness(e.control.m.FD(), e.targets.FD(), restoreFrame())
	return err
}

// restoreFrame writes control.Frame over the frame. It belongs behind harnessMain's first instructions, which leave the
// context in r6 and the page in r7.
func restoreFrame() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R4, asm.R7, offFrameLen, asm.Word),
		asm.JEq.Imm(asm.R4, 0, "restored"),
		asm.JGT.Imm(asm.R4, maxTimed, "restored"),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.R7),
		asm.Add.Imm(asm.R3, int32(offFrame)),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnSkbStoreBytes.Call(),
		asm.Mov.Imm(asm.R1, 0).WithSymbol("restored"),
	}
}
