/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* Connection tracking (SPEC 5). */

#include "ipv4.h"
#include "time.h"
#include "trace.h"

#define ICMP_OFF_ID 4
#define ICMP_ECHOREPLY 0
#define ICMP_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

#define TCP_OFF_FLAGS 12 /* data offset, then flags */
#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04

#define CT_F_CLOSING (CT_F_RX_CLOSING | CT_F_TX_CLOSING)
#define CT_STATE_FLAGS (CT_F_LB_LOOPBACK | CT_F_NODE_PORT | CT_F_PROXY_REDIRECT | CT_F_DSR)

/* What a packet asks of its connection. */
enum ct_action {
	CT_ACTION_NONE, /* ICMP errors */
	CT_ACTION_CREATE, /* open or go on */
	CT_ACTION_CLOSE, /* FIN or RST */
};

/* One packet's lookup under way. */
struct ct_flow {
	enum ct_dir dir;
	enum ct_action action;
	bool tcp;
	__u8 tcp_flags;
	__u32 monitor;
};

/* get_ct_map4 is the map of the tuple's protocol. */
static __always_inline void *get_ct_map4(__u8 nexthdr)
{
	return nexthdr == IPPROTO_TCP ? (void *)&cilium_ct4_global : &cilium_ct_any4_global;
}

/* ct_lookup_map asks the map of the tuple's protocol. */
static __always_inline struct ct_entry *ct_lookup_map(const struct ipv4_ct_tuple *tuple)
{
	return tuple->nexthdr == IPPROTO_TCP ? bpf_map_lookup_elem(&cilium_ct4_global, tuple) :
					       bpf_map_lookup_elem(&cilium_ct_any4_global, tuple);
}

static __always_inline long ct_update_map(const struct ipv4_ct_tuple *tuple,
					  const struct ct_entry *entry)
{
	return tuple->nexthdr == IPPROTO_TCP ?
		       bpf_map_update_elem(&cilium_ct4_global, tuple, entry, BPF_ANY) :
		       bpf_map_update_elem(&cilium_ct_any4_global, tuple, entry, BPF_ANY);
}

/* ct_entry_alive tells an entry that is not closed in both directions. */
static __always_inline bool ct_entry_alive(const struct ct_entry *entry)
{
	return (entry->flags & CT_F_CLOSING) != CT_F_CLOSING;
}

/* ct_entry_closing tells an entry that is closed in a direction. */
static __always_inline bool ct_entry_closing(const struct ct_entry *entry)
{
	return entry->flags & CT_F_CLOSING;
}

/*
 * ct_entry_expired_rebalance tells a closing service entry that is old enough for a
 * new choice of backend.
 */
static __always_inline bool ct_entry_expired_rebalance(const struct ct_entry *entry)
{
	return entry->last_tx_report + bpf_sec_to_mono(CT_SERVICE_CLOSE_REBALANCE) <=
	       bpf_mono_now();
}

/*
 * __ct_update_timeout writes a lifetime, and the report fields where TCP flags are
 * new or the report interval is over. It returns the monitor value: report, or 0.
 */
static __always_inline __u32 __ct_update_timeout(struct ct_entry *entry, __u32 lifetime,
						 enum ct_dir dir, __u8 tcp_flags)
{
	__u32 now = bpf_mono_now(), last;
	__u8 seen, flags;

	entry->lifetime = now + lifetime;
	if (dir == CT_INGRESS) {
		seen = entry->rx_flags_seen;
		last = entry->last_rx_report;
	} else {
		seen = entry->tx_flags_seen;
		last = entry->last_tx_report;
	}
	flags = seen | (tcp_flags & CT_REPORT_FLAGS);
	if (last + bpf_sec_to_mono(CT_REPORT_INTERVAL) >= now && flags == seen)
		return 0;
	if (dir == CT_INGRESS) {
		entry->rx_flags_seen = flags;
		entry->last_rx_report = now;
	} else {
		entry->tx_flags_seen = flags;
		entry->last_tx_report = now;
	}
	return TRACE_PAYLOAD_ALWAYS;
}

/* ct_update_timeout prolongs an entry and returns the monitor value. */
static __always_inline __u32 ct_update_timeout(struct ct_entry *entry, bool tcp, enum ct_dir dir,
					       __u8 tcp_flags)
{
	bool service = dir == CT_SERVICE;
	__u32 lifetime;

	if (!tcp) {
		lifetime = service ? CT_SERVICE_LIFETIME_NONTCP : CT_CONNECTION_LIFETIME_NONTCP;
	} else {
		if (!(tcp_flags & TCP_FLAG_SYN))
			entry->flags |= CT_F_SEEN_NON_SYN;
		if (!(entry->flags & CT_F_SEEN_NON_SYN))
			lifetime = CT_SYN_TIMEOUT;
		else
			lifetime = service ? CT_SERVICE_LIFETIME_TCP : CT_CONNECTION_LIFETIME_TCP;
	}
	return __ct_update_timeout(entry, bpf_sec_to_mono(lifetime), dir, tcp_flags);
}

