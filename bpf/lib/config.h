/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/*
 * What differs from node to node and from pod to pod. A loader writes these
 * before it loads the object; they are read-only from then on, so that the
 * verifier removes the branches that they rule out. Addresses are in network
 * order, times in seconds. The values given are a default agent's (SPEC 0.1).
 */

#include "bpf.h"

/* The node. */
const volatile __u32 ENCAP_IFINDEX = 0; /* cilium_vxlan */
const volatile __u32 HOST_IFINDEX = 0; /* cilium_net */
const volatile __u32 CILIUM_IFINDEX = 0; /* cilium_host */
const volatile __be32 IPV4_MASK = 0x00ffffff; /* of the tunnel map's keys */
const volatile __be32 IPV4_LOOPBACK = 0x012afea9; /* 169.254.42.1 */
const volatile __u32 TUNNEL_PORT = 8472; /* host order */
const volatile __u32 LOCAL_NODE_ID = 6; /* identity that leaves the node for the host */
const volatile __u16 HOST_EP_ID = 0;

/* MACs are read as a word and a half. */
const volatile __u8 NODE_MAC[6] __attribute__((aligned(8))) = {}; /* the program's own device */
const volatile __u8 HOST_IFINDEX_MAC[6] __attribute__((aligned(8))) = {}; /* cilium_host */
const volatile __u8 CILIUM_NET_MAC[6] __attribute__((aligned(8))) = {};

/* How a packet reaches a local pod: see docs/SPEC.md 0.3 and 16. */
const volatile bool ENABLE_ROUTING = true;
const volatile bool ENABLE_HOST_ROUTING = false;
const volatile bool ENABLE_ENDPOINT_ROUTES = false;
const volatile bool USE_BPF_PROG_FOR_INGRESS_POLICY = false;

/* Conntrack. */
const volatile __u32 CT_CONNECTION_LIFETIME_TCP = 21600;
const volatile __u32 CT_CONNECTION_LIFETIME_NONTCP = 60;
const volatile __u32 CT_SERVICE_LIFETIME_TCP = 21600;
const volatile __u32 CT_SERVICE_LIFETIME_NONTCP = 60;
const volatile __u32 CT_SYN_TIMEOUT = 60;
const volatile __u32 CT_CLOSE_TIMEOUT = 10;
const volatile __u32 CT_SERVICE_CLOSE_REBALANCE = 60;
const volatile __u32 CT_REPORT_INTERVAL = 5;
const volatile __u32 CT_REPORT_FLAGS = 0xff;
const volatile bool ENABLE_JIFFIES = false;
const volatile __u32 KERNEL_HZ = 250;

/* Notifications. */
const volatile __u32 MONITOR_AGGREGATION = 3;
const volatile __u32 TRACE_PAYLOAD_LEN = 128;

/* The pod; bpf_lxc only. */
#ifdef IS_BPF_LXC
const volatile __be32 LXC_IPV4 = 0;
const volatile __u16 LXC_ID = 0;
const volatile __u32 SECLABEL = 0;
const volatile __u32 POLICY_VERDICT_LOG_FILTER = 0; /* bit 0 ingress, bit 1 egress */
#endif
