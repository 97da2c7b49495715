package main

import (
	"strings"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/maps"
)

// Names of engines.
const (
	engineEmulated = "emulated"
)

// engineHelp tells the engines apart.
const engineHelp = `Engines: emulated is hooklab's datapath in Go; recorded:DIR is packets recorded through the
real programs.`

// engineNames are the engines that a side of compare may be.
func engineNames() []string { return []string{engineEmulated} }

// engine finds the engine of a name.
func (f *compareFlags) engine(name string) (compare.Engine, error) {
	switch name {
	case engineEmulated:
		return compare.Engine{Name: name, Source: "hooklab's Go datapath", New: func() (dataplane.Runner, error) {
			return emu.New(maps.NewSet(maps.Sizes{})), nil
		}}, nil
	}
	return compare.Engine{}, usagef("engine %q: allowed: %s, and recorded:DIR on the right", name, strings.Join(engineNames(), ", "))
}
