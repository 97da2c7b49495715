package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/kernel"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
)

// Names of engines; that of bytecode is its package's.
const (
	engineEmulated = "emulated"
	engineKernel   = "kernel"
)

// engineHelp tells the engines apart.
const engineHelp = `Engines: emulated is hooklab's datapath in Go. bytecode runs BPF objects in a virtual
machine, without privileges: hooklab's own twin of Cilium's datapath, or with --object your
own bpf_lxc.o, bpf_host.o and bpf_overlay.o. kernel runs the same objects in the kernel
by BPF_PROG_TEST_RUN, as root. recorded:DIR, on the right side, is packets recorded through
the real programs.`

// engineNames are the engines that a side of compare may be.
func engineNames() []string { return []string{engineEmulated, bytecode.Name, engineKernel} }

// engine finds the engine of a name.
func (f *compareFlags) engine(name string) (compare.Engine, error) {
	e := compare.Engine{Name: name}
	if name == engineEmulated {
		e.Source = "hooklab's Go datapath"
		e.New = func() (dataplane.Runner, error) { return emu.New(maps.NewSet(maps.Sizes{})), nil }
		e.Fail = failEmulated
		if f.objects != "" { // the other side's constants are compiled in
			b, _, err := bundle(f.objects, f.defines)
			if err != nil {
				return e, err
			}
			e.Config = b.Config
		}
		return e, nil
	}
	if name != bytecode.Name && name != engineKernel {
		return e, usagef("engine %q: allowed: %s, and recorded:DIR on the right", name, strings.Join(engineNames(), ", "))
	}
	b, source, err := bundle(f.objects, f.defines)
	if err != nil {
		return e, err
	}
	e.Source, e.Config = source, b.Config
	if e.Foreign = f.objects != ""; !e.Foreign {
		e.Function, e.Defines = bpf.Function, bpf.Defines
	}
	if name == engineKernel {
		e.New = func() (dataplane.Runner, error) {
			r, err := kernel.New(b, kernel.Options{})
			if errors.Is(err, netns.ErrPermission) || errors.Is(err, dataplane.ErrNotSupported) {
				err = fmt.Errorf("%w; --engines emulated,bytecode needs no privileges and no kernel support", err)
			}
			return r, err
		}
		return e, nil
	}
	e.New = func() (dataplane.Runner, error) { return bytecode.New(maps.NewSet(maps.Sizes{}), b), nil }
	e.Fail = failBytecode
	return e, nil
}

// failEmulated and failBytecode make helpers of a runner fail.
func failEmulated(r dataplane.Runner, f compare.Failures) {
	if e, ok := r.(*emu.Engine); ok {
		e.SetFaults(failing(f, emu.FailStoreBytes, emu.FailL4CsumReplace, emu.FailMapUpdate))
	}
}

func failBytecode(r dataplane.Runner, f compare.Failures) {
	if e, ok := r.(*bytecode.Engine); ok {
		e.SetFailing(failing(f, bytecode.FailStoreBytes, bytecode.FailL4Csum, bytecode.FailCTUpdate))
	}
}

// failing is a comparison's choice of helpers in an engine's bits.
func failing[F ~uint8](f compare.Failures, store, csum, update F) (out F) {
	for i, bit := range []F{store, csum, update} {
		if f&(1<<i) != 0 {
			out |= bit
		}
	}
	return out
}

// bundle is the objects of a directory, hooklab's own without one, and what to call them
// in a report: each by the beginning of its SHA-256.
func bundle(dir string, defines map[string]string) (*object.Bundle, string, error) {
	files := [][]byte{bpf.LXC(), bpf.Host(), bpf.Overlay()}
	names := []string{"bpf_lxc.o", "bpf_host.o", "bpf_overlay.o"}
	whose := "hooklab's twin"
	if dir != "" {
		whose = "objects of " + dir
		for i, name := range names {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return nil, "", exitWith(exitUsage, err)
			}
			files[i] = data
		}
	}
	for i, name := range names {
		whose += fmt.Sprintf(", %s sha256 %x", name, sha256.Sum256(files[i]))
	}
	if dir != "" {
		b, err := object.Read(dir, defines)
		return b, whose, err
	}
	b, err := object.NewBundle(files[0], files[1], files[2])
	return b, whose, err
}
