package object

import (
	"bytes"
	"os/exec"
	"testing"
)

// compile compiles C for BPF, with BTF and line information unless flags say otherwise.
func compile(tb testing.TB, source string, flags ...string) []byte {
	tb.Helper()
	args := append([]string{"-O2", "-g", "-Wall", "-Werror", "-Wno-unused-variable", "-target", "bpf"}, flags...)
	cmd := exec.Command("clang", append(args, "-x", "c", "-c", "-", "-o", "-")...)
	var out, problems bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewBufferString(source), &out, &problems
	if err := cmd.Run(); err != nil {
		tb.Fatalf("clang: %v\n%s", err, problems.String())
	}
	return out.Bytes()
}

// prelude is what all test objects begin with.
const prelude = `
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
#define SEC(name) __attribute__((section(name), used))
struct __sk_buff { u32 len, pkt_type, mark, queue_mapping; };
static long (*tail_call)(void *, void *, u32) = (void *)12;
static void *(*lookup)(void *, const void *) = (void *)1;
static long (*redirect)(u32, u64) = (void *)23;
char _license[] SEC("license") = "Dual BSD/GPL";
`

// btfObject is a pod's program with BTF maps and constants in read-only data.
const btfObject = prelude + `
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
struct { __uint(type, 3); __uint(max_entries, 33); __uint(key_size, 4); __uint(value_size, 4); } cilium_calls_00000 SEC(".maps");
struct { __uint(type, 3); __uint(max_entries, 65535); __uint(key_size, 4); __uint(value_size, 4); } cilium_call_policy SEC(".maps");
struct { __uint(type, 1); __uint(max_entries, 16384); __uint(key_size, 8); __uint(value_size, 24); __uint(map_flags, 1); } cilium_policy_00000 SEC(".maps");
struct { __uint(type, 1); __uint(max_entries, 65535); __uint(key_size, 20); __uint(value_size, 48); __uint(map_flags, 1); } cilium_lxc SEC(".maps");
const volatile u32 SECLABEL; const volatile u16 LXC_ID; const volatile u8 NODE_MAC[6]; const volatile u32 LXC_IPV4;
const volatile u8 ENABLE_ROUTING = 1;
static __attribute__((noinline)) u32 identity(void) { return SECLABEL + NODE_MAC[5]; }
SEC("from-container") int handle_xgress(struct __sk_buff *ctx) {
	ctx->mark = identity() + LXC_IPV4;
	tail_call(ctx, &cilium_calls_00000, 7);
	return ENABLE_ROUTING ? 2 : 0;
}
SEC("2/7") int tail_handle_ipv4(struct __sk_buff *ctx) {
	u32 key[5] = {};
	void *ep = lookup(&cilium_lxc, key);
	if (ep) tail_call(ctx, &cilium_call_policy, 1);
	return redirect(LXC_ID, 0);
}
SEC("1/65535") int handle_policy(struct __sk_buff *ctx) {
	u32 key[2] = {};
	return lookup(&cilium_policy_00000, key) ? 0 : 2;
}
`
