package compare

import (
	"context"
	"fmt"
	"sync"

	"github.com/hooklab/hooklab/dataplane/dissect"
)

// Feed is where packets come from: a number of scripts, each of one world.
type Feed struct {
	Title   string // "generated, seed 1"
	Scripts int
	Packets int // about how many there will be, for the progress
	// Script makes script i. It is called from several goroutines.
	Script func(i int) (*Script, error)
	// Prepare and Learn, if they are set, are called in the scripts' order, from one
	// goroutine: Prepare for all scripts of a block before it is played, Learn after.
	Prepare, Learn func(i int)
}

// Script is what happens in one world. A script is played in rounds, each of which
// begins with the maps that the agent wrote.
type Script struct {
	Scenario *Scenario // the world; the steps of each round are added to copies of it
	Rounds   int
	// Untraced runs the engines as they run in production: without a trace, which lets
	// nobody see a packet's way.
	Untraced bool
	// Begin begins a round. The function that it returns gives the next step; it is
	// told what the left side made of the packet before, nil at first, and whether that
	// packet went a new way.
	Begin func(round int, w *World) (next func(last *Outcome, fresh bool) (Step, bool, error))
}

// Play makes a script of a scenario's own steps.
func (s *Scenario) Play() *Script {
	return &Script{Scenario: s, Rounds: 1, Begin: func(_ int, w *World) func(*Outcome, bool) (Step, bool, error) {
		i := -1
		return func(last *Outcome, _ bool) (Step, bool, error) {
			if i++; i >= len(s.Steps) {
				return Step{}, false, nil
			}
			st := s.Steps[i]
			if st.talk == nil {
				return st, true, nil
			}
			in, err := st.talk.resolve(w, last)
			if err != nil {
				return st, false, inputErrorf(s.Name, st.Line, "%w", err)
			}
			st.Packet, st.talk = in, nil
			return st, true, nil
		}
	}}
}

// FeedOf are scenarios, each played once.
func FeedOf(title string, list ...*Scenario) *Feed {
	f := &Feed{Title: title, Scripts: len(list), Script: func(i int) (*Script, error) { return list[i].Play(), nil }}
	for _, s := range list {
		f.Packets += s.packets()
	}
	return f
}

// Progress is how far a run has come.
type Progress struct{ Packets, Total, Differing, Distinct int }

// Options are how to compare.
type Options struct {
	Left, Right Engine
	Workers     int            // scripts played at the same time; at least 1
	Distinct    int            // stop after a block that made it this many distinct differences; 0: never
	Shrink      int            // runs that shrinking one difference may take; 0: do not shrink
	Explain     *Engine        // runs what Right does and traces it, to find the stage of a difference; nil: Right does
	Lines       bool           // note which lines of the programs' source are reached
	Progress    func(Progress) // called from one goroutine; may be nil
}

// blockSize is how many scripts are played before the feed learns of them. It does not
// depend on the machine, so that a run gives the same with any number of workers.
const blockSize = 8

// Run compares two engines on everything that a feed has. The error says that a
// comparison was not possible.
func Run(ctx context.Context, o *Options, f *Feed) (*Report, error) {
	rep := newReport(o, f)
	for first := 0; first < f.Scripts; first += blockSize {
		end := min(first+blockSize, f.Scripts)
		if f.Prepare != nil {
			for i := first; i < end; i++ {
				f.Prepare(i)
			}
		}
		plays, err := runBlock(ctx, o, f, rep, first, end)
		if err != nil {
			return nil, err
		}
		for i, p := range plays {
			rep.add(p)
			if f.Learn != nil {
				f.Learn(first + i)
			}
		}
		if o.Progress != nil {
			o.Progress(Progress{rep.Packets, f.Packets, rep.Differing, len(rep.Differences)})
		}
		if o.Distinct > 0 && len(rep.Differences) >= o.Distinct {
			break
		}
	}
	rep.finish()
	if o.Shrink > 0 {
		for _, d := range rep.Differences {
			if err := d.shrink(ctx, o, rep.seen); err != nil {
				return nil, err
			}
		}
	}
	return rep, nil
}

// runBlock plays scripts first to end-1 on the workers.
func runBlock(ctx context.Context, o *Options, f *Feed, rep *Report, first, end int) ([]*play, error) {
	plays, errs := make([]*play, end-first), make([]error, end-first)
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(1, min(o.Workers, end-first)) {
		wg.Go(func() {
			for i := range next {
				plays[i], errs[i] = playScript(ctx, o, f, rep.seen, first+i)
			}
		})
	}
	for i := range end - first {
		next <- i
	}
	close(next)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return plays, nil
}

