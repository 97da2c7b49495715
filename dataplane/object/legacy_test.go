package object

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane"
)

// legacy is how an agent's objects look: iproute2's map definitions with ids and pinning, tail calls by id, constants as
// addresses of data symbols.
const legacy = prelude + `
struct bpf_elf_map { u32 type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx; };
#define MAP(name, ...) struct bpf_elf_map SEC("maps") name = { __VA_ARGS__ }
MAP(CALLS, .type = 3, .size_key = 4, .size_value = 4, .max_elem = 33, .id = 2, .pinning = 2);
MAP(cilium_lxc, .type = 1, .size_key = 20, .size_value = 48, .max_elem = 65535, .flags = 1, .pinning = 2);
MAP(cilium_signals, .type = 4, .size_key = 4, .size_value = 4, .pinning = 2);
MAP(cilium_encrypt_state, .type = 2, .size_key = 4, .size_value = 4, .max_elem = 1, .pinning = 2);
#define FETCH(x) ((u32)(u64)&(x))
`

const legacyLXC = `
#define CALLS cilium_calls_65535
` + legacy + `
MAP(cilium_call_policy, .type = 3, .size_key = 4, .size_value = 4, .max_elem = 65535, .id = 1, .pinning = 2);
MAP(cilium_policy_65535, .type = 1, .size_key = 8, .size_value = 24, .max_elem = 16384, .flags = 1, .pinning = 2);
volatile u32 LXC_IPV4 = 0x11, NODE_MAC_1 = 0x22, NODE_MAC_2 = 0x33, SECLABEL = 0x44, SECLABEL_NB = 0x55, POLICY_VERDICT_LOG_FILTER = 0x66;
volatile u16 LXC_ID = 0xffff;
SEC("from-container") int handle_xgress(struct __sk_buff *ctx) {
	ctx->mark = FETCH(LXC_IPV4) ^ FETCH(SECLABEL_NB);
	ctx->queue_mapping = FETCH(LXC_ID);
	tail_call(ctx, &cilium_calls_65535, 7);
	return FETCH(NODE_MAC_1) + FETCH(NODE_MAC_2);
}
SEC("2/0x7") int tail_handle_ipv4(struct __sk_buff *ctx) {
	u32 key[5] = {};
	if (lookup(&cilium_lxc, key)) tail_call(ctx, &cilium_call_policy, 1);
	return FETCH(SECLABEL);
}
SEC("1/0xffff") int handle_policy(struct __sk_buff *ctx) {
	u32 key[2] = {};
	return lookup(&cilium_policy_65535, key) ? 0 : FETCH(POLICY_VERDICT_LOG_FILTER);
}
`

const legacyHost = `
#define CALLS cilium_calls_hostns_65535
` + legacy + `
SEC("from-host") int from_host(struct __sk_buff *ctx) { tail_call(ctx, &CALLS, 22); return 0; }
SEC("to-host") int to_host(struct __sk_buff *ctx) { return 0; }
SEC("2/22") int tail_from_host(struct __sk_buff *ctx) { return 0; }
`

const legacyOverlay = `
#define CALLS cilium_calls_overlay_2
` + legacy + `
SEC("from-overlay") int from_overlay(struct __sk_buff *ctx) { tail_call(ctx, &CALLS, 7); return 0; }
SEC("2/7") int tail_handle_ipv4(struct __sk_buff *ctx) { return 0; }
`

// nodeHeader is a node_config.h as an agent and init.sh write it.
const nodeHeader = `/* generated */
#ifndef NODE_CONFIG_H
#define NODE_CONFIG_H
#define ENABLE_IPV4 1
#define ENCAP_IFINDEX 3
#define HOST_IFINDEX 4 // cilium_net
#define CILIUM_IFINDEX 5
#define HOST_IFINDEX_MAC { .addr = {0x2,0x0,0x0,0x0,0x0,0x5}}
#define CILIUM_NET_MAC { .addr = { 0x02, 0x00, 0x00, 0x00, 0x00, 0x04 } }
#define IPV4_MASK 0xffffff
#define IPV4_LOOPBACK 0x12afea9
#define TUNNEL_PORT 8472
#define REMOTE_NODE_ID 6
#define LOCAL_NODE_ID REMOTE_NODE_ID
#define CT_CONNECTION_LIFETIME_TCP 21600
#define CT_CONNECTION_LIFETIME_NONTCP 60
#define CT_SERVICE_LIFETIME_TCP 21601
#define CT_SERVICE_LIFETIME_NONTCP 61
#define CT_SYN_TIMEOUT 59
#define CT_CLOSE_TIMEOUT 10
#define CT_SERVICE_CLOSE_REBALANCE 30
#define CT_REPORT_INTERVAL 5
#define CT_REPORT_FLAGS 0x00ff
#define TRACE_PAYLOAD_LEN 128ULL
#define ENABLE_JIFFIES 1
#define KERNEL_HZ 1000
#endif
`

