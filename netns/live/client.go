package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/hooklab/hooklab/netns/lab"
)

// firstPort is the port of the first client of ours. Each attempt has another one, the
// same on both sides, so that no conversation is taken for an earlier one.
const firstPort = 40000

func deadline(d time.Duration) time.Time { return time.Now().Add(d) }

// attempt runs a step's program on one side and says in a few words how it ended. The
// error is that it could not be run.
func (s *side) attempt(ctx context.Context, st *Step, n int) (string, error) {
	switch st.Kind {
	case TCP, UDP:
		return s.client(ctx, st, uint16(firstPort+n%20000))
	case Ping:
		argv := []string{
			"ping", "-n", "-q", "-i", "0.2", "-W", fmt.Sprint(st.Timeout.Seconds()), "-c", strconv.Itoa(st.Count), "-s", strconv.Itoa(st.Size),
		}
		if st.TTL > 0 {
			argv = append(argv, "-t", strconv.Itoa(st.TTL))
		}
		if st.DF {
			argv = append(argv, "-M", "do")
		}
		return s.program(ctx, st, append(argv, st.To.Addr().String()))
	case Traceroute:
		return s.program(ctx, st, []string{
			"traceroute", "-n", "-q", "1", "-N", "1", "-w", "2", "-m", strconv.Itoa(st.Hops), st.To.Addr().String(),
		})
	default:
		return s.program(ctx, st, st.Argv)
	}
}

// programLimit is how long a program may run.
const programLimit = time.Minute

// program runs one of this machine's programs.
func (s *side) program(ctx context.Context, st *Step, argv []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, programLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := s.run.Start(s.name, st.From, cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	switch e, isExit := errors.AsType[*exec.ExitError](err); {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return fmt.Sprintf("did not end within %s", programLimit), nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case isExit:
		s.output = out.String()
		return e.String(), nil
	case err != nil:
		return "", err
	}
	s.output = out.String()
	return "exit status 0", nil
}

// client connects from a namespace, sends, and reads what comes back.
func (s *side) client(ctx context.Context, st *Step, port uint16) (string, error) {
	var conn net.Conn
	err := within(s.run, s.name, st.From, func() (err error) {
		d := net.Dialer{Timeout: st.Timeout}
		if st.Kind == TCP {
			d.LocalAddr = &net.TCPAddr{Port: int(port)}
		} else {
			d.LocalAddr = &net.UDPAddr{Port: int(port)}
		}
		conn, err = d.DialContext(ctx, string(st.Kind)+"4", st.To.String())
		return err
	})
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err == nil {
		err = exchange(conn, st)
		if closeErr := conn.Close(); err == nil {
			err = closeErr
		}
	}
	return outcome(err)
}

var errShort = errors.New("other bytes came back")

// exchange sends bytes and wants them back.
func exchange(conn net.Conn, st *Step) error {
	if err := conn.SetDeadline(deadline(st.Timeout)); err != nil {
		return err
	}
	sent := make([]byte, st.Size)
	for i := range sent {
		sent[i] = byte('a' + i%26)
	}
	if _, err := conn.Write(sent); err != nil {
		return err
	}
	var got []byte
	var err error
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.CloseWrite(); err != nil {
			return err
		}
		got, err = io.ReadAll(conn)
	} else {
		got = make([]byte, 1<<16)
		var n int
		n, err = conn.Read(got)
		got = got[:n]
	}
	if err == nil && !bytes.Equal(got, sent) {
		err = fmt.Errorf("%w: %d for %d", errShort, len(got), len(sent))
	}
	return err
}

// outcome is how a conversation ended, without what varies. Whatever the network can do
// is an outcome; other errors are ours.
func outcome(err error) (string, error) {
	switch {
	case err == nil:
		return "answered", nil
	case errors.Is(err, errShort):
		return err.Error(), nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return "no answer", nil
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "no answer", nil
	}
	for _, known := range []syscall.Errno{
		syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ECONNRESET, syscall.EMSGSIZE,
		syscall.EPIPE, syscall.EPROTO, syscall.EACCES, syscall.EPERM,
	} {
		if errors.Is(err, known) {
			return known.Error(), nil
		}
	}
	return "", err
}

// side is one of the two labs.
type side struct {
	name   string // of the lab
	engine string
	run    lab.RunDir
	lab    *lab.Lab
	cap    *capture
	serve  *servers
	book   *book
	output string // of the last program
	kernel bool   // the kernel runs the datapath, not this process
}

// look sorts in what was captured since the last call.
func (s *side) look() { s.book.add(s.cap.take()) }

// close takes everything down again.
func (s *side) close() error {
	var errs []error
	if s.serve != nil {
		errs = append(errs, s.serve.close())
	}
	if s.cap != nil {
		errs = append(errs, s.cap.close())
	}
	if s.lab != nil {
		errs = append(errs, s.lab.Close())
	}
	return errors.Join(errs...)
}

// programsOf are the programs of this machine that steps need, without the shell's.
func programsOf(st *Step) string {
	switch st.Kind {
	case Ping, Traceroute:
		return string(st.Kind)
	case Command, Shell:
		return st.Argv[0]
	default: // clients of ours
		return ""
	}
}
