package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// machine is what a lab is started in: a network namespace of its own, which has things that
// look like a lab's, and a mount namespace. The tests' own ones have other tests in them.
type machine struct {
	*session
	lab    string // a name that no other test's lab has
	host   string // the network namespace, below /run/netns
	mounts string // the mount namespace, below /proc; "": the tests' own
	// others are mounts that were there before: copies of other tests', which may go.
	others map[string]bool
}

func newMachine(s *session) *machine {
	t := s.tb
	t.Helper()
	m := &machine{session: s, lab: strings.ToLower(t.Name()) + strconv.Itoa(os.Getpid()), host: fmt.Sprintf("ctl%d-%s", os.Getpid(), t.Name())}
	if err := os.Mkdir(s.path("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	if s.as != nil {
		if err := os.Chown(s.path("run"), int(s.as.Uid), int(s.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	mustRun(t, "ip", "netns", "add", m.host)
	t.Cleanup(func() { mustRun(t, "ip", "netns", "del", m.host) })
	for _, cmd := range []string{
		"link add cilium_host type veth peer name cilium_net", "link add br0 type bridge", "link add node1 type veth peer name external0",
		"link add lxc2fa3dbdebd6c type veth peer name eth0", "address add 10.0.0.1/24 dev br0", "rule add pref 9 fwmark 0x200/0xf00 lookup 2004",
	} {
		mustRun(t, "ip", append([]string{"-n", m.host}, strings.Fields(cmd)...)...)
	}
	holder := exec.Command("unshare", "--mount", "sh", "-c", "echo; exec cat")
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = holder.Wait() // cat ends with its input
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	m.mounts = fmt.Sprintf("/proc/%d/ns/mnt", holder.Process.Pid)
	m.others = map[string]bool{}
	for _, line := range m.mountinfo(t) {
		m.others[line] = true
	}
	return m
}

// inside is a command in both namespaces.
func (m *machine) inside(args ...string) *exec.Cmd {
	cmd := m.session.command()
	cmd.SysProcAttr = nil // root's, as who enters namespaces
	// Not ip netns exec, which would give it mounts of its own.
	cmd.Args = []string{"nsenter", "--net=/run/netns/" + m.host}
	if m.mounts != "" {
		cmd.Args = append(cmd.Args, "--mount="+m.mounts, "--wd="+m.dir)
	}
	cmd.Args = append(cmd.Args, args...)
	cmd.Path, _ = exec.LookPath("nsenter")
	return cmd
}

// command is `hooklab args...` there, the session's user's.
func (m *machine) command(args ...string) *exec.Cmd {
	args = append([]string{"hooklab"}, args...)
	if m.as != nil {
		args = append([]string{"setpriv", "--reuid", strconv.Itoa(int(m.as.Uid)), "--regid", strconv.Itoa(int(m.as.Gid)), "--clear-groups"}, args...)
	}
	return m.inside(args...)
}

// listing is all that a lab could leave behind: what is in the network namespace, files,
// mounts, processes, and namespaces that are held by a mount or by a process.
func (m *machine) listing(tb testing.TB) string {
	tb.Helper()
	const script = `ip -o link | sed 's/@.*state/ state/'; ip -o -4 address; ip route show table all; ip rule; ip neighbour show nud permanent
nft list ruleset; tc qdisc show
grep -s . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/icmp_* /proc/sys/net/ipv4/conf/*/* /proc/sys/net/ipv6/conf/*/*
find "$0" | sort; find /run/netns /run/hooklab /sys/fs/bpf -name "*$1*" 2>/dev/null | sort; true`
	out, err := m.inside("sh", "-c", script, m.path("run"), m.lab).CombinedOutput()
	if err != nil {
		tb.Fatalf("listing: %v\n%s", err, out)
	}
	var mounted []string
	for _, line := range m.mountinfo(tb) {
		if m.mounts != "" && !m.others[line] || strings.Contains(line, m.path("run")) {
			f := strings.Fields(line)
			mounted = append(mounted, "mount "+strings.Join(f[3:5], " ")+"\n")
		}
	}
	slices.Sort(mounted)
	return string(out) + strings.Join(mounted, "") + m.processes(tb)
}

// mountinfo are the lines that tell the mounts, of a namespace's file among them.
func (m *machine) mountinfo(tb testing.TB) []string {
	tb.Helper()
	file := "/proc/self/mountinfo"
	if m.mounts != "" {
		file = filepath.Dir(filepath.Dir(m.mounts)) + "/mountinfo"
	}
	data, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// listing is that of a machine without a mount namespace of its own.
func listing(tb testing.TB, s *session, host string) string {
	tb.Helper()
	return (&machine{session: s, lab: "no lab", host: host}).listing(tb)
}

// processes are those that descend from the lab's commands, which their environment tells,
// with their network namespaces, as lsns lists them.
func (m *machine) processes(tb testing.TB) string {
	tb.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		tb.Fatal(err)
	}
	mark := "HOOKLAB_RUN_DIR=" + m.path("run")
	var all []string
	for _, dir := range dirs {
		env, err := os.ReadFile(dir + "/environ")
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), mark) {
			continue // has ended, or is somebody else's
		}
		ns, err := os.Readlink(dir + "/ns/net")
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		name, _ := os.ReadFile(dir + "/comm")
		all = append(all, fmt.Sprintf("process %s in %s\n", strings.TrimSpace(string(name)), ns))
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// TestPrivilegedListing leaves one thing of each kind behind and looks whether the listing
// that TestPrivilegedKilled compares tells.
func TestPrivilegedListing(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	m := newMachine(s)
	before := m.listing(t)
	if again := m.listing(t); again != before {
		t.Fatalf("two listings of the same differ:\n%s\n%s", before, again)
	}
	for _, tt := range []struct{ what, leave, undo, want string }{
		{"a link", "ip link add lxc0 type veth peer name lxc1", "ip link del lxc0", "lxc0"},
		{"a link of the machine that is gone", "ip link del node1", "ip link add node1 type veth peer name external0", ""},
		{"an address", "ip address add 10.0.0.7/24 dev br0", "ip address del 10.0.0.7/24 dev br0", "10.0.0.7"},
		{"a link that is up", "ip link set br0 up", "ip link set br0 down", "UP"},
		{"a route", "ip link set lo up; ip route add 10.9.0.0/16 dev lo table 2004", "ip route del 10.9.0.0/16 table 2004; ip link set lo down", "10.9.0.0/16"},
		{"a rule", "ip rule add pref 10 fwmark 0xa00 lookup 2005", "ip rule del pref 10", "0xa00"},
		{"a neighbour", "ip neighbour add 10.0.0.9 lladdr 02:00:00:00:00:09 dev br0 nud permanent", "ip neighbour del 10.0.0.9 dev br0", "02:00:00:00:00:09"},
		{"an nft table", "nft add table ip hooklab", "nft delete table ip hooklab", "table ip hooklab"},
		{"a qdisc", "tc qdisc add dev br0 clsact", "tc qdisc del dev br0 clsact", "clsact"},
		{"ip_forward", "echo 1 >/proc/sys/net/ipv4/ip_forward", "echo 0 >/proc/sys/net/ipv4/ip_forward", "ip_forward:1"},
		{"a sysctl of a device", "echo 1 >/proc/sys/net/ipv4/conf/br0/accept_local", "echo 0 >/proc/sys/net/ipv4/conf/br0/accept_local", "br0/accept_local:1"},
		{"a mount", "mount -t tmpfs none /mnt", "umount /mnt", "/mnt"},
		{"a file", "mkdir run/x && touch run/x/state.json", "rm -r run/x", "state.json"},
		{"a namespace held by a mount", "touch run/ns && unshare --net mount --bind /proc/self/ns/net run/ns", "umount run/ns; rm run/ns", "net:["},
		{"a namespace held by a process", "unshare --net sh -c 'exec sleep 1000 >/dev/null 2>&1 &'; true", "pid", "process sleep in net:["},
	} {
		if out, err := m.inside("sh", "-c", tt.leave).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", tt.what, err, out)
			continue
		}
		after := m.listing(t)
		if after == before || !strings.Contains(after, tt.want) {
			t.Errorf("%s is not seen", tt.what)
		}
		if tt.undo == "pid" {
			m.endLeft(t)
		} else if out, err := m.inside("sh", "-c", tt.undo).CombinedOutput(); err != nil {
			t.Fatalf("undo %s: %v\n%s", tt.what, err, out)
		}
		before = m.listing(t) // a device made again has another index, one that was up a qdisc
	}
}

// endLeft ends the processes that the test has left on purpose.
func (m *machine) endLeft(tb testing.TB) {
	tb.Helper()
	for m.processes(tb) != "" {
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range dirs {
			env, _ := os.ReadFile(dir + "/environ")
			if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && strings.Contains(string(env), "HOOKLAB_RUN_DIR="+m.path("run")+"\x00") {
				if p, err := os.FindProcess(pid); err == nil {
					_ = p.Kill() // it may have ended
				}
			}
		}
	}
}

func mustRun(tb testing.TB, name string, args ...string) {
	tb.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		tb.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
