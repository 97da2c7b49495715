/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/*
 * The maps, with Cilium's names and layouts (SPEC 5-7, 12, 13). The Go package
 * maps has the same structs; a test compares the two.
 */

#include "common.h"

/* Local endpoints and the host's own addresses. */
#define ENDPOINT_KEY_IPV4 1
#define ENDPOINT_F_HOST 1

struct endpoint_key {
	__be32 ip4;
	__u32 pad[3];
	__u8 family;
	__u8 key;
	__u16 pad2;
};

struct endpoint_info {
	__u32 ifindex;
	__u16 unused;
	__u16 lxc_id;
	__u32 flags;
	__u32 pad;
	__u8 mac[6]; /* inside the pod */
	__u16 pad2;
	__u8 node_mac[6]; /* the host's side of its wire */
	__u16 pad3;
	__u64 pad4[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct endpoint_key);
	__type(value, struct endpoint_info);
	__uint(max_entries, 65535);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} cilium_lxc SEC(".maps");

/* Identities and tunnel endpoints of prefixes. */
#define IPCACHE_STATIC_PREFIX 32 /* bits of pad and family, before the address */

struct ipcache_key {
	__u32 prefixlen;
	__u16 pad1;
	__u8 pad2;
	__u8 family;
	__be32 ip4;
	__u32 pad3[3];
};

struct remote_endpoint_info {
	__u32 sec_label;
	__be32 tunnel_endpoint;
	__u16 node_id;
	__u8 key;
	__u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct ipcache_key);
	__type(value, struct remote_endpoint_info);
	__uint(max_entries, 512000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} cilium_ipcache SEC(".maps");

/* Nodes of pod CIDRs. */
struct tunnel_key {
	__be32 ip4;
	__u32 pad[3];
	__u8 family;
	__u8 cluster_id;
	__u16 pad2;
};

struct tunnel_value {
	__be32 ip4;
	__u32 pad[3];
	__u8 family;
	__u8 key;
	__u16 node_id;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct tunnel_key);
	__type(value, struct tunnel_value);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} cilium_tunnel_map SEC(".maps");

/* Connections. */
#define TUPLE_F_OUT 0
#define TUPLE_F_IN 1
#define TUPLE_F_RELATED 2
#define TUPLE_F_SERVICE 4

#define CT_F_RX_CLOSING 0x01
#define CT_F_TX_CLOSING 0x02
#define CT_F_LB_LOOPBACK 0x08
#define CT_F_SEEN_NON_SYN 0x10
#define CT_F_NODE_PORT 0x20
#define CT_F_PROXY_REDIRECT 0x40
#define CT_F_DSR 0x80

struct ipv4_ct_tuple {
	__be32 daddr;
	__be32 saddr;
	__be16 dport;
	__be16 sport;
	__u8 nexthdr;
	__u8 flags;
} __attribute__((packed));

struct ct_entry {
	__u64 rx_packets;
	__u64 rx_bytes; /* of a service entry: the backend's id */
	__u64 tx_packets;
	__u64 tx_bytes;
	__u32 lifetime;
	__u16 flags;
	__be16 rev_nat_index;
	__u16 ifindex;
	__u8 tx_flags_seen;
	__u8 rx_flags_seen;
	__u32 src_sec_id;
	__u32 last_tx_report;
	__u32 last_rx_report;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct ipv4_ct_tuple);
	__type(value, struct ct_entry);
	__uint(max_entries, 524288);
} cilium_ct4_global SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct ipv4_ct_tuple);
	__type(value, struct ct_entry);
	__uint(max_entries, 262144);
} cilium_ct_any4_global SEC(".maps");

/* Datagrams in fragments. */
struct ipv4_frag_id {
	__be32 daddr;
	__be32 saddr;
	__be16 id;
	__u8 proto;
	__u8 pad;
};

struct ipv4_frag_l4ports {
	__be16 sport;
	__be16 dport;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct ipv4_frag_id);
	__type(value, struct ipv4_frag_l4ports);
	__uint(max_entries, 8192);
} cilium_ipv4_frag_datagrams SEC(".maps");

/* Services. */
struct lb4_key {
	__be32 address;
	__be16 dport;
	__u16 backend_slot; /* 0: the service itself */
	__u8 proto;
	__u8 scope;
	__u16 pad;
};

struct lb4_service {
	__u32 backend_id; /* of a slot */
	__u16 count; /* of slot 0 */
	__be16 rev_nat_index;
	__u8 flags;
	__u8 flags2;
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct lb4_key);
	__type(value, struct lb4_service);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} cilium_lb4_services_v2 SEC(".maps");

#define BACKEND_STATE_ACTIVE 0

struct lb4_backend {
	__be32 address;
	__be16 port;
	__u8 proto;
	__u8 state;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct lb4_backend);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} cilium_lb4_backends_v2 SEC(".maps");

struct lb4_reverse_nat {
	__be32 address;
	__be16 port;
} __attribute__((packed, aligned(2)));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __be16);
	__type(value, struct lb4_reverse_nat);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} cilium_lb4_reverse_nat SEC(".maps");

/* Counters and notifications. */
struct metrics_key {
	__u8 reason;
	__u8 dir;
	__u16 pad[3];
};

struct metrics_value {
	__u64 count;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, struct metrics_key);
	__type(value, struct metrics_value);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} cilium_metrics SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} cilium_events SEC(".maps");

/* The policy programs of the node's endpoints, by endpoint id. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
	__uint(max_entries, 65535);
} cilium_call_policy SEC(".maps");

/* The object's own tail calls; each .c file names it. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
	__uint(max_entries, CILIUM_CALL_SIZE);
} CALLS_MAP SEC(".maps");
