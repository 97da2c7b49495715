package kernel

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/netns"
)

// Probe tries what BPF programs of the datapath need of the kernel. It leaves nothing behind.
func Probe() []netns.Feature {
	return []netns.Feature{
		{Name: "bpf syscall", Err: reason(probeMap())},
		{Name: "memlock", Err: reason(rlimit.RemoveMemlock())},
		{Name: "BTF", Err: reason(probeBTF())},
		{Name: "SCHED_CLS", Err: reason(features.HaveProgramType(ebpf.SchedCLS))},
		{Name: "redirect_peer", Err: reason(features.HaveProgramHelper(ebpf.SchedCLS, asm.FnRedirectPeer))},
		{Name: "redirect_neigh", Err: reason(features.HaveProgramHelper(ebpf.SchedCLS, asm.FnRedirectNeigh))},
		{Name: "BPF_PROG_TEST_RUN", Err: reason(probeTestRun())},
		{Name: "tcx", Err: reason(probeTCX())},
		{Name: "bpffs", Err: reason(probeBPFFS())},
	}
}

// reason makes the kernel's refusal one that a user understands.
func reason(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, netns.ErrPermission):
		return err
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (root): %w", netns.ErrPermission, err)
	}
	return err
}

func probeMap() error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return err
	}
	return m.Close()
}

// probeBTF asks for the kernel's own types and for taking a program's.
func probeBTF() error {
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		return fmt.Errorf("the kernel has no BTF of its own (CONFIG_DEBUG_INFO_BTF): %w", err)
	}
	return withHarness(func(*ebpf.Program) error { return nil })
}

// withHarness loads what every run begins with.
func withHarness(f func(*ebpf.Program) error) (err error) {
	c, err := newControl()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	targets, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return err
	}
	defer targets.Close() //nolint:errcheck // nothing was written
	p, err := newHarness(c.m.FD(), targets.FD(), nil)
	if err != nil {
		return err
	}
	defer p.Close() //nolint:errcheck // nothing was written
	return f(p)
}

func probeTestRun() error {
	return withHarness(func(p *ebpf.Program) error {
		_, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 64), DataOut: make([]byte, 128)})
		return err
	})
}

func probeTCX() error {
	n, err := netns.New("")
	if err != nil {
		return err
	}
	defer n.Close() //nolint:errcheck // nothing was asked of it
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return err
	}
	defer p.Close() //nolint:errcheck // nothing was written
	return n.Do(func() error {
		l, err := link.AttachTCX(link.TCXOptions{Interface: loopbackIfindex, Program: p, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return fmt.Errorf("attach by tcx (Linux 6.6): %w", err)
		}
		return l.Close()
	})
}

// probeBPFFS makes a BPF file system that is mounted nowhere.
func probeBPFFS() error {
	fs, err := unix.Fsopen("bpf", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open a BPF file system: %w", err)
	}
	defer unix.Close(fs) //nolint:errcheck // nothing was written
	if err := unix.FsconfigCreate(fs); err != nil {
		return fmt.Errorf("make a BPF file system: %w", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return fmt.Errorf("mount a BPF file system: %w", err)
	}
	return unix.Close(mount)
}