/*
 * ct_account counts a frame. Service entries count nothing: the field holds the
 * backend.
 */
static __always_inline void ct_account(struct ct_entry *entry, enum ct_dir dir, __u64 len)
{
	if (dir == CT_INGRESS) {
		__sync_fetch_and_add(&entry->rx_packets, 1);
		__sync_fetch_and_add(&entry->rx_bytes, len);
	} else if (dir == CT_EGRESS) {
		__sync_fetch_and_add(&entry->tx_packets, 1);
		__sync_fetch_and_add(&entry->tx_bytes, len);
	}
}

/*
 * ct_close records a FIN or RST. Any RST closes both directions at once, even of an
 * established connection: the guard that should tell one is never true on a little
 * endian machine (SPEC 5.3). A service entry sees one direction only.
 */
static __always_inline void ct_close(struct ct_entry *entry, struct ct_flow *flow)
{
	if (flow->tcp_flags & TCP_FLAG_RST && flow->dir != CT_SERVICE)
		entry->flags |= CT_F_CLOSING;
	else
		entry->flags |= flow->dir == CT_INGRESS ? CT_F_RX_CLOSING : CT_F_TX_CLOSING;
	flow->monitor = TRACE_PAYLOAD_ALWAYS;
	if (!ct_entry_alive(entry))
		__ct_update_timeout(entry, bpf_sec_to_mono(CT_CLOSE_TIMEOUT), flow->dir,
				    flow->tcp_flags);
}

/*
 * __ct_lookup looks one tuple up and brings the entry up to date. It returns CT_NEW,
 * CT_ESTABLISHED or CT_REOPENED (SPEC 5.3).
 */
static __always_inline int __ct_lookup(struct __sk_buff *ctx, const struct ipv4_ct_tuple *tuple,
				       struct ct_flow *flow, struct ct_state *state)
{
	struct ct_entry *entry = ct_lookup_map(tuple);
	bool syn = flow->tcp_flags & TCP_FLAG_SYN;

	if (!entry || (flow->dir == CT_SERVICE && syn && ct_entry_closing(entry) &&
		       ct_entry_expired_rebalance(entry))) {
		flow->monitor = TRACE_PAYLOAD_ALWAYS;
		return CT_NEW;
	}
	if (ct_entry_alive(entry))
		flow->monitor = ct_update_timeout(entry, flow->tcp, flow->dir, flow->tcp_flags);
	state->rev_nat_index = entry->rev_nat_index;
	state->ifindex = entry->ifindex;
	state->flags = entry->flags & CT_STATE_FLAGS;
	if (flow->dir == CT_SERVICE) {
		state->backend_id = entry->rx_bytes;
		state->syn = syn;
	}
	ct_account(entry, flow->dir, ctx->len);
	if (flow->action == CT_ACTION_CREATE && syn && ct_entry_closing(entry)) {
		entry->flags &= ~CT_F_CLOSING;
		flow->monitor = ct_update_timeout(entry, flow->tcp, flow->dir, flow->tcp_flags);
		return CT_REOPENED;
	}
	if (flow->action == CT_ACTION_CLOSE)
		ct_close(entry, flow);
	return CT_ESTABLISHED;
}

static __always_inline int ct_extract_icmp(struct __sk_buff *ctx, const struct iphdr *ip4,
					   struct ipv4_ct_tuple *tuple, struct ct_flow *flow)
{
	__u32 off = ipv4_l4_off(ip4);
	__be16 id;
	__u8 type;

	if (bpf_skb_load_bytes(ctx, off, &type, sizeof(type)) < 0)
		return DROP_CT_INVALID_HDR;
	switch (type) {
	case ICMP_UNREACH:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETERPROB:
		tuple->flags |= TUPLE_F_RELATED;
		return 0;
	case ICMP_ECHO:
	case ICMP_ECHOREPLY:
		if (bpf_skb_load_bytes(ctx, off + ICMP_OFF_ID, &id, sizeof(id)) < 0)
			return DROP_CT_INVALID_HDR;
		if (type == ICMP_ECHO)
			tuple->dport = id;
		else
			tuple->sport = id;
		break;
	}
	flow->action = CT_ACTION_CREATE;
	return 0;
}

