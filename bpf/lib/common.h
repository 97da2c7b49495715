/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* Codes and structures that all programs share. */

#include "bpf.h"

/* Return codes that end as drop notifications (SPEC 12.1). */
#define EFAULT 14
#define DROP_INVALID_SIP -132
#define DROP_POLICY -133
#define DROP_INVALID -134
#define DROP_CT_INVALID_HDR -135
#define DROP_CT_UNKNOWN_PROTO -137
#define DROP_UNKNOWN_L3 -139
#define DROP_MISSED_TAIL_CALL -140
#define DROP_WRITE_ERROR -141
#define DROP_UNKNOWN_L4 -142
#define DROP_NO_TUNNEL_KEY -147
#define DROP_UNROUTABLE -151
#define DROP_CSUM_L4 -154
#define DROP_CT_CREATE_FAILED -155
#define DROP_NO_SERVICE -158
#define DROP_NO_TUNNEL_ENDPOINT -160
#define DROP_UNKNOWN_CT -163
#define DROP_UNSUPPORTED_L2 -166
#define DROP_ENCAP_PROHIBITED -170
#define DROP_INVALID_IDENTITY -171
#define DROP_FRAG_NOT_FOUND -175
#define DROP_POLICY_DENY -181
#define DROP_INVALID_TC_BUFFER -184

/* Metric reasons that are no drops, and directions. */
#define REASON_FORWARDED 0
#define REASON_PLAINTEXT 3
#define REASON_FRAG_PACKET 9
#define REASON_FRAG_PACKET_UPDATE 10

#define METRIC_INGRESS 1
#define METRIC_EGRESS 2
#define METRIC_SERVICE 3

/* Identities (SPEC 7). */
#define UNKNOWN_ID 0
#define HOST_ID 1
#define WORLD_ID 2
#define UNMANAGED_ID 3
#define REMOTE_NODE_ID 6
#define KUBE_APISERVER_NODE_ID 7

/* Slots of an object's calls map (SPEC 1). */
#define CILIUM_CALL_DROP_NOTIFY 1
#define CILIUM_CALL_ARP 6
#define CILIUM_CALL_IPV4_FROM_LXC 7 /* also from the network and from the overlay */
#define CILIUM_CALL_IPV4_TO_ENDPOINT 13
#define CILIUM_CALL_IPV4_FROM_HOST 22
#define CILIUM_CALL_IPV4_FROM_LXC_CONT 25
#define CILIUM_CALL_IPV4_CT_INGRESS 27
#define CILIUM_CALL_IPV4_CT_EGRESS 29
#define CILIUM_CALL_SIZE 33

/* Directions of a conntrack lookup. */
enum ct_dir {
	CT_EGRESS,
	CT_INGRESS,
	CT_SERVICE,
};

/* Outcomes of one; negative ones are errors. */
enum ct_status {
	CT_NEW,
	CT_ESTABLISHED,
	CT_REPLY,
	CT_RELATED,
	CT_REOPENED,
};

/*
 * What passes between lookup, load balancer and creation of a connection.
 * flags are CT_F_LB_LOOPBACK and its like, as in struct ct_entry.
 */
struct ct_state {
	__be16 rev_nat_index;
	__u16 flags;
	__u16 ifindex;
	__be32 addr; /* what the packet's source became: the loopback address */
	__be32 svc_addr;
	__u32 src_sec_id;
	__u32 backend_id;
	bool syn;
};