const endpointHeader = "#define HOST_EP_ID 0x7b\n#define MONITOR_AGGREGATION 3\n#define ENABLE_ROUTING 1\n#define SECLABEL fetch_u32(SECLABEL)\n"

// agentFiles are what an agent leaves.
func agentFiles(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{
		"bpf_lxc.o": string(compile(t, legacyLXC)), "bpf_host.o": string(compile(t, legacyHost)), "bpf_overlay.o": string(compile(t, legacyOverlay)),
		"node_config.h": nodeHeader, "netdev_config.h": "#define MONITOR_AGGREGATION 0\n", "ep_config.h": endpointHeader,
	}
}

// agentDir writes files, changed by edit; "-" takes one away.
func agentDir(t *testing.T, files, edit map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files = maps.Clone(files)
	maps.Copy(files, edit)
	for name, text := range files {
		if text == "-" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func overlayMAC() map[string]string {
	return map[string]string{"CILIUM_VXLAN_MAC": "02:00:00:00:00:03"}
}

func TestAgentObjects(t *testing.T) {
	t.Parallel()
	b, err := Read(agentDir(t, agentFiles(t), nil), overlayMAC())
	if err != nil {
		t.Fatal(err)
	}
	h, c := pod()
	want := c
	want.EncapIfindex, want.NetIfindex, want.HostIfindex = 3, 4, 5
	want.HostMAC, want.NetMAC, want.OverlayMAC = [6]byte{2, 0, 0, 0, 0, 5}, [6]byte{2, 0, 0, 0, 0, 4}, [6]byte{2, 0, 0, 0, 0, 3}
	want.Lifetimes = dataplane.Lifetimes{TCP: 21600, NonTCP: 60, ServiceTCP: 21601, ServiceNonTCP: 61, SYN: 59, Close: 10, ServiceCloseRebalance: 30}
	want.HostEndpointID, want.Clock, want.KernelHz = 0x7b, dataplane.ClockJiffies, 1000
	got := b.Config(c)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("configuration (-want +got):\n%s", d)
	}
	in, err := b.Instance(h, got)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]uint64{}
	for _, k := range b.Object(LXC).inline {
		ins := in.Programs[k.program].Instructions[k.instruction]
		values[k.name] = uint64(ins.Constant)
		if ins.Reference() != "" || ins.IsLoadFromMap() {
			t.Errorf("%s: still a reference: %v", k.name, ins)
		}
	}
	if d := cmp.Diff(map[string]uint64{
		"LXC_IPV4": 0x0701000a, "NODE_MAC_1": 0x05040302, "NODE_MAC_2": 0x0706, "SECLABEL": 0xabcde, "SECLABEL_NB": 0xdebc0a00,
		"POLICY_VERDICT_LOG_FILTER": 3, "LXC_ID": 0x1234,
	}, values); d != "" {
		t.Errorf("constants in instructions (-want +got):\n%s", d)
	}
	if p, ok := in.Object.Program("1/0xffff"); !ok || p.Entry != dataplane.PolicyProg || !p.Tail.PerEndpoint {
		t.Errorf("policy program: %+v", p)
	}
	if d := cmp.Diff([]string{"cilium_encrypt_state"}, in.Object.Unused); d != "" {
		t.Errorf("unused maps (-want +got):\n%s", d)
	}
	got.Lifetimes.SYN++
	if _, err := b.Instance(h, got); err == nil || !strings.Contains(err.Error(), "CT_SYN_TIMEOUT: compiled in as 3b") {
		t.Error("a configuration that contradicts the object was taken")
	}
}