/* ct_extract reads what conntrack needs of the L4 header into tuple and flow. */
static __always_inline int ct_extract(struct __sk_buff *ctx, const struct iphdr *ip4,
				      struct ipv4_ct_tuple *tuple, struct ct_flow *flow)
{
	struct ipv4_frag_l4ports ports;
	__u8 flags[2];
	int ret;

	if (tuple->nexthdr == IPPROTO_ICMP)
		return ct_extract_icmp(ctx, ip4, tuple, flow);
	if (tuple->nexthdr != IPPROTO_TCP && tuple->nexthdr != IPPROTO_UDP)
		return DROP_CT_UNKNOWN_PROTO;
	ret = ipv4_handle_fragmentation(ctx, ip4, flow->dir, &ports);
	if (ret < 0)
		return ret;
	/* Read as they stand: the source port lands in dport (SPEC 5.2). */
	tuple->dport = ports.sport;
	tuple->sport = ports.dport;
	flow->action = CT_ACTION_CREATE;
	if (!flow->tcp || !ipv4_has_l4_header(ip4))
		return 0;
	if (bpf_skb_load_bytes(ctx, ipv4_l4_off(ip4) + TCP_OFF_FLAGS, flags, sizeof(flags)) < 0)
		return DROP_CT_INVALID_HDR;
	flow->tcp_flags = flags[1];
	if (flow->tcp_flags & (TCP_FLAG_RST | TCP_FLAG_FIN))
		flow->action = CT_ACTION_CLOSE;
	return 0;
}

/* ipv4_ct_tuple_reverse makes the tuple that of the opposite direction. */
static __always_inline void ipv4_ct_tuple_reverse(struct ipv4_ct_tuple *tuple)
{
	__be32 addr = tuple->saddr;
	__be16 port = tuple->sport;

	tuple->saddr = tuple->daddr;
	tuple->daddr = addr;
	tuple->sport = tuple->dport;
	tuple->dport = port;
	tuple->flags ^= TUPLE_F_IN;
}

/* A packet's tuple before its ports are read. */
static __always_inline struct ipv4_ct_tuple ct_tuple(const struct iphdr *ip4)
{
	return (struct ipv4_ct_tuple){
		.daddr = ip4->daddr,
		.saddr = ip4->saddr,
		.nexthdr = ip4->protocol,
	};
}

/*
 * ct_lookup4 looks a packet up, first as a reply, then as a packet of a connection's
 * own direction. It completes the tuple, which is then the key of the entry found or
 * of the one to create, and sets state from an entry. It returns CT_NEW to
 * CT_REOPENED or an error (SPEC 5.2).
 */
static __always_inline int ct_lookup4(struct __sk_buff *ctx, const struct iphdr *ip4,
				      struct ipv4_ct_tuple *tuple, enum ct_dir dir,
				      struct ct_state *state, __u32 *monitor)
{
	struct ct_flow flow = { .dir = dir, .tcp = tuple->nexthdr == IPPROTO_TCP };
	int ret;

	/*
	 * The tuple is written as that of the opposite direction: the first lookup asks
	 * whether this packet answers one.
	 */
	if (dir == CT_INGRESS)
		tuple->flags = TUPLE_F_OUT;
	else
		tuple->flags = dir == CT_EGRESS ? TUPLE_F_IN : TUPLE_F_SERVICE;
	ret = ct_extract(ctx, ip4, tuple, &flow);
	if (ret < 0)
		return ret;
	ret = __ct_lookup(ctx, tuple, &flow, state);
	if (ret != CT_NEW) {
		ret = tuple->flags & TUPLE_F_RELATED ? CT_RELATED : CT_REPLY;
	} else if (dir != CT_SERVICE) {
		ipv4_ct_tuple_reverse(tuple);
		ret = __ct_lookup(ctx, tuple, &flow, state);
	}
	*monitor = flow.monitor;
	return ret;
}

/*
 * ct_create4 writes a new entry for tuple: to its map; for a looped service
 * connection a second time under the reply's key; and, if related, for ICMP errors
 * about it (SPEC 5.5).
 */
