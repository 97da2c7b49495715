package lab

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/node"
)

// follower is a client's feed with what it wants to see.
type follower struct {
	feed   *feed
	events bool                   // notifications
	frames *frameFilter           // frames at hooks; nil: none
	scope  func(node string) bool // which nodes
}

// wants says whether the client wants to see frames of a node.
func (f *follower) wants(name string) bool {
	return f.frames != nil && (f.scope == nil || f.scope(name)) && f.frames.on(name)
}

// follow gives a client what happens from now on, until it goes away or the lab does.
func (l *Lab) follow(w http.ResponseWriter, r *http.Request, f *follower) error {
	if err := l.join(r.Context(), f); err != nil {
		return err
	}
	defer l.leave(f)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	var done []byte
	for {
		if err := out.Flush(); err != nil {
			return err
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-l.done:
			return nil
		case <-f.feed.more:
		}
		done = f.feed.take(done)
		if _, err := w.Write(done); err != nil {
			return err
		}
	}
}

// join lets all nodes that are meant write to the follower, those that come later too.
func (l *Lab) join(ctx context.Context, f *follower) error {
	for _, w := range l.nodes() {
		if w.attached != nil && f.wants(w.name) {
			return fmt.Errorf("capture on node %[1]s: %[2]w with engine %[3]s, whose frames only the kernel sees; tcpdump in the node's namespace shows them: "+
				"hooklab exec node/%[1]s -- tcpdump -i DEVICE; name pods and nodes to capture on others", w.name, dataplane.ErrNotSupported, w.engine)
		}
	}
	l.mu.Lock()
	l.followers = append(l.followers, f)
	l.mu.Unlock()
	for _, w := range l.nodes() {
		if err := w.node.Do(ctx, func() { w.addFollower(f) }); err != nil {
			l.leave(f)
			return err
		}
	}
	return nil
}

func (l *Lab) leave(f *follower) {
	l.mu.Lock()
	l.followers = slices.DeleteFunc(l.followers, func(g *follower) bool { return g == f })
	l.mu.Unlock()
	for _, w := range l.nodes() {
		_ = w.node.Do(context.Background(), func() { w.removeFollower(f) }) // else the node has ended
	}
}

// The functions below run on the worker's goroutine, or before it starts.

func (w *worker) addFollower(f *follower) {
	if (f.scope == nil || f.scope(w.name)) && !slices.Contains(w.followers, f) {
		w.followers = append(w.followers, f)
		w.look()
	}
}

func (w *worker) removeFollower(f *follower) {
	w.followers = slices.DeleteFunc(w.followers, func(g *follower) bool { return g == f })
	w.look()
}

// look observes frames as long as somebody wants to see them.
func (w *worker) look() {
	if slices.ContainsFunc(w.followers, func(f *follower) bool { return f.frames != nil }) {
		w.node.SetObserver(w.observe)
	} else {
		w.node.SetObserver(nil)
	}
}

// tell gives a notification to those who follow.
func (w *worker) tell(record []byte) {
	now := time.Now()
	for _, f := range w.followers {
		if f.events {
			f.feed.put(messageEvent, w.name, now, nil, record)
		}
	}
}

// observe gives a frame at a hook to those who follow.
func (w *worker) observe(e *node.Event) {
	now := time.Now()
	for _, f := range w.followers {
		if f.frames == nil || !f.frames.wants(w.name, e) {
			continue
		}
		data := e.Packet.Data
		w.frameHead = appendFrameHead(w.frameHead[:0], e)
		f.feed.put(messageFrame, w.name, now, w.frameHead, data[:min(len(data), f.frames.SnapLen)])
	}
}
