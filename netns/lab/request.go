package lab

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hooklab/hooklab/cluster"
)

// Both ends of the requests that change a lab or follow it.

// changeBody is the body of a request to change the lab.
type changeBody struct {
	Sources []cluster.Source `json:"sources"`
	Names   []string         `json:"names"` // of the files, as the user gave them
	DryRun  bool             `json:"dryRun"`
}

// changeReply is what was or would be different.
type changeReply struct {
	Lines []string `json:"lines"`
}

// Change makes the lab what the sources describe now, as Lab.Change. names are those
// of the files, for State.
func (c *Client) Change(ctx context.Context, sources []cluster.Source, names []string, dry bool) ([]string, error) {
	answer, err := c.send(ctx, http.MethodPost, nil, changeBody{sources, names, dry}, "change")
	if err != nil {
		return nil, err
	}
	var r changeReply
	if err := json.Unmarshal(answer, &r); err != nil {
		return nil, fmt.Errorf("lab %s: answer to change: %w", c.name, err)
	}
	return r.Lines, nil
}

func (l *Lab) changeRequest(r *http.Request) (any, error) {
	var body changeBody
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, inputErrorf("request: %v", err)
	}
	// Once begun it is not left half done because the client has gone.
	lines, err := l.Change(context.WithoutCancel(r.Context()), body.Sources, body.DryRun)
	if err != nil {
		return nil, err
	}
	if !body.DryRun {
		l.changing.Lock()
		defer l.changing.Unlock()
		l.state.Sources = body.Names
		l.mu.Lock()
		l.sources = body.Names
		l.mu.Unlock()
		if err := l.home.save(&l.state); err != nil {
			return nil, err
		}
	}
	return changeReply{lines}, nil
}

// Event is a notification of a node's datapath, or how many were lost.
type Event struct {
	Node   string
	Time   time.Time
	Record []byte // raw, see trace.DecodeNotification; valid until the next event
	Lost   uint64 // if not 0, so many are missing here
}

// Events calls f for each notification of the nodes (nil: all) from now on, until f
// returns an error, which it returns, or ctx or the lab ends, which is no error. It
// calls ready before the first one, when nothing can be missed any more and the lab has not
// refused, and returns its error.
func (c *Client) Events(ctx context.Context, nodes []string, ready func() error, f func(*Event) error) error {
	return c.follow(ctx, url.Values{"node": nodes}, "events", ready, func(m *message) error {
		e := Event{Node: m.node, Time: m.at, Record: m.body}
		if m.kind == messageLost {
			e.Record, e.Lost = nil, lostCount(m.body)
		}
		return f(&e)
	})
}

// Frames calls f for each frame that the filter chooses, as Events does. Frames are
// lost if f is slow: then lost is called with how many.
func (c *Client) Frames(ctx context.Context, filter FrameFilter, ready func() error, f func(node string, at time.Time, fr *Frame) error, lost func(node string, n uint64)) error {
	q := url.Values{"node": filter.Nodes, "program": filter.Programs, "snaplen": {strconv.Itoa(filter.SnapLen)}}
	for _, d := range filter.Devices {
		q.Add("device", fmt.Sprintf("%s:%d", d.Node, d.Ifindex))
	}
	return c.follow(ctx, q, "frames", ready, func(m *message) error {
		if m.kind == messageLost {
			lost(m.node, lostCount(m.body))
			return nil
		}
		fr, err := parseFrame(m.body)
		if err != nil {
			return err
		}
		return f(m.node, m.at, &fr)
	})
}

func lostCount(body []byte) uint64 {
	if len(body) < 8 {
		return 1
	}
	return binary.LittleEndian.Uint64(body)
}

// follow reads a stream of messages.
func (c *Client) follow(ctx context.Context, q url.Values, path string, ready func() error, f func(*message) error) (err error) {
	body, err := c.open(ctx, http.MethodGet, q, nil, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if err := ready(); err != nil {
		return err
	}
	in := bufio.NewReaderSize(body, 256<<10)
	var buf []byte
	for {
		m, err := readMessage(in, &buf)
		switch {
		case ctx.Err() != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("lab %s: %w", c.name, err)
		}
		if err := f(&m); err != nil {
			return err
		}
	}
}

// stream answers with a stream, or with the error.
func (l *Lab) stream(w http.ResponseWriter, r *http.Request, f *follower, err error) {
	if err == nil {
		err = l.follow(w, r, f)
	}
	if err != nil {
		l.reply(w, nil, err)
	}
}

func (l *Lab) eventsRequest(q url.Values) (*follower, error) {
	scope, err := l.scope(q["node"])
	return &follower{feed: newFeed(), events: true, scope: scope}, err
}

func (l *Lab) framesRequest(q url.Values) (*follower, error) {
	scope, err := l.scope(q["node"])
	if err != nil {
		return nil, err
	}
	f := &FrameFilter{Programs: q["program"]}
	f.SnapLen, _ = strconv.Atoi(q.Get("snaplen")) // 0: all
	for _, d := range q["device"] {
		name, number, _ := strings.Cut(d, ":")
		index, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, inputErrorf("device %q: want NODE:IFINDEX", d)
		}
		f.Devices = append(f.Devices, Device{name, uint32(index)})
	}
	frames, err := newFrameFilter(f)
	return &follower{feed: newFeed(), frames: frames, scope: scope}, err
}

// scope chooses the named nodes, all if there are none.
func (l *Lab) scope(nodes []string) (func(string) bool, error) {
	for _, n := range nodes {
		if _, err := l.worker(n); err != nil {
			return nil, err
		}
	}
	if len(nodes) == 0 {
		return nil, nil //nolint:nilnil // all
	}
	return func(name string) bool { return slices.Contains(nodes, name) }, nil
}
