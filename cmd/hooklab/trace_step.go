package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/maps"
)

const stepHelp = `next [N]              go on by a moment, or by N  (n)
back [N]              go back by a moment, or by N, to the exact state of then  (b)
hop                   go on to the next step outside of the running program  (h)
run [WORD]            go on to a function, map or program of that name, else to the end  (r)
where                 show where the packet is, and the functions that are open  (w)
packet                show the packet: its fields, its bytes and what has just changed  (p)
map MAP [KEY]         show a map's entries, or one with its fields  (m)
set MAP KEY FIELD=VALUE...
                      change fields of an entry; or KEY and all its bytes as 0x...
del MAP KEY           remove an entry
hash                  show the hash of the whole state
verdict               show how it ended, once it has  (v)
help, quit            (?, q)

A map is of the node where the packet is, else of the node of MAP@NODE.
`

// stepShell is the step mode of trace: commands from a terminal or a pipe.
type stepShell struct {
	*journey.Stepper
	out  io.Writer
	node string // where the packet was last
}

// step is trace -i.
func (f *traceFlags) step(cmd *cobra.Command, c *cluster.Cluster, st *stateFiles, questions []asked) error {
	if len(questions) != 1 {
		return usageError(cmd, fmt.Errorf("-i goes through one packet: these are %d", len(questions)))
	}
	x := &questions[0]
	if x.why != "" {
		return exitWith(exitUnknown, errors.New(x.why))
	}
	for _, flag := range []string{"output", "write", "detail", "each-backend", "commit"} {
		if cmd.Flags().Changed(flag) {
			return usageError(cmd, fmt.Errorf("-i and --%s: step mode has a form of its own", flag))
		}
	}
	switch len(f.profiles) {
	case 0:
	case 1:
		var err error
		if c, err = withProfile(c, f.profiles[0]); err != nil {
			return err
		}
	default:
		return usageError(cmd, errors.New("-i goes through one journey: give one profile"))
	}
	outcome, err := stepThrough(cmd.Context(), c, st.state, x.q, cmd.InOrStdin(), cmd.OutOrStdout())
	if err != nil || outcome == "" {
		return err
	}
	return f.judge(outcome)
}

