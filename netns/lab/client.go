package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
)

// ErrNotReady is wrapped when a lab exists but its process does not answer: it is
// starting or ending, or it is dead and Down has not been called yet.
var ErrNotReady = errors.New("lab does not answer")

// Client talks to the process of a lab. It may be used by any number of goroutines
// and needs no closing.
type Client struct {
	http http.Client
	home home
	name string
}

// Client makes a client for the lab of that name, or for the only one if it is "".
// It does not connect yet. The error wraps ErrNoLab or cluster.ErrInput.
func (r RunDir) Client(name string) (*Client, error) {
	name, err := r.Resolve(name)
	if err != nil {
		return nil, err
	}
	h, err := r.home(name)
	if err != nil {
		return nil, err
	}
	if _, err := r.State(name); err != nil {
		return nil, err
	}
	c := &Client{home: h, name: name}
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
	}
	return c, nil
}

// dial connects to the lab's socket.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	dir, err := os.Open(string(c.home))
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // only read from
	var d net.Dialer
	return d.DialContext(ctx, "unix", socketPath(dir))
}

// Name is the lab's name.
func (c *Client) Name() string { return c.name }

// Info asks the lab about itself.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var i Info
	return i, c.get(ctx, &i, "info")
}

// Cluster is the lab's cluster with everything allocated, as it is now.
func (c *Client) Cluster(ctx context.Context) (*cluster.Cluster, error) {
	body, err := c.do(ctx, http.MethodGet, "cluster")
	if err != nil {
		return nil, err
	}
	return cluster.Load(cluster.Source{Name: "lab " + c.name, Data: body})
}

// Stats are the counters of a node.
func (c *Client) Stats(ctx context.Context, node string) (*NodeStats, error) {
	s := &NodeStats{}
	return s, c.get(ctx, s, "nodes", node, "stats")
}

// Stop asks the lab to take itself down, without waiting for it.
func (c *Client) Stop(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodPost, "stop")
	return err
}

// NodeMaps are the maps of a node of a running lab.
type NodeMaps struct {
	client *Client
	ctx    context.Context //nolint:containedctx // The maps are looked up on behalf of one command.
	node   string
	names  []string
}

// Maps lists the maps of a node. Each Lookup on the result asks the lab for the
// entries at that time; ctx bounds those calls too. The error for an unknown node is
// cluster.ErrInput.
func (c *Client) Maps(ctx context.Context, node string) (*NodeMaps, error) {
	m := &NodeMaps{client: c, ctx: ctx, node: node}
	return m, c.get(ctx, &m.names, "nodes", node, "maps")
}

// Names returns the names of all maps, sorted.
func (m *NodeMaps) Names() []string { return m.names }

// Lookup reads a map by name. What it returns is a copy that cannot be changed. The
// error for an unknown name is maps.ErrNotSupported.
func (m *NodeMaps) Lookup(name string) (maps.Store, error) {
	var r mapReply
	err := m.client.get(m.ctx, &r, "nodes", m.node, "maps", name)
	if errors.Is(err, cluster.ErrInput) {
		err = fmt.Errorf("%w: %w", maps.ErrNotSupported, err)
	}
	if err != nil {
		return nil, err
	}
	return newSnapshot(&r)
}

// get asks for a resource and reads the answer into v.
func (c *Client) get(ctx context.Context, v any, path ...string) error {
	body, err := c.do(ctx, http.MethodGet, path...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("lab %s: answer to %v: %w", c.name, path, err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method string, path ...string) ([]byte, error) {
	return c.send(ctx, method, nil, nil, path...)
}

// send makes a request and reads the whole answer.
func (c *Client) send(ctx context.Context, method string, query url.Values, body any, path ...string) (answer []byte, err error) {
	resp, err := c.open(ctx, method, query, body, path...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Close()) }()
	if answer, err = io.ReadAll(resp); err != nil {
		return nil, fmt.Errorf("lab %s: %w: %w", c.name, ErrNotReady, err)
	}
	return answer, nil
}

// open makes a request, with a body in JSON if it is not nil, and returns the answer's
// body once the lab has agreed.
func (c *Client) open(ctx context.Context, method string, query url.Values, body any, path ...string) (io.ReadCloser, error) {
	u := (&url.URL{Scheme: "http", Host: "lab", RawQuery: query.Encode()}).JoinPath(path...)
	var data io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("lab %s: %w", c.name, err)
		}
		data = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), data)
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", c.name, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp.Body, nil
	}
	return nil, c.refusal(resp)
}

// refusal is the error that a lab has answered with.
func (c *Client) refusal(resp *http.Response) error {
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("lab %s: %w: %w", c.name, ErrNotReady, err)
	}
	why := errorReply{Error: string(bytes.TrimSpace(text))}
	_ = json.Unmarshal(text, &why) // else the text as it is
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusBadRequest:
		return inputErrorf("lab %s: %s", c.name, why.Error)
	case http.StatusNotImplemented:
		return unsupportedError(fmt.Sprintf("lab %s: %s", c.name, why.Error))
	case http.StatusServiceUnavailable:
		return fmt.Errorf("lab %s: %w: %s", c.name, ErrNotReady, why.Error)
	}
	return fmt.Errorf("lab %s: %s", c.name, why.Error)
}

// unsupportedError is what a lab cannot do, in its own words. It satisfies
// errors.Is(err, dataplane.ErrNotSupported).
type unsupportedError string

func (e unsupportedError) Error() string { return string(e) }

// Is makes errors.Is(err, dataplane.ErrNotSupported) true.
func (e unsupportedError) Is(target error) bool { return target == dataplane.ErrNotSupported }

// explain says why a lab does not answer.
func (c *Client) explain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without a URL that the user has never seen
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("lab %s: %w: its process is gone; 'hooklab down --lab %s' removes what it has left", c.name, ErrNotReady, c.name)
	}
	return fmt.Errorf("lab %s: %w: %w", c.name, ErrNotReady, err)
}
