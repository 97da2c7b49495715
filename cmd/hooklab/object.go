package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/kernel"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// objects are the BPF objects that an engine runs: hooklab's own, or those of a directory.
type objects struct {
	dir     string            // "" is hooklab's own
	clsact  bool              // attach as before Linux 6.6
	defines map[string]string // constants that are compiled into the objects and in no header beside them
}

// register adds the flags --object and --define.
func (o *objects) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.dir, "object", "", "`DIR` with bpf_lxc.o, bpf_host.o and bpf_overlay.o to run instead of hooklab's own")
	registerDefine(cmd, &o.defines)
	if err := cmd.MarkFlagDirname("object"); err != nil {
		panic(err) // the lines above define it
	}
}

// bundle reads the objects.
func (o *objects) bundle() (*object.Bundle, error) {
	if o.dir == "" {
		return object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	}
	return object.Read(o.dir, o.defines)
}

// adopt lets a cluster have the constants that are compiled into the objects of a directory.
func (o *objects) adopt(c *cluster.Cluster) error {
	if o.dir == "" {
		return nil
	}
	b, err := o.bundle()
	if err != nil {
		return err
	}
	if err := c.Adopt(b.Config); err != nil {
		return fmt.Errorf("objects of %s: %w", o.dir, err)
	}
	return nil
}

// registerDefine adds the flag --define.
func registerDefine(cmd *cobra.Command, into *map[string]string) {
	cmd.Flags().StringToStringVar(into, "define", nil, "`NAME=VALUE` of a constant that is compiled into the objects and in none of the headers beside them")
}

// runners are the engines that run in this process, by name.
func (o *objects) runners() map[string]func(*maps.Set) (dataplane.Runner, error) {
	var b *object.Bundle // read once, by the first node
	return map[string]func(*maps.Set) (dataplane.Runner, error){
		engineEmulated: func(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil },
		bytecode.Name: func(m *maps.Set) (dataplane.Runner, error) {
			if b == nil {
				var err error
				if b, err = o.bundle(); err != nil {
					return nil, err
				}
			}
			return bytecode.New(m, b), nil
		},
	}
}

// attachers are the engines that run in the kernel, by name.
func (o *objects) attachers() map[string]lab.Attacher {
	var b *object.Bundle // read once, by the first node
	return map[string]lab.Attacher{
		engineKernel: func(ns *netns.NS) (dataplane.Attacher, error) {
			if b == nil {
				var err error
				if b, err = o.bundle(); err != nil {
					return nil, err
				}
			}
			return kernel.NewAttacher(b, ns, kernel.AttachOptions{Clsact: o.clsact})
		},
	}
}

// check refuses objects if no engine runs any, and reads them, so that what is wrong is said before anything is made.
func (o *objects) check(cmd *cobra.Command, engines ...string) error {
	if len(o.defines) > 0 && o.dir == "" {
		return usageError(cmd, errors.New("--define is for --object"))
	}
	if !slices.ContainsFunc(engines, func(e string) bool { return e != engineEmulated }) {
		if cmd.Flags().Changed("object") {
			return usageError(cmd, fmt.Errorf("--object: engine %s runs no objects; --engine %s and --engine %s do", engineEmulated, bytecode.Name, engineKernel))
		}
		return nil
	}
	_, err := o.bundle()
	return err
}