// stepThrough runs step mode until its input ends. A pipe's commands are echoed, and the
// first bad one ends it. The outcome is empty if the end has not come.
func stepThrough(ctx context.Context, c *cluster.Cluster, state journey.State, q journey.Question, in io.Reader, out io.Writer) (outcome journey.Outcome, err error) {
	st, err := journey.NewStepper(c, journey.Options{
		Engine: func(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil }, State: state,
	}, q)
	if err != nil {
		return "", stepError(err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	s := &stepShell{Stepper: st, out: out}
	_, _, tty := terminal(in)
	fmt.Fprintf(out, "%s\n", q.String())
	if tty {
		fmt.Fprintln(out, "step mode; help lists the commands")
	}
	input := bufio.NewScanner(in)
	last := ""
	for line := 1; ctx.Err() == nil; line++ {
		fmt.Fprint(out, s.prompt())
		if !input.Scan() {
			fmt.Fprintln(out)
			break
		}
		text := strings.TrimSpace(input.Text())
		if !tty {
			fmt.Fprintln(out, text)
		}
		if text == "" && tty {
			text = last // as debuggers do
		}
		last = text
		if text == "" || text[0] == '#' {
			continue
		}
		if text == "quit" || text == "q" {
			break
		}
		if err := s.do(strings.Fields(text)); err != nil {
			if !tty {
				return "", stepError(fmt.Errorf("line %d: %s: %w", line, text, err))
			}
			fmt.Fprintf(out, "%v\n", err)
		}
	}
	if j := s.Journey(); j != nil {
		outcome = j.Verdict.Outcome
	}
	return outcome, input.Err()
}

// stepError gives what the user did wrong its exit code.
func stepError(err error) error {
	if errors.Is(err, journey.ErrQuestion) || errors.Is(err, journey.ErrEntry) || errors.Is(err, errStep) {
		return exitWith(exitUsage, err)
	}
	return err
}

// errStep is wrapped by the errors of commands.
var errStep = errors.New("bad command")

func (s *stepShell) prompt() string {
	if s.Journey() != nil {
		return "(end) "
	}
	return fmt.Sprintf("(%d) ", s.Now().N)
}

// do does one command.
func (s *stepShell) do(words []string) error {
	args := words[1:]
	switch words[0] {
	case "next", "n":
		return s.times(args, s.Next)
	case "back", "b":
		return s.times(args, s.Back)
	case "hop", "h":
		program := s.Now().Program
		return s.until(func(m *journey.Moment) bool {
			return m.Program == "" || m.Program != program || m.Func == "" && strings.HasPrefix(m.Text, "= ")
		})
	case "run", "r":
		return s.runTo(args)
	case "where", "w":
		s.where()
	case "packet", "p":
		s.packet()
	case "map", "m":
		return s.showMap(args)
	case "set", "del":
		return s.change(words[0], args)
	case "hash":
		fmt.Fprintf(s.out, "%x\n", s.Hash())
	case "verdict", "v":
		j := s.Journey()
		if j == nil {
			return fmt.Errorf("%w: the end has not come yet; run goes there", errStep)
		}
		return j.WriteText(s.out, journey.TextOptions{Detail: journey.Summary})
	case "help", "?":
		fmt.Fprint(s.out, stepHelp)
	default:
		return fmt.Errorf("%w: %q; help lists the commands", errStep, words[0])
	}
	return nil
}

// times moves once or as often as the argument says, and shows each moment.
func (s *stepShell) times(args []string, move func() (bool, error)) error {
	n := 1
	if len(args) > 0 {
		var err error
		if n, err = strconv.Atoi(args[0]); err != nil || n < 1 || len(args) > 1 {
			return fmt.Errorf("%w: %q is no number of moments", errStep, strings.Join(args, " "))
		}
	}
	for range n {
		ok, err := move()
		if err != nil {
			return err
		}
		if !ok {
			s.edge()
			return nil
		}
		s.show()
	}
	return nil
}

// until goes on to a moment, and shows it.
func (s *stepShell) until(there func(*journey.Moment) bool) error {
	for {
		ok, err := s.Next()
		switch {
		case err != nil:
			return err
		case !ok:
			s.edge()
			return nil
		case there(s.Now()):
			s.show()
			return nil
		}
		s.follow()
	}
}

func (s *stepShell) runTo(args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%w: run to one function, map or program", errStep)
	}
	return s.until(func(m *journey.Moment) bool {
		return len(args) == 1 && (m.Func == args[0] || m.Map == args[0] || m.Program == args[0] && strings.HasPrefix(m.Text, "▶"))
	})
}

// edge says that there is nothing more in the direction of the last move.
func (s *stepShell) edge() {
	if j := s.Journey(); j != nil {
		fmt.Fprintln(s.out, j.Verdict.String())
		return
	}
	fmt.Fprintln(s.out, "this is the beginning")
}

// follow remembers the node where the packet is.
func (s *stepShell) follow() {
	if node, ok := strings.CutPrefix(s.Now().Place, "node "); ok {
		s.node = node
	}
}

// show shows the moment in a line.
func (s *stepShell) show() {
	s.follow()
	m := s.Now()
	if m.N == 0 {
		s.edge()
		return
	}
	where := strings.TrimPrefix(strings.TrimPrefix(m.Place, "node "), "pod ")
	if m.Program != "" {
		where += " " + m.Program
	} else if m.Device != "" {
		where += " " + m.Device
	}
	fmt.Fprintf(s.out, "%-4d %s │ %s%s\n", m.N, where, strings.Repeat("  ", m.Depth), m.Text)
}

func (s *stepShell) where() {
	m := s.Now()
	if m.N == 0 {
		s.edge()
		return
	}
	name := "not on its way yet"
	if m.Packet != 0 {
		name = fmt.Sprintf("packet %d", m.Packet)
	}
	fmt.Fprintf(s.out, "%s, %s\nat %s", name, m.Summary, m.Place)
	if m.Device != "" {
		fmt.Fprintf(s.out, ", device %s", m.Device)
	}
	if m.Program != "" {
		fmt.Fprintf(s.out, ", program %s", m.Program)
	}
	fmt.Fprintln(s.out)
	for _, f := range slices.Backward(m.Stack) {
		fmt.Fprintf(s.out, "  %s\n", f)
	}
}

// packet shows fields and bytes; what the last move changed is marked.
func (s *stepShell) packet() {
	m := s.Now()
	if m.N == 0 {
		s.edge()
		return
	}
	fmt.Fprintf(s.out, "%s, %d bytes, mark 0x%x\n", dissect.Summary(m.Frame), len(m.Frame), m.Mark)
	before := map[string]string{}
	for _, c := range m.Changes {
		before[c.Field] = c.Before
	}
	for _, f := range dissect.Fields(m.Frame) {
		line := fmt.Sprintf("  %-18s %s", f.Name, f.Value)
		if was, ok := before[f.Name]; ok {
			line += "   ← " + was
		}
		fmt.Fprintln(s.out, line)
	}
	for at := 0; at < len(m.Frame); at += 16 {
		fmt.Fprintf(s.out, "  %04x  % x\n", at, m.Frame[at:min(at+16, len(m.Frame))])
	}
}

// mapOf reads MAP or MAP@NODE.
func (s *stepShell) mapOf(word string) (node, name string) {
	name, node, found := strings.Cut(word, "@")
	if !found {
		node = s.node
	}
	if nodes := s.Nodes(); node == "" && len(nodes) > 0 {
		node = nodes[0]
	}
	return node, name
}

func (s *stepShell) showMap(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: map wants a name", errStep)
	}
	node, name := s.mapOf(args[0])
	if key := strings.Join(args[1:], " "); key != "" {
		e, err := s.Entry(node, name, key)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s of %s\n  %s   %s\n", name, node, e.Key, e.Value)
		for _, f := range e.Fields {
			fmt.Fprintf(s.out, "    %s=%s\n", f.Name, f.Value)
		}
		fmt.Fprintf(s.out, "    0x%x 0x%x\n", e.Bytes[0], e.Bytes[1])
		return nil
	}
	entries, err := s.Entries(node, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s of %s: %d entries\n", name, node, len(entries))
	for _, e := range entries {
		fmt.Fprintf(s.out, "  %s   %s\n", e.Key, e.Value)
	}
	return nil
}

// change does set and del. A key may have blanks: the fields are what has an equals sign
// at the end, or one word in hex.
func (s *stepShell) change(verb string, args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("%w: %s wants a map and a key", errStep, verb)
	}
	node, name := s.mapOf(args[0])
	if verb == "del" {
		key := strings.Join(args[1:], " ")
		if err := s.Delete(node, name, key); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "- %s %s\n", name, key)
		return nil
	}
	from := len(args)
	for from > 2 && (strings.Contains(args[from-1], "=") || from == len(args) && strings.HasPrefix(args[from-1], "0x")) {
		from--
	}
	key, values := strings.Join(args[1:from], " "), args[from:]
	if len(values) == 0 {
		return fmt.Errorf("%w: set wants FIELD=VALUE, or all bytes as 0x and hex digits", errStep)
	}
	if err := s.Set(node, name, key, values); err != nil {
		return err
	}
	e, err := s.Entry(node, name, key)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "± %s %s: %s\n", name, e.Key, e.Value)
	return nil
}
