package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// service is where a server of ours answers.
type service struct {
	ref  string // of its namespace
	at   netip.AddrPort
	kind Kind // TCP or UDP
}

// services are the servers that the steps need: where pods and hosts run nothing
// themselves, somebody must answer.
func services(c *cluster.Cluster, steps []Step) []service {
	spaces := map[netip.Addr]string{}
	busy := map[string]bool{}
	for _, n := range c.Nodes() {
		spaces[n.IP] = "node/" + n.Name
		for _, e := range c.Endpoints(n.Name) {
			if e.Pod == nil {
				spaces[e.IP] = "health/" + n.Name
				continue
			}
			spaces[e.IP] = e.Pod.Ref()
			busy[e.Pod.Ref()] = len(e.Pod.Run) > 0
		}
	}
	for _, e := range c.Settings().External {
		spaces[e.IP] = "external/" + e.Name
		busy["external/"+e.Name] = len(e.Run) > 0
	}
	var list []service
	for i := range steps {
		st := &steps[i]
		if st.Kind != TCP && st.Kind != UDP || st.Closed {
			continue
		}
		for _, at := range append(st.addrs(), st.To) {
			s := service{spaces[at.Addr()], at, st.Kind}
			if s.ref != "" && !busy[s.ref] && !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	return list
}

// addrs are the backends of the service that a step talks to.
func (st *Step) addrs() []netip.AddrPort {
	var list []netip.AddrPort
	for _, b := range st.backends {
		list = append(list, b.Addr)
	}
	return list
}

// servers are the running servers of one side.
type servers struct {
	closers []io.Closer
	wg      sync.WaitGroup
}

// serve starts servers in a lab. An address that a program of the lab has is left to that.
func serve(run lab.RunDir, name string, list []service) (*servers, error) {
	s := &servers{}
	for _, x := range list {
		err := within(run, name, x.ref, func() error {
			var lc net.ListenConfig
			if x.kind == UDP {
				conn, err := lc.ListenPacket(context.Background(), "udp4", x.at.String())
				if err == nil {
					s.closers = append(s.closers, conn)
					s.wg.Go(func() { echoDatagrams(conn) })
				}
				return err
			}
			l, err := lc.Listen(context.Background(), "tcp4", x.at.String())
			if err == nil {
				s.closers = append(s.closers, l)
				s.wg.Go(func() { s.accept(l) })
			}
			return err
		})
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			return nil, errors.Join(fmt.Errorf("serve %s in %s: %w", x.at, x.ref, err), s.close())
		}
	}
	return s, nil
}

func echoDatagrams(conn net.PacketConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = conn.WriteTo(buf[:n], from) // a client that is gone is no error of ours
		}
	}
}

func (s *servers) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer conn.Close() //nolint:errcheck // The client sees how it ends.
			_ = conn.SetDeadline(deadline(time.Minute))
			// All that was said is said back once it is complete, so that the order of
			// segments does not depend on who is faster.
			if text, err := io.ReadAll(conn); err == nil {
				_, _ = conn.Write(text)
			}
		})
	}
}

func (s *servers) close() error {
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	s.wg.Wait()
	return errors.Join(errs...)
}

// within runs f in a namespace of a lab.
func within(run lab.RunDir, name, ref string, f func() error) (err error) {
	pin, err := run.Pin(name, ref)
	if err != nil {
		return err
	}
	ns, err := netns.Open(pin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	return ns.Do(f)
}

// listening are the ports that the programs of a namespace listen on, as lines of text.
func listening(run lab.RunDir, name, ref string) (string, error) {
	var all []string
	err := within(run, name, ref, func() error {
		for _, table := range []struct{ file, state string }{{"tcp", "0A"}, {"tcp6", "0A"}, {"udp", "07"}, {"udp6", "07"}} {
			data, err := os.ReadFile("/proc/thread-self/net/" + table.file)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			for l := range strings.Lines(string(data)) {
				if w := strings.Fields(l); len(w) > 3 && w[3] == table.state {
					all = append(all, table.file+" "+w[1])
				}
			}
		}
		return nil
	})
	slices.Sort(all)
	return strings.Join(slices.Compact(all), "\n"), err
}
