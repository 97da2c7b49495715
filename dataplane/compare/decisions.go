package compare

import (
	"fmt"
	"slices"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// Decisions are the decisions of the datapath that compared packets reached: the
// functions with the codes they returned, and for each question to a map and each tail
// call whether it was answered, missed, or both.
type Decisions struct {
	funcs map[trace.Func]map[code.Ret]bool
	asked map[decision]outcomes
}

// decision is a question that a function asks.
type decision struct {
	in   trace.Func
	kind trace.Kind
	of   trace.Map
	slot uint32
}

type outcomes struct{ hit, miss bool }

func newDecisions() *Decisions {
	return &Decisions{funcs: map[trace.Func]map[code.Ret]bool{}, asked: map[decision]outcomes{}}
}

func (d *Decisions) add(o *Outcome) {
	w := newWalk(o.trace)
	if w == nil {
		return
	}
	for i := range w.steps {
		s := &w.steps[i]
		switch s.Kind {
		case trace.KindLeave:
			if d.funcs[s.Func] == nil {
				d.funcs[s.Func] = map[code.Ret]bool{}
			}
			d.funcs[s.Func][s.Ret] = true
		case trace.KindLookup, trace.KindTailCall:
			k := decision{in: w.open[i], kind: s.Kind, of: s.Map}
			hit := len(w.buf.Value(s)) > 0
			if s.Kind == trace.KindTailCall {
				hit = !s.Ret.IsErr()
				if s.Map != trace.MapPolicyCall { // whose slots are endpoints
					k.slot = s.Slot
				}
			}
			x := d.asked[k]
			x.hit, x.miss = x.hit || hit, x.miss || !hit
			d.asked[k] = x
		default:
		}
	}
}

func (d *Decisions) merge(o *Decisions) {
	for f, rets := range o.funcs {
		if d.funcs[f] == nil {
			d.funcs[f] = map[code.Ret]bool{}
		}
		for r := range rets {
			d.funcs[f][r] = true
		}
	}
	for k, x := range o.asked {
		y := d.asked[k]
		d.asked[k] = outcomes{x.hit || y.hit, x.miss || y.miss}
	}
}

// FuncCoverage is what is known of one function of the datapath.
type FuncCoverage struct {
	Func    string   `json:"func"`
	File    string   `json:"file"`
	Reached bool     `json:"reached"`
	Returns []string `json:"returns,omitempty"`
	Seen    []string `json:"seen,omitempty"`   // decisions with the outcomes that were seen
	Unseen  []string `json:"unseen,omitempty"` // outcomes that were not
}

// List is the coverage of every function that the datapath has, in their order.
func (d *Decisions) List() []FuncCoverage {
	var list []FuncCoverage
	for _, f := range trace.Funcs() {
		c := FuncCoverage{Func: f.Name(), File: f.File()}
		var rets []code.Ret
		for r := range d.funcs[f] {
			rets = append(rets, r)
		}
		slices.Sort(rets)
		c.Reached = len(rets) > 0
		for _, r := range rets {
			c.Returns = append(c.Returns, retName(r))
		}
		for k, x := range d.asked {
			if k.in != f {
				continue
			}
			name := k.name()
			if x.hit {
				c.Seen = append(c.Seen, name+" hit")
			} else {
				c.Unseen = append(c.Unseen, name+" hit")
			}
			if x.miss {
				c.Seen = append(c.Seen, name+" miss")
			} else {
				c.Unseen = append(c.Unseen, name+" miss")
			}
		}
		slices.Sort(c.Seen)
		slices.Sort(c.Unseen)
		list = append(list, c)
	}
	return list
}

// retName is a function's result: the states of conntrack and positive results of
// others share their numbers, so only errors have names.
func retName(r code.Ret) string {
	const largest = 65535 // a proxy port; what is above asks the engine for a tail call
	switch {
	case r.IsErr():
		return r.String()
	case r > largest:
		return "tail call"
	}
	return fmt.Sprint(int32(r))
}

func (k decision) name() string {
	name := k.of.Name(0)
	if k.of == trace.MapPolicy {
		name = "cilium_policy"
	}
	if k.kind == trace.KindTailCall {
		if k.of == trace.MapPolicyCall {
			return "tail call into " + name
		}
		return fmt.Sprintf("tail call %d", k.slot)
	}
	return name
}