// play is how one script went.
type play struct {
	script    *Script
	world     *World
	packets   int
	differing int
	tally     tally
	lines     lines
	seen      *insight
	found     []*Difference // the first of each kind
	failed    []string

	unsupported []string
}

func playScript(ctx context.Context, o *Options, f *Feed, seen *insight, i int) (p *play, err error) {
	script, err := f.Script(i)
	if err != nil {
		return nil, err
	}
	w, err := script.Scenario.Build()
	if err != nil {
		return nil, err
	}
	p = &play{script: script, world: w, seen: newInsight(seen)}
	s, err := open(w, &o.Left, &o.Right, p.seen, o.Lines)
	if err != nil {
		return nil, err
	}
	if script.Untraced {
		s.left.steps, s.right.steps = nil, nil
	}
	defer func() {
		if e := s.close(); err == nil {
			err = e
		}
	}()
	for round := range script.Rounds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if round > 0 {
			if err := s.reset(); err != nil {
				return nil, err
			}
		}
		if err := p.round(s, script.Begin(round, w)); err != nil {
			return nil, fmt.Errorf("%s: %w", script.Scenario.Name, err)
		}
	}
	p.tally, p.lines = s.tally, lines{}
	if o.Lines {
		p.lines.take(s.left.runner)
		p.lines.take(s.right.runner)
	}
	return p, nil
}

// round plays one round and then looks for what the packets' own comparisons could not
// see: entries that only the right side changed.
func (p *play) round(s *session, next func(*Outcome, bool) (Step, bool, error)) error {
	record := p.script.Scenario.clone()
	record.Steps = nil
	var last *Outcome
	fresh := false
	for {
		st, ok, err := next(last, fresh)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		record.Steps = append(record.Steps, st)
		res, err := s.step(&st)
		if err != nil {
			return stepError(record.Name, &st, err)
		}
		if st.Edit != nil {
			continue
		}
		if res.unsupported != "" {
			p.unsupported = append(p.unsupported, res.unsupported)
			last, fresh = nil, false
			continue
		}
		last, fresh = res.left, s.seen.fresh
		p.packets++
		for _, e := range res.failed {
			p.failed = append(p.failed, record.Name+":"+e)
		}
		if len(res.fields) == 0 {
			continue
		}
		p.differ(record, res.fields, res.stage)
		if err := s.agree(); err != nil {
			return err
		}
	}
	if s.right.maps.set != nil {
		return nil
	}
	left, err := s.leftovers()
	if err != nil || len(left) == 0 {
		return err
	}
	return p.locate(s, record, left)
}

// stepError gives an error the line of its step, if it has one.
func stepError(file string, st *Step, err error) error {
	if st.Line == 0 {
		return err
	}
	return fmt.Errorf("%s:%d: %w", file, st.Line, err)
}

// differ notes a difference at the last step of a record.
func (p *play) differ(record *Scenario, fields []FieldDiff, stage Stage) {
	p.differing++
	d := newDifference(fields, stage)
	for _, have := range p.found {
		if have.key == d.key {
			have.Count++
			return
		}
	}
	d.scenario = record.clone()
	d.Where = record.where()
	d.world = p.world
	p.found = append(p.found, d)
}

// where names a record's last step.
func (s *Scenario) where() string {
	last := &s.Steps[len(s.Steps)-1]
	if last.Line > 0 {
		return fmt.Sprintf("%s:%d", s.Name, last.Line)
	}
	where := fmt.Sprintf("%s, packet %d", s.Name, s.packets())
	if last.Packet != nil {
		where += fmt.Sprintf(": %s on %s, %s", last.Packet.Prog, last.Packet.Device, dissect.Summary(last.Packet.Frame))
	}
	return where
}

// locate plays a round again and reads the right side's maps as a whole around every
// packet, to find the packet after which they differ.
//
// It finds nothing if the second run went another way, which is a difference too: the
// engine is not deterministic.
func (p *play) locate(s *session, record *Scenario, left []Change) error {
	counted := s.tally
	s.right.maps.full = true
	defer func() { s.right.maps.full, s.tally = false, counted }()
	if err := s.reset(); err != nil {
		return err
	}
	again := record.clone()
	again.Steps = nil
	found := false
	for i := range record.Steps {
		again.Steps = append(again.Steps, record.Steps[i])
		res, err := s.step(&record.Steps[i])
		if err != nil {
			return err
		}
		if len(res.fields) == 0 {
			continue
		}
		found = true
		p.differ(again, res.fields, res.stage)
		if err := s.agree(); err != nil {
			return err
		}
	}
	if found {
		return nil
	}
	c := contrasting{lim: &limits{}, tally: &tally{}}
	for i := range left {
		c.entry(&left[i], "", nil)
	}
	p.differ(record, c.list, Stage{Func: "the same packets gave another result the second time"})
	return nil
}
