package compare

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/hooklab/hooklab/dataplane/dissect"
)

// Write writes the scenario as the text that Parse reads, every packet exactly. What
// only a run can know, the answers of `reply`, must have been filled in by one.
func (s *Scenario) Write(out io.Writer) error {
	w, err := s.Build()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for line := range strings.Lines(s.Note) {
		fmt.Fprintf(&b, "# %s\n", strings.TrimRight(line, "\n"))
	}
	fmt.Fprintf(&b, "node %s\n", w.Node.Name)
	for _, x := range s.Settings {
		if x.Device != "" {
			fmt.Fprintf(&b, "set %s %s %d\n", x.Name, x.Device, x.Value)
		} else {
			fmt.Fprintf(&b, "set %s %s\n", x.Name, settingText(x.Name, x.Value))
		}
	}
	now := startTime
	for i := range s.Steps {
		st := &s.Steps[i]
		if st.talk != nil {
			return inputErrorf(s.Name, st.Line, "an answer that no run has filled in cannot be written")
		}
		if st.At != now {
			now = st.At
			fmt.Fprintf(&b, "at %s\n", durationText(now))
		}
		st.write(&b, w)
	}
	a := txtar.Archive{Comment: b.Bytes()}
	for i, src := range s.Cluster {
		name := filepath.Base(src.Name)
		if j := strings.LastIndexByte(src.Name, ':'); j >= 0 {
			name = filepath.Base(src.Name[j+1:])
		}
		if ext := filepath.Ext(name); ext != ".yaml" && ext != ".yml" && ext != ".json" {
			name = fmt.Sprintf("cluster%d.yaml", i+1)
		}
		a.Files = append(a.Files, txtar.File{Name: name, Data: src.Data})
	}
	_, err = out.Write(txtar.Format(&a))
	return err
}

// durationText is a duration without zero units behind: 1h30m, 90.5s.
func durationText(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return d.String()
}

// write writes one step.
func (st *Step) write(b *bytes.Buffer, w *World) {
	switch {
	case st.Edit != nil:
		e := st.Edit
		if text := w.policyStatement(e); text != "" {
			fmt.Fprintln(b, text)
			return
		}
		if e.Value == nil {
			fmt.Fprintf(b, "map %s del %x # %s\n", e.Map, e.Key, keyText(e.Map, e.Key))
			return
		}
		fmt.Fprintf(b, "map %s set %x %x # %s: %s\n", e.Map, e.Key, e.Value, keyText(e.Map, e.Key), valueText(e.Map, e.Value))
	case st.Packet != nil:
		fmt.Fprintf(b, "# %s\n%s\n", dissect.Summary(st.Packet.Frame), st.Packet.statement())
	}
	for i := range st.Expect {
		fmt.Fprintf(b, "expect %s\n", &st.Expect[i])
	}
}

// statement is the packet as a statement, what is zero left out.
func (in *Input) statement() string {
	words := []string{"packet", in.Prog.String(), in.Device}
	add := func(set bool, format string, args ...any) {
		if set {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(in.IngressIfindex != 0, "iif=%d", in.IngressIfindex)
	add(in.Mark != 0, "mark=%#x", in.Mark)
	add(in.Hash != 0, "hash=%#x", in.Hash)
	add(in.TCIndex != 0, "tc_index=%d", in.TCIndex)
	add(in.QueueMapping != 0, "queue=%d", in.QueueMapping)
	add(in.CB != [5]uint32{}, "cb=%d,%d,%d,%d,%d", in.CB[0], in.CB[1], in.CB[2], in.CB[3], in.CB[4])
	add(in.Tunnel.Present, "tunnel=%d@%s/%d/%d", in.Tunnel.ID, netip.AddrFrom4(in.Tunnel.Remote), in.Tunnel.TTL, in.Tunnel.TOS)
	add(in.Partial, "csum=partial")
	add(in.Fail != 0, "fail=%s", in.Fail)
	add(in.Rand != 0, "rand=%d", in.Rand)
	add(true, "frame=%s", hex.EncodeToString(in.Frame))
	return strings.Join(words, " ")
}
