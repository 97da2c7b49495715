// Package browser drives a headless Chromium for tests: opens a page, runs JavaScript in
// it, takes pictures, and collects what the page complains about.
//
// It speaks the DevTools protocol over a pipe (--remote-debugging-pipe), so that there is
// no port to find. A library such as chromedp brings 20 MB of generated code for the five
// methods that are needed.
package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hooklab/hooklab/internal/testkit"
)

// patience is how long an answer may take on a busy machine.
const patience = 2 * time.Minute

// Page is a tab of a browser of the test's own. It belongs to the test's goroutine.
type Page struct {
	tb      testing.TB
	in      io.Writer
	session string
	id      int

	mu         sync.Mutex
	answers    map[int]chan message
	complaints []string
	requests   []string
	loaded     chan struct{}
	gone       chan struct{}
}

// message is what goes over the pipe.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Open opens a URL in a browser that ends with the test, and waits until it has loaded.
// The window has the given size in CSS pixels.
func Open(tb testing.TB, url string, width, height int) *Page {
	tb.Helper()
	chromium := testkit.Tool(tb, "chromium")
	p := &Page{tb: tb, answers: map[int]chan message{}, loaded: make(chan struct{}, 8), gone: make(chan struct{})}
	p.start(chromium, width, height)
	var target struct {
		TargetID  string `json:"targetId"`
		SessionID string `json:"sessionId"`
	}
	p.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	p.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	p.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(domain+".enable", nil, nil)
	}
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	select {
	case <-p.loaded:
	case <-p.gone:
		tb.Fatal("chromium ended")
	case <-time.After(patience):
		tb.Fatalf("%s has not loaded within %v", url, patience)
	}
	return p
}

// start starts the browser: without network services of its own, with a new profile.
func (p *Page) start(chromium string, width, height int) {
	toBrowser, in, err := os.Pipe()
	p.must(err)
	out, fromBrowser, err := os.Pipe()
	p.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
		"--user-data-dir="+p.tb.TempDir(), fmt.Sprintf("--window-size=%d,%d", width, height), "--hide-scrollbars",
		"--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-extensions", "--disable-domain-reliability", "--no-first-run", "--no-default-browser-check", "--no-pings",
		"--host-resolver-rules=MAP * ~NOTFOUND")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser} // descriptors 3 and 4
	ownGroup(cmd)
	p.must(cmd.Start())
	p.must(toBrowser.Close())
	p.must(fromBrowser.Close())
	p.in = in
	go p.read(out)
	p.tb.Cleanup(func() {
		cancel()
		err := cmd.Wait() // it has been killed
		<-p.gone
		if err := errors.Join(in.Close(), out.Close()); err != nil {
			p.tb.Error(err)
		}
		if p.tb.Failed() {
			p.tb.Logf("chromium: %v: %s", err, without(stderr.String(), "dbus/"))
		}
	})
}

func (p *Page) must(err error) {
	p.tb.Helper()
	if err != nil {
		p.tb.Fatal(err)
	}
}

// read takes what the browser says until it ends.
func (p *Page) read(r io.Reader) {
	defer close(p.gone)
	br := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := br.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(line[:len(line)-1], &m) != nil {
			continue
		}
		p.mu.Lock()
		if c := p.answers[m.ID]; m.ID != 0 && c != nil {
			delete(p.answers, m.ID)
			c <- m
		}
		p.event(&m)
		p.mu.Unlock()
	}
}

// event keeps what the page complains about and asks the network for.
func (p *Page) event(m *message) {
	switch m.Method {
	case "Page.loadEventFired":
		select {
		case p.loaded <- struct{}{}:
		default:
		}
	case "Runtime.exceptionThrown":
		p.complaints = append(p.complaints, string(m.Params))
	case "Runtime.consoleAPICalled":
		if bytes.Contains(m.Params, []byte(`"type":"error"`)) || bytes.Contains(m.Params, []byte(`"type":"warning"`)) {
			p.complaints = append(p.complaints, string(m.Params))
		}
	case "Log.entryAdded":
		if bytes.Contains(m.Params, []byte(`"level":"error"`)) {
			p.complaints = append(p.complaints, string(m.Params))
		}
	case "Network.requestWillBeSent":
		var q struct {
			Request struct {
				URL string `json:"url"`
			} `json:"request"`
		}
		if json.Unmarshal(m.Params, &q) == nil && !strings.HasPrefix(q.Request.URL, "data:") {
			p.requests = append(p.requests, q.Request.URL)
		}
	}
}

// call calls a method of the protocol.
func (p *Page) call(method string, params, result any) {
	p.tb.Helper()
	if params == nil {
		params = struct{}{}
	}
	raw, err := json.Marshal(params)
	p.must(err)
	p.id++
	c := make(chan message, 1)
	p.mu.Lock()
	p.answers[p.id] = c
	p.mu.Unlock()
	b, err := json.Marshal(message{ID: p.id, Session: p.session, Method: method, Params: raw})
	p.must(err)
	_, err = p.in.Write(append(b, 0))
	p.must(err)
	select {
	case m := <-c:
		if m.Error != nil {
			p.tb.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			p.must(json.Unmarshal(m.Result, result))
		}
	case <-p.gone:
		p.tb.Fatalf("%s: chromium ended", method)
	case <-time.After(patience):
		p.tb.Fatalf("%s: no answer within %v", method, patience)
	}
}

// Eval runs an expression in the page, waits for it if it is a promise, and decodes its
// value.
func (p *Page) Eval(expression string, value any) {
	p.tb.Helper()
	var r struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	p.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if e := r.Exception; e != nil {
		p.tb.Fatalf("%s: %s %s", expression, e.Text, e.Exception.Description)
	}
	if value != nil {
		p.must(json.Unmarshal(r.Result.Value, value))
	}
}

// Key presses a key, by its name in KeyboardEvent.key ("ArrowRight").
func (p *Page) Key(key string) {
	p.tb.Helper()
	for _, typ := range []string{"rawKeyDown", "keyUp"} {
		p.call("Input.dispatchKeyEvent", map[string]any{"type": typ, "key": key, "code": key}, nil)
	}
}

// Dark makes the page believe that its user likes dark colours, or light ones.
func (p *Page) Dark(dark bool) {
	p.tb.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": value}}}, nil)
}

// Size changes the size of the window's content, in CSS pixels.
func (p *Page) Size(width, height int) {
	p.tb.Helper()
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// Picture is the window's content as PNG.
func (p *Page) Picture() []byte {
	p.tb.Helper()
	var r struct {
		Data string `json:"data"`
	}
	p.call("Page.captureScreenshot", map[string]any{"format": "png"}, &r)
	b, err := base64.StdEncoding.DecodeString(r.Data)
	p.must(err)
	return b
}

// Complaints are the exceptions, console errors and warnings so far.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.complaints...)
}

// Requests are the URLs that the page has asked for so far, its own included.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

// without leaves out the lines that contain a word.
func without(text, word string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, word) {
			out.WriteString(line)
		}
	}
	return strings.TrimSpace(out.String())
}
