package lab

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

// mapSlice is how many entries are read between two batches of frames.
const mapSlice = 512

// server is the control API: HTTP with JSON on a unix socket that only the lab's
// owner may use.
type server struct {
	http http.Server
	done chan error
}

// Info is what a lab tells about itself.
type Info struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Engine  string `json:"engine"`
	Profile string `json:"profile"`
	PID     int    `json:"pid"`
	// NetnsLinks says that the namespaces are shown to ip netns.
	NetnsLinks bool     `json:"netnsLinks"`
	Nodes      []string `json:"nodes"`
}

// NodeStats counts what a node has done so far.
type NodeStats struct {
	Received   uint64            `json:"received"`   // frames that entered the node
	ToPod      uint64            `json:"toPod"`      // sent into a pod
	ToStack    uint64            `json:"toStack"`    // given to the node's kernel
	ToUnderlay uint64            `json:"toUnderlay"` // encapsulated
	Lost       map[string]uint64 `json:"lost,omitempty"`
	PortErrors map[string]uint64 `json:"portErrors,omitempty"` // by device
	Events     EventCounts       `json:"events"`
	Tunnel     tunnel.Stats      `json:"tunnel"`
}

// mapReply is a map's contents.
type mapReply struct {
	Spec     maps.Spec         `json:"spec"`
	Entries  []entry           `json:"entries"`
	Programs map[uint32]string `json:"programs,omitempty"` // names of the ids in a program array
}

// entry is an entry of a map.
type entry struct {
	Key   hexBytes `json:"key"`
	Value hexBytes `json:"value"`
}

// hexBytes are bytes that are written in hex.
type hexBytes []byte

// MarshalText writes the bytes in hex.
func (b hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

// UnmarshalText reads bytes in hex.
func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}

// errorReply is what a failed request gets.
type errorReply struct {
	Error string `json:"error"`
}

// listen opens the control socket.
func (l *Lab) listen() error {
	dir, err := os.Open(string(l.home))
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only read from
	// A path through the directory's descriptor is short enough for a socket address.
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: socketPath(dir)})
	if err != nil {
		return fmt.Errorf("control socket %s: %w", l.home.path(socketFile), err)
	}
	ln.SetUnlinkOnClose(false)
	if err := os.Chmod(l.home.path(socketFile), 0o600); err != nil {
		return errors.Join(err, ln.Close())
	}
	s := &server{done: make(chan error, 1)}
	s.http.Handler = l.routes()
	// Only the owner can connect. A client may wait long for its turn on a busy machine.
	s.http.ReadHeaderTimeout = 2 * time.Minute
	l.server = s
	go func() { s.done <- s.http.Serve(ln) }()
	return nil
}

// socketPath is the socket in an open directory.
func socketPath(dir *os.File) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketFile)
}

