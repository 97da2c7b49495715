package generate

// arms remember which choices led to packets that went new ways through the datapath, so
// that they are made more often.
type arms struct {
	base *arms // read only
	tab  map[arm]*record
	used []arm // since the last packet
}

// arm is one alternative of a choice.
type arm struct {
	choice string
	index  int
}

type record struct{ uses, fresh int }

func newArms(base *arms) *arms { return &arms{base: base, tab: map[arm]*record{}} }

// weight is between 4 for what never showed anything new lately and 24 for what always
// does; what was never tried counts as that.
func (a *arms) weight(x arm) int {
	var r record
	for _, t := range []*arms{a.base, a} {
		if t == nil {
			continue
		}
		if y := t.tab[x]; y != nil {
			r.uses += y.uses
			r.fresh += y.fresh
		}
	}
	return 4 + 20*(r.fresh+2)/(r.uses+2)
}

// pick chooses one of n alternatives.
func (g *maker) pick(choice string, n int) int {
	total := 0
	weights := make([]int, n)
	for i := range n {
		weights[i] = g.weight(arm{choice, i})
		total += weights[i]
	}
	x := g.IntN(total)
	i := 0
	for ; x >= weights[i]; i++ {
		x -= weights[i]
	}
	g.used = append(g.used, arm{choice, i})
	return i
}

// credit says how the packet went that the last choices led to.
func (a *arms) credit(fresh bool) {
	for _, x := range a.used {
		r := a.tab[x]
		if r == nil {
			r = &record{}
			a.tab[x] = r
		}
		r.uses++
		if fresh {
			r.fresh++
		}
	}
	a.used = a.used[:0]
}

// decay halves old experience, because what was new once is not any more.
const decay = 1 << 12

func (a *arms) merge(o *arms) {
	for x, r := range o.tab {
		have := a.tab[x]
		if have == nil {
			have = &record{}
			a.tab[x] = have
		}
		have.uses += r.uses
		have.fresh += r.fresh
		if have.uses > decay {
			have.uses /= 2
			have.fresh /= 2
		}
	}
}
