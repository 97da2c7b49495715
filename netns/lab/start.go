package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Programs that a client has the lab's process start for it, with the client's own
// standard streams. After a request to /exec the connection carries, in this order,
//
//	from the client   one byte with the three descriptors (SCM_RIGHTS)
//	from the client   a byte for each signal: its number
//	from the lab      an execReply as JSON, when the program has ended or cannot start
//
// If the client goes away the program is killed.

// Program is what to start in a lab; see RunDir.Program.
type Program struct {
	Ref  string   `json:"ref"`  // where, as for Pin
	Path string   `json:"path"` // of the executable
	Args []string `json:"args"` // with its name
	Env  []string `json:"env"`
	Dir  string   `json:"dir"` // working directory
	// Terminal says that the first stream is a terminal that nobody controls yet.
	Terminal bool `json:"terminal"`
}

// execReply says what has come of a program.
type execReply struct {
	Error  string `json:"error,omitempty"` // it could not be started
	Code   int    `json:"code"`
	Signal int    `json:"signal,omitempty"` // it was ended by this
}

// ErrStart is wrapped when a program could not be started in a lab.
var ErrStart = errors.New("cannot start")

const execUpgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: hooklab-exec\r\n\r\n"

// Start has the lab's process run a program with the three streams and returns its exit
// code, 128 more than the signal that has ended it. Signals are passed on.
func (c *Client) Start(ctx context.Context, p *Program, streams [3]*os.File, signals <-chan os.Signal) (code int, err error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return 0, c.explain(err)
	}
	defer conn.Close() //nolint:errcheck // all has been said
	body, err := json.Marshal(p)
	if err != nil {
		return 0, fmt.Errorf("lab %s: %w", c.name, err)
	}
	in := bufio.NewReader(conn)
	if err := c.upgrade(ctx, conn, in, body); err != nil {
		return 0, err
	}
	var fds []int
	for _, f := range streams {
		fds = append(fds, int(f.Fd()))
	}
	if _, _, err := conn.(*net.UnixConn).WriteMsgUnix([]byte{0}, unix.UnixRights(fds...), nil); err != nil {
		return 0, fmt.Errorf("lab %s: hand over standard streams: %w", c.name, err)
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-signals:
				if n, ok := s.(syscall.Signal); ok {
					_, _ = conn.Write([]byte{byte(n)}) // fails when the lab has gone, which the reply tells
				}
			case <-done:
				return
			}
		}
	}()
	var r execReply
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return 0, fmt.Errorf("lab %s: %w: it has ended meanwhile", c.name, ErrNotReady)
	}
	switch {
	case r.Error != "":
		return 0, fmt.Errorf("%w: %s", ErrStart, r.Error)
	case r.Signal != 0:
		return 128 + r.Signal, nil
	}
	return r.Code, nil
}

// upgrade asks for the connection to be what exec needs.
func (c *Client) upgrade(ctx context.Context, conn net.Conn, in *bufio.Reader, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://lab/exec", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("lab %s: %w", c.name, err)
	}
	if err := req.Write(conn); err != nil {
		return c.explain(err)
	}
	resp, err := http.ReadResponse(in, req)
	if err != nil {
		return c.explain(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return c.refusal(resp)
	}
	return nil
}

// execRequest runs a program for a client.
func (l *Lab) execRequest(w http.ResponseWriter, r *http.Request) {
	p := &Program{}
	at, err := l.execTarget(r, p)
	if err != nil {
		l.reply(w, nil, err)
		return
	}
	plain, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		l.reply(w, nil, err)
		return
	}
	// The client sends nothing before it has read the answer: nothing is buffered.
	conn := plain.(*net.UnixConn)
	l.running.Go(func() {
		defer conn.Close() //nolint:errcheck // all has been said
		if _, err := io.WriteString(conn, execUpgrade); err != nil {
			return
		}
		reply := l.exec(conn, p, at)
		if err := json.NewEncoder(conn).Encode(reply); err != nil {
			l.log.Debug("client of a program went away", "program", p.Args, "err", err)
		}
	})
}

// execTarget reads a request and finds the space that it means.
func (l *Lab) execTarget(r *http.Request, p *Program) (*Space, error) {
	if err := json.NewDecoder(r.Body).Decode(p); err != nil {
		return nil, inputErrorf("request: %v", err)
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	at := l.state.find(p.Ref)
	if at == nil || l.spaces[at.Pin] == nil {
		return nil, inputErrorf("there is no %q; there are %s", p.Ref, some(l.state.refs()))
	}
	found := *at
	return &found, nil
}

// exec starts a program with the streams that come over the connection and waits for it.
func (l *Lab) exec(conn *net.UnixConn, p *Program, at *Space) execReply {
	cmd, err := l.execStart(conn, p, at)
	if err != nil {
		return execReply{Error: err.Error()}
	}
	ended, heard := make(chan struct{}), make(chan struct{})
	// As a terminal does, to all processes of the group.
	send := func(s syscall.Signal) {
		select {
		case <-ended:
		default:
			_ = unix.Kill(-cmd.Process.Pid, s) // fails if it has ended just now
		}
	}
	go func() {
		defer close(heard)
		var b [1]byte
		for {
			if _, err := conn.Read(b[:]); err != nil {
				send(unix.SIGKILL) // nobody is there any more to stop it, unless it has ended
				return
			}
			send(syscall.Signal(b[0]))
		}
	}()
	go func() {
		select {
		case <-ended:
			return
		case <-l.done:
		}
		// The lab ends what is in its namespaces. It shall not wait for what has left them.
		select {
		case <-ended:
		case <-time.After(2 * termPatience):
			send(unix.SIGKILL)
		}
	}()
	_ = cmd.Wait() // the state says all
	state := cmd.ProcessState.Sys().(syscall.WaitStatus)
	close(ended)
	_ = conn.CloseRead() // the reader ends too; what the client still sends has no receiver
	<-heard
	if state.Signaled() {
		return execReply{Signal: int(state.Signal())}
	}
	return execReply{Code: state.ExitStatus()}
}

// execStart starts a program.
func (l *Lab) execStart(conn *net.UnixConn, p *Program, at *Space) (*exec.Cmd, error) {
	streams, err := receiveFiles(conn, 3)
	if err != nil {
		return nil, err
	}
	defer closeFiles(streams)
	cmd := &exec.Cmd{
		Path: p.Path, Args: p.Args, Env: append(p.Env, EnvRunDir+"="+filepath.Dir(string(l.home))), Dir: p.Dir,
		Stdin: streams[0], Stdout: streams[1], Stderr: streams[2],
		SysProcAttr: &syscall.SysProcAttr{Setpgid: !p.Terminal, Setsid: p.Terminal, Setctty: p.Terminal},
	}
	l.changing.Lock()
	ns := l.spaces[at.Pin]
	l.changing.Unlock()
	if ns == nil {
		return nil, fmt.Errorf("%s has gone", at.Ref())
	}
	return cmd, ns.StartWith(cmd, l.home.files(at))
}

// receiveFiles takes n descriptors from a connection.
func receiveFiles(conn *net.UnixConn, n int) ([]*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4*n))
	_, got, _, _, err := conn.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:got])
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			closeFiles(files)
			return nil, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "stream"))
		}
	}
	if len(files) != n {
		closeFiles(files)
		return nil, fmt.Errorf("%d standard streams, want %d", len(files), n)
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // copies of others'
	}
}