// close ends the server. Requests that have begun may finish, but not for long.
func (s *server) close() error {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	if serveErr := <-s.done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

func (l *Lab) routes() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, f func(*http.Request) (any, error)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			l.reply(w, v, err)
		})
	}
	get("/info", func(*http.Request) (any, error) { return l.info(), nil })
	get("/cluster", func(*http.Request) (any, error) {
		return map[string]any{"apiVersion": "v1", "kind": "List", "items": l.cluster.Manifests()}, nil
	})
	get("/nodes/{node}/stats", func(r *http.Request) (any, error) {
		w, err := l.worker(r.PathValue("node"))
		if err != nil {
			return nil, err
		}
		return w.stats(r.Context())
	})
	get("/nodes/{node}/maps", func(r *http.Request) (any, error) {
		w, err := l.worker(r.PathValue("node"))
		if err != nil {
			return nil, err
		}
		var names []string
		if err := w.node.Do(r.Context(), func() { names = w.mapNames() }); err != nil {
			return nil, err // names may still be written
		}
		return names, nil
	})
	get("/nodes/{node}/maps/{map}", func(r *http.Request) (any, error) {
		w, err := l.worker(r.PathValue("node"))
		if err != nil {
			return nil, err
		}
		return w.readMap(r.Context(), r.PathValue("map"))
	})
	get("/status", func(r *http.Request) (any, error) { return l.status(r.Context()) })
	mux.HandleFunc("POST /change", func(w http.ResponseWriter, r *http.Request) {
		v, err := l.changeRequest(r)
		l.reply(w, v, err)
	})
	mux.HandleFunc("POST /exec", l.execRequest)
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		f, err := l.eventsRequest(r.URL.Query())
		l.stream(w, r, f, err)
	})
	mux.HandleFunc("GET /frames", func(w http.ResponseWriter, r *http.Request) {
		f, err := l.framesRequest(r.URL.Query())
		l.stream(w, r, f, err)
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		l.ask(nil)
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// reply writes the answer to a request.
func (l *Lab) reply(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	switch {
	case errors.Is(err, cluster.ErrInput), errors.Is(err, maps.ErrNotSupported):
		status = http.StatusNotFound
	case errors.Is(err, dataplane.ErrNotSupported), errors.Is(err, netns.ErrPermission):
		status = http.StatusNotImplemented
	case errors.Is(err, context.Canceled):
		return // nobody waits for an answer
	case errors.Is(err, node.ErrStopped):
		status = http.StatusServiceUnavailable
	case err != nil:
		status = http.StatusInternalServerError
	}
	if err != nil {
		v = errorReply{Error: err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		l.log.Debug("control client went away", "err", err)
	}
}

func (l *Lab) info() Info {
	s := &l.state
	i := Info{Name: s.Name, Version: s.Version, Engine: s.Engine, Profile: s.Profile, PID: s.Process.PID, NetnsLinks: s.NetnsLinks}
	for _, w := range l.nodes() {
		i.Nodes = append(i.Nodes, w.name)
	}
	return i
}

// stats collects the counters between two batches.
func (w *worker) stats(ctx context.Context) (*NodeStats, error) {
	s := &NodeStats{Lost: make(map[string]uint64), PortErrors: make(map[string]uint64)}
	err := w.node.Do(ctx, func() {
		n := w.node.Stats()
		s.Received, s.ToPod, s.ToStack, s.ToUnderlay = n.Received, n.ToPod, n.ToStack, n.ToUnderlay
		for why, count := range n.Lost {
			if count > 0 {
				s.Lost[node.Loss(why).String()] = count
			}
		}
		for _, from := range w.sources {
			if from != nil && from.errors > 0 {
				s.PortErrors[from.name] = from.errors
			}
		}
		s.Events = w.counts
		if w.tunnel != nil {
			s.Tunnel = w.tunnel.Stats()
		}
	})
	return s, err
}

// mapNames are the names of the node's maps.
func (w *worker) mapNames() []string {
	if w.attached == nil {
		return w.set.Names()
	}
	if n, ok := w.attached.engine.(mapNames); ok {
		return n.Names()
	}
	return nil
}

// readMap copies a map slice by slice, so that traffic goes on meanwhile.
func (w *worker) readMap(ctx context.Context, name string) (*mapReply, error) {
	out := &mapReply{Entries: []entry{}, Programs: make(map[uint32]string)}
	var failed error
	for c := (maps.Cursor{}); !c.Done(); {
		err := w.node.Do(ctx, func() {
			var m maps.Store
			if m, failed = w.node.Runner().Map(name); failed != nil {
				return
			}
			out.Spec = m.Spec()
			programs, _ := m.(programNames)
			failed = m.Range(&c, mapSlice, func(key, value []byte) bool {
				out.add(key, value, programs)
				return true
			})
		})
		if err != nil {
			return nil, err // failed may still be written
		}
		if failed != nil {
			return nil, failed
		}
	}
	return out, nil
}

// programNames is what a program array knows beside its ids.
type programNames interface{ ProgName(id uint32) string }

func (r *mapReply) add(key, value []byte, programs programNames) {
	r.Entries = append(r.Entries, entry{append(hexBytes(nil), key...), append(hexBytes(nil), value...)})
	if programs == nil || len(value) != 4 {
		return
	}
	id := hostUint32(value)
	if name := programs.ProgName(id); name != "" {
		r.Programs[id] = name
	}
}
