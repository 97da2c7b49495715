package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// results are the figures of one subject, one of each kind for each round.
type results struct {
	TCP1, TCP4       []float64 // Gb/s
	PPS              []float64
	P50, P99, Pinned []float64 // µs
	Conns            []float64 // a second
	CPUTCP, CPUUDP   []float64 // cores that the forwarder's processes take
}

// server is a subject's server process.
type server struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (b *bench) startServer(s *subject) (*server, error) {
	cmd, err := b.role(s.server, "server")
	if err != nil {
		return nil, err
	}
	sv := &server{cmd: cmd}
	if sv.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	sv.out = bufio.NewReader(out)
	cmd.Stderr = os.Stderr
	if err := s.server.Start(cmd); err != nil {
		return nil, err
	}
	_, err = sv.out.ReadString('\n')
	return sv, err
}

func (sv *server) stop() error {
	err := sv.in.Close()
	_ = sv.cmd.Process.Kill() // fails if it has ended
	_ = sv.cmd.Wait()         // it was killed
	return err
}

// received is how many packets the server has counted.
func (sv *server) received() (uint64, error) {
	if _, err := io.WriteString(sv.in, "\n"); err != nil {
		return 0, err
	}
	line, err := sv.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(line), 10, 64)
}

// measure takes all figures of a subject once.
func (b *bench) measure(ctx context.Context, s *subject) (err error) {
	sv, err := b.startServer(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sv.stop()) }()
	if !s.iperf {
		iperf := exec.Command("iperf3", "-s", "-p", strconv.Itoa(iperfPort))
		if err := b.start(s.server, iperf); err != nil {
			return err
		}
		s.iperf = true
	}
	r := b.results[s.name]
	// The first packet may have to find neighbours.
	if err := waitFor(func() error { _, err := b.client(s, "pingpong", 10*time.Millisecond); return err }); err != nil {
		return err
	}
	for _, f := range takings() {
		if !b.asked(f.name) {
			continue
		}
		if err := f.take(b, ctx, s, sv, r); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return s.checkSums()
}

// taking is one measurement, which gives one or more figures.
type taking struct {
	name string // in -figures
	take func(*bench, context.Context, *subject, *server, *results) error
}

// takings are all measurements in their order.
func takings() []taking {
	return []taking{
		{"tcp1", (*bench).stream},
		{"tcp4", (*bench).streams},
		{"udp", (*bench).packets},
		{"rtt", (*bench).roundTrips},
		{"connections", (*bench).connections},
		{"onecpu", (*bench).pinned},
	}
}

func figureNames() (names []string) {
	for _, f := range takings() {
		names = append(names, f.name)
	}
	return names
}

// asked tells whether a measurement is to be made.
func (b *bench) asked(name string) bool {
	return b.options.figures == "" || slices.Contains(strings.Split(b.options.figures, ","), name)
}

// stream measures one TCP stream.
func (b *bench) stream(ctx context.Context, s *subject, _ *server, r *results) error {
	before, start := s.cpu(), time.Now()
	gbps, err := b.iperf(ctx, s, 1)
	r.TCP1 = append(r.TCP1, gbps)
	r.CPUTCP = append(r.CPUTCP, (s.cpu()-before)/time.Since(start).Seconds())
	return err
}

// streams measures four of them.
func (b *bench) streams(ctx context.Context, s *subject, _ *server, r *results) error {
	gbps, err := b.iperf(ctx, s, 4)
	r.TCP4 = append(r.TCP4, gbps)
	return err
}

// roundTrips measures them on all CPUs.
func (b *bench) roundTrips(_ context.Context, s *subject, _ *server, r *results) error {
	a, err := b.client(s, "pingpong", b.options.duration)
	r.P50, r.P99 = append(r.P50, a.P50), append(r.P99, a.P99)
	return err
}

// connections measures how many can be made.
func (b *bench) connections(_ context.Context, s *subject, _ *server, r *results) error {
	a, err := b.client(s, "connect", b.options.duration)
	r.Conns = append(r.Conns, a.Rate)
	return err
}

// packets measures how many small packets arrive.
func (b *bench) packets(_ context.Context, s *subject, sv *server, r *results) error {
	was, err := sv.received()
	if err != nil {
		return err
	}
	before, start := s.cpu(), time.Now()
	if _, err := b.client(s, "blast", b.options.duration); err != nil {
		return err
	}
	r.CPUUDP = append(r.CPUUDP, (s.cpu()-before)/time.Since(start).Seconds())
	now, err := sv.received()
	r.PPS = append(r.PPS, float64(now-was)/b.options.duration.Seconds())
	return err
}

// pinned measures round trips with client, server and forwarder on one CPU.
func (b *bench) pinned(_ context.Context, s *subject, sv *server, r *results) (err error) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	pids := append(s.processes(), sv.cmd.Process.Pid)
	if err := setAffinity(pids, &one); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, setAffinity(pids, &all)) }()
	a, err := b.client(s, "pingpong", b.options.duration, &one)
	r.Pinned = append(r.Pinned, a.P50)
	return err
}

// setAffinity binds all threads of processes.
func setAffinity(pids []int, set *unix.CPUSet) error {
	for _, pid := range pids {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil {
			return err
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(filepath.Base(t))
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(tid, set); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}

// client runs a helper in the client's namespace.
func (b *bench) client(s *subject, role string, d time.Duration, cpus ...*unix.CPUSet) (a answer, err error) {
	cmd, err := b.role(s.client, role, s.addr, strconv.Itoa(int(d)))
	if err != nil {
		return a, err
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return a, err
	}
	err = s.client.Do(func() error {
		for _, set := range cpus { // children inherit it
			if err := unix.SchedSetaffinity(0, set); err != nil {
				return err
			}
		}
		return cmd.Start()
	})
	if err != nil {
		return a, err
	}
	return a, errors.Join(json.NewDecoder(out).Decode(&a), cmd.Wait())
}

// iperf measures TCP with some streams, in Gb/s.
func (b *bench) iperf(ctx context.Context, s *subject, streams int) (float64, error) {
	var got struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
		Error string `json:"error"`
	}
	err := waitFor(func() error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "iperf3", "-c", s.addr, "-p", strconv.Itoa(iperfPort), "-J", "-P", strconv.Itoa(streams),
			"-t", strconv.Itoa(max(1, int(b.options.duration.Seconds()))))
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := s.client.Start(cmd); err != nil {
			return err
		}
		got.Error = ""
		err = json.NewDecoder(out).Decode(&got)
		err = errors.Join(err, cmd.Wait())
		if got.Error != "" {
			return fmt.Errorf("iperf3: %s", got.Error)
		}
		return err
	})
	return got.End.Received.Rate / 1e9, err
}

// processes are those that move the frames.
func (s *subject) processes() (pids []int) {
	for _, f := range s.forwarders {
		pids = append(pids, f.Process.Pid)
	}
	return pids
}

// cpu is the time that the forwarder's processes have taken, in seconds.
func (s *subject) cpu() (sum float64) {
	const hz = 100 // USER_HZ
	for _, pid := range s.processes() {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		f := strings.Fields(string(data)[strings.LastIndexByte(string(data), ')')+1:])
		for _, i := range []int{11, 12} { // utime, stime
			n, _ := strconv.ParseFloat(f[i], 64)
			sum += n / hz
		}
	}
	return sum
}

// waitFor tries until it works, for at most 20 seconds.
func waitFor(f func() error) (err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		if err = f(); err == nil || time.Now().After(end) {
			return err
		}
	}
}