static __always_inline int ct_create4(struct __sk_buff *ctx, const struct ipv4_ct_tuple *tuple,
				      enum ct_dir dir, const struct ct_state *state, bool proxy,
				      bool related)
{
	bool tcp = tuple->nexthdr == IPPROTO_TCP;
	struct ipv4_ct_tuple other __attribute__((aligned(4)));
	struct ct_entry entry = {
		.flags = (state->flags & ~CT_F_PROXY_REDIRECT) | (proxy ? CT_F_PROXY_REDIRECT : 0),
		.rev_nat_index = state->rev_nat_index,
		.ifindex = state->ifindex,
		.src_sec_id = state->src_sec_id,
	};

	if (dir == CT_SERVICE)
		entry.rx_bytes = state->backend_id;
	/* A connection begins with SYN, whatever this packet's flags are. */
	ct_update_timeout(&entry, tcp, dir, tcp ? TCP_FLAG_SYN : 0);
	if (dir == CT_INGRESS) {
		entry.rx_packets = 1;
		entry.rx_bytes = ctx->len;
	} else if (dir == CT_EGRESS) {
		entry.tx_packets = 1;
		entry.tx_bytes = ctx->len;
	}
	if (ct_update_map(tuple, &entry))
		return DROP_CT_CREATE_FAILED;
	other = *tuple;
	if (state->flags & CT_F_LB_LOOPBACK && state->addr) {
		other.flags = TUPLE_F_IN;
		other.saddr = dir == CT_INGRESS ? state->addr : state->svc_addr;
		other.daddr = dir == CT_INGRESS ? state->svc_addr : state->addr;
		if (ct_update_map(&other, &entry))
			return DROP_CT_CREATE_FAILED;
	}
	if (!related)
		return 0;
	other = (struct ipv4_ct_tuple){
		.daddr = tuple->daddr,
		.saddr = tuple->saddr,
		.nexthdr = IPPROTO_ICMP,
		.flags = tuple->flags | TUPLE_F_RELATED,
	};
	entry.flags |= CT_F_SEEN_NON_SYN;
	if (bpf_map_update_elem(&cilium_ct_any4_global, &other, &entry, BPF_ANY))
		return DROP_CT_CREATE_FAILED;
	return 0;
}

/* ct_update_backend_id writes another backend into a flow's service entry. */
static __always_inline void ct_update_backend_id(const struct ipv4_ct_tuple *tuple, __u32 id)
{
	struct ct_entry *entry = ct_lookup_map(tuple);

	if (entry)
		entry->rx_bytes = id;
}

/* ct_update_rev_nat_index writes another service into a flow's service entry. */
static __always_inline void ct_update_rev_nat_index(const struct ipv4_ct_tuple *tuple, __be16 id)
{
	struct ct_entry *entry = ct_lookup_map(tuple);

	if (entry)
		entry->rev_nat_index = id;
}

/* What the conntrack stage leaves for the policy stage. */
struct ct_buffer4 {
	struct ipv4_ct_tuple tuple;
	__be16 rev_nat_index;
	__u16 flags;
	__u16 ifindex;
	__u32 backend_id;
	__u32 monitor;
	__s32 ret;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct ct_buffer4);
	__uint(max_entries, 1);
} cilium_tail_call_buffer4 SEC(".maps");

static __always_inline struct ct_buffer4 *ct_buffer(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&cilium_tail_call_buffer4, &zero);
}

/*
 * ct_to_buffer looks up the packet's connection and leaves the outcome in
 * cilium_tail_call_buffer4 for the next program.
 */
static __always_inline int ct_to_buffer(struct __sk_buff *ctx, enum ct_dir dir)
{
	struct ipv4_ct_tuple tuple __attribute__((aligned(4)));
	struct iphdr *ip4 = ctx_ip4(ctx);
	struct ct_state state = {};
	struct ct_buffer4 *buffer;
	__u32 monitor = 0;
	int ret;

	if (!ip4)
		return DROP_INVALID;
	tuple = ct_tuple(ip4);
	ret = ct_lookup4(ctx, ip4, &tuple, dir, &state, &monitor);
	if (ret < 0)
		return ret;
	buffer = ct_buffer();
	if (!buffer)
		return DROP_INVALID_TC_BUFFER;
	*buffer = (struct ct_buffer4){
		.tuple = tuple,
		.rev_nat_index = state.rev_nat_index,
		.flags = state.flags,
		.ifindex = state.ifindex,
		.backend_id = state.backend_id,
		.monitor = monitor,
		.ret = ret,
	};
	return 0;
}

/*
 * ct_take_buffer is what ct_to_buffer left, or NULL. A tuple without a source address
 * counts as an empty buffer, which is what a packet to 0.0.0.0 makes.
 */
static __always_inline struct ct_buffer4 *ct_take_buffer(void)
{
	struct ct_buffer4 *buffer = ct_buffer();

	return buffer && buffer->tuple.saddr ? buffer : NULL;
}
