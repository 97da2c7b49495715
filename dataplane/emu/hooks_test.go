package emu

import (
	"sort"

	"github.com/hooklab/hooklab/dataplane"
)

// Hooks are the loaded hooks, by device and program.
func (e *Engine) Hooks() []dataplane.Hook {
	hs := make([]dataplane.Hook, 0, len(e.hooks))
	for _, o := range e.objects {
		for h := range o.hooks {
			hs = append(hs, h)
		}
	}
	sort.Slice(hs, func(i, j int) bool {
		if hs[i].Ifindex != hs[j].Ifindex {
			return hs[i].Ifindex < hs[j].Ifindex
		}
		return hs[i].Prog < hs[j].Prog
	})
	return hs
}