// TestAgentObjectsRefused reads what an agent could not have left.
func TestAgentObjectsRefused(t *testing.T) {
	t.Parallel()
	lxc := func(old, with string) string {
		if !strings.Contains(legacyLXC, old) {
			t.Fatalf("%q is not in the source", old)
		}
		return string(compile(t, strings.Replace(legacyLXC, old, with, 1)))
	}
	x86 := string(compile(t, "int main(void) { return 0; }", "-target", "x86_64"))
	big := string(compile(t, legacyLXC, "-target", "bpfeb"))
	files := agentFiles(t)
	good := files["bpf_lxc.o"]
	for _, x := range []struct {
		name string
		edit map[string]string
		user map[string]string
		want string
	}{
		{"no object", map[string]string{"bpf_host.o": "-"}, nil, "bpf_host.o: no such file"},
		{"empty", map[string]string{"bpf_lxc.o": ""}, nil, "bpf_lxc.o: object refused: the file is empty"},
		{"no ELF", map[string]string{"bpf_lxc.o": "#!/bin/sh"}, nil, "no ELF file"},
		{"truncated header", map[string]string{"bpf_lxc.o": good[:40]}, nil, "truncated or malformed ELF"},
		{"truncated", map[string]string{"bpf_lxc.o": good[:len(good)/2]}, nil, "truncated"},
		{"another architecture", map[string]string{"bpf_lxc.o": x86}, nil, "compiled for EM_X86_64"},
		{"another byte order", map[string]string{"bpf_lxc.o": big}, nil, "byte order"},
		{"objects exchanged", map[string]string{"bpf_host.o": good}, nil, `section "1/0xffff": a pod's policy program in bpf_host`},
		{"unknown map", map[string]string{"bpf_lxc.o": lxc("&cilium_lxc,", "&cilium_encrypt_state,")}, nil, `map "cilium_encrypt_state": not one of the datapath's`},
		{"map of another layout", map[string]string{"bpf_lxc.o": lxc(".size_value = 48", ".size_value = 56")}, nil, `map "cilium_lxc": values of 56 bytes, want 48`},
		{"map of another type", map[string]string{"bpf_lxc.o": lxc(".type = 1, .size_key = 20", ".type = 9, .size_key = 20")}, nil, `map "cilium_lxc": type LRUHash, want Hash`},
		{"map without entries", map[string]string{"bpf_lxc.o": lxc(".max_elem = 16384", ".max_elem = 0")}, nil, `map "cilium_policy_65535": 0 entries`},
		{"map of maps", map[string]string{"bpf_lxc.o": lxc(".max_elem = 65535, .flags = 1", ".max_elem = 65535, .inner_id = 7")}, nil, "a map of maps (inner id 7"},
		{"pinning", map[string]string{"bpf_lxc.o": lxc(".id = 2, .pinning = 2", ".id = 2, .pinning = 9")}, nil, "pinning 9"},
		{"unknown prog array", map[string]string{"bpf_lxc.o": lxc("2/0x7", "3/7")}, nil, `section "3/7": no prog array with id 3`},
		{"slot", map[string]string{"bpf_lxc.o": lxc("2/0x7", "2/33")}, nil, `slot 33 of map cilium_calls_65535, which has 33`},
		{"unknown section", map[string]string{"bpf_lxc.o": lxc("2/0x7", "xdp")}, nil, `section "xdp": neither a hook`},
		{"no entry", map[string]string{"bpf_lxc.o": lxc("from-container", "to-container")}, nil, "no program from-container; there are"},
		{"unknown data symbol", map[string]string{"bpf_lxc.o": lxc("return FETCH(SECLABEL);", "static volatile u32 OTHER = 7; return FETCH(OTHER);")}, nil, "no symbol there"},
		{"unknown data variable", map[string]string{"bpf_lxc.o": lxc("volatile u16 LXC_ID = 0xffff;", "volatile u16 LXC_ID = 0xffff; volatile u32 LXC_MARK = 7;\n#define LXC_IPV4 LXC_MARK\n")}, nil, `refers to "LXC_MARK" in .data: no constant of that name`},
		{"one endpoint only", map[string]string{"bpf_lxc.o": lxc("FETCH(LXC_ID)", "7")}, nil, "no symbol LXC_ID"},
		{"no licence", map[string]string{"bpf_lxc.o": lxc(`SEC("license")`, `SEC("licence")`)}, nil, `no section "license"`},
		{"kernel function", map[string]string{"bpf_lxc.o": lxc("return FETCH(SECLABEL);", "extern int f(void) SEC(\".ksyms\"); return f();")}, nil, `section "2/0x7": calls the kernel function "f"`},
		{"no headers", map[string]string{"node_config.h": "-", "netdev_config.h": "-", "ep_config.h": "-"}, nil, "ENCAP_IFINDEX, HOST_EP_ID"},
		{"constant missing", map[string]string{"node_config.h": strings.Replace(nodeHeader, "#define ENCAP_IFINDEX 3\n", "", 1)}, nil, "CILIUM_VXLAN_MAC, ENCAP_IFINDEX; --define NAME=VALUE"},
		{"constant no number", map[string]string{"node_config.h": strings.Replace(nodeHeader, "IFINDEX 3", "IFINDEX three", 1)}, nil, "node_config.h:5: object refused: ENCAP_IFINDEX three: want a number of 32 bits"},
		{"constant too large", map[string]string{"ep_config.h": strings.Replace(endpointHeader, "0x7b", "65536", 1)}, nil, "ep_config.h:1: object refused: HOST_EP_ID 65536"},
		{"no MAC", map[string]string{"node_config.h": strings.Replace(nodeHeader, "0x2,0x0,0x0", "0x2", 1)}, nil, "HOST_IFINDEX_MAC"},
		{"condition", map[string]string{"node_config.h": strings.Replace(nodeHeader, "#define ENCAP_IFINDEX 3\n", "#ifdef X\n#define ENCAP_IFINDEX 3\n#endif\n", 1)}, nil, "under a condition"},
		{"option", map[string]string{"node_config.h": nodeHeader + "#define ENABLE_NODEPORT 1\n"}, nil, "node_config.h:28: object refused: ENABLE_NODEPORT"},
		{"jiffies without HZ", map[string]string{"node_config.h": strings.Replace(nodeHeader, "#define KERNEL_HZ 1000\n", "", 1)}, nil, "ENABLE_JIFFIES without KERNEL_HZ"},
		{"define", nil, map[string]string{"ENCAP_INDEX": "3"}, "--define ENCAP_INDEX=3: object refused: no such constant; there are"},
		{"define's value", nil, map[string]string{"CILIUM_VXLAN_MAC": "02:00"}, "--define CILIUM_VXLAN_MAC: object refused: CILIUM_VXLAN_MAC 02:00: want a MAC address"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			_, err := Read(agentDir(t, files, x.edit), x.user)
			if err == nil {
				t.Fatal("taken")
			}
			if !errors.Is(err, ErrObject) || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q: want one line with %q", err, x.want)
			}
			t.Log(err)
		})
	}
}

// TestDefinesComplete gives by hand what no header says.
func TestDefinesComplete(t *testing.T) {
	t.Parallel()
	dir := agentDir(t, agentFiles(t), map[string]string{"node_config.h": "-", "netdev_config.h": "-", "ep_config.h": "-"})
	user := map[string]string{}
	for name := range compiledIn() {
		switch {
		case strings.HasSuffix(name, "_MAC"):
			user[name] = "02:00:00:00:00:09"
		case strings.HasPrefix(name, "IPV4_"):
			user[name] = "169.254.42.9"
		default:
			user[name] = fmt.Sprint(len(user) + 1)
		}
	}
	b, err := Read(dir, user)
	if err != nil {
		t.Fatal(err)
	}
	base := dataplane.DefaultConfig()
	base.Delivery = dataplane.DeliverPeer
	c := b.Config(base)
	if c.Loopback != [4]byte{169, 254, 42, 9} || c.OverlayMAC != [6]byte{2, 0, 0, 0, 0, 9} || c.EncapIfindex == 0 || c.Delivery != dataplane.DeliverPeer {
		t.Errorf("%+v", c)
	}
}
