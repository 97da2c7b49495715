/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* Trace notifications and what they count (SPEC 12.3, 12.4). */

#include "metrics.h"

#define CILIUM_NOTIFY_DROP 1
#define CILIUM_NOTIFY_TRACE 4
#define CILIUM_NOTIFY_POLICY_VERDICT 5
#define NOTIFY_VERSION 1

enum trace_point {
	TRACE_TO_LXC,
	TRACE_TO_PROXY,
	TRACE_TO_HOST,
	TRACE_TO_STACK,
	TRACE_TO_OVERLAY,
	TRACE_FROM_LXC,
	TRACE_FROM_PROXY,
	TRACE_FROM_HOST,
	TRACE_FROM_STACK,
	TRACE_FROM_OVERLAY,
	TRACE_FROM_NETWORK,
	TRACE_TO_NETWORK,
};

#define TRACE_REASON_UNKNOWN 5 /* beside enum ct_status */
#define TRACE_PAYLOAD_ALWAYS 128 /* a monitor value that reports at any aggregation */

#define TRACE_AGGREGATE_RX 1 /* hide what comes in */
#define TRACE_AGGREGATE_ACTIVE_CT 3 /* hide unremarkable packets of known flows too */

/* What all notifications begin with. */
struct notify_common {
	__u8 type;
	__u8 subtype; /* drop reason, or trace point */
	__u16 source; /* endpoint whose program speaks */
	__u32 hash;
	__u32 len_orig;
	__u16 len_cap;
	__u16 version;
};

struct trace_notify {
	struct notify_common common;
	__u32 src_label;
	__u32 dst_label;
	__u16 dst_id; /* endpoint, or proxy port in host order */
	__u8 reason;
	__u8 flags;
	__u32 ifindex;
	__be32 orig_ip4;
	__u32 pad[3];
};

static __always_inline struct notify_common notify_begin(struct __sk_buff *ctx, __u8 type,
							 __u8 subtype, __u32 cap_len)
{
	return (struct notify_common){
		.type = type,
		.subtype = subtype,
		.source = EVENT_SOURCE,
		.hash = ctx->hash,
		.len_orig = ctx->len,
		.len_cap = min(cap_len, ctx->len),
		.version = NOTIFY_VERSION,
	};
}

/* notify_send emits a notification, which begins with a struct notify_common, and the frame. */
static __always_inline void notify_send(struct __sk_buff *ctx, void *msg, __u32 size)
{
	struct notify_common *common = msg;

	bpf_perf_event_output(ctx, &cilium_events,
			      (__u64)common->len_cap << 32 | BPF_F_CURRENT_CPU, msg, size);
}

/* update_trace_metrics counts the packet where the point says so. */
static __always_inline void update_trace_metrics(struct __sk_buff *ctx, enum trace_point point)
{
	switch (point) {
	case TRACE_TO_LXC:
		update_metrics(ctx, METRIC_INGRESS, REASON_FORWARDED);
		break;
	case TRACE_TO_HOST:
	case TRACE_TO_STACK:
	case TRACE_TO_OVERLAY:
	case TRACE_TO_NETWORK:
		update_metrics(ctx, METRIC_EGRESS, REASON_FORWARDED);
		break;
	case TRACE_FROM_HOST:
	case TRACE_FROM_STACK:
	case TRACE_FROM_OVERLAY:
	case TRACE_FROM_NETWORK:
		update_metrics(ctx, METRIC_INGRESS, REASON_PLAINTEXT);
		break;
	case TRACE_FROM_LXC:
	case TRACE_FROM_PROXY:
	case TRACE_TO_PROXY:
		break;
	}
}

/* emit_trace_notify applies monitor aggregation. */
static __always_inline bool emit_trace_notify(enum trace_point point, __u32 monitor)
{
	if (MONITOR_AGGREGATION >= TRACE_AGGREGATE_RX) {
		switch (point) {
		case TRACE_FROM_LXC:
		case TRACE_FROM_PROXY:
		case TRACE_FROM_HOST:
		case TRACE_FROM_STACK:
		case TRACE_FROM_OVERLAY:
		case TRACE_FROM_NETWORK:
			return false;
		default: /* what leaves is told by the level below */
			break;
		}
	}
	return MONITOR_AGGREGATION < TRACE_AGGREGATE_ACTIVE_CT || monitor;
}

/* compute_capture_len is how much of a frame a notification carries at most. */
static __always_inline __u32 compute_capture_len(__u32 monitor)
{
	__u32 limit = TRACE_PAYLOAD_LEN;

	return monitor ? min(monitor, limit) : limit;
}

/* What a trace notification tells, beside the packet. */
struct observation {
	enum trace_point point;
	__u32 src; /* identities */
	__u32 dst;
	__u16 dst_id;
	__u32 ifindex;
	__u8 reason;
	__u32 monitor;
	__be32 orig_ip4;
};

/* send_trace_notify counts the packet at the point and reports it unless aggregation hides it. */
static __always_inline void send_trace_notify(struct __sk_buff *ctx, const struct observation *o)
{
	struct trace_notify msg;

	update_trace_metrics(ctx, o->point);
	if (!emit_trace_notify(o->point, o->monitor))
		return;
	msg = (struct trace_notify){
		.common = notify_begin(ctx, CILIUM_NOTIFY_TRACE, o->point,
				       compute_capture_len(o->monitor)),
		.src_label = o->src,
		.dst_label = o->dst,
		.dst_id = o->dst_id,
		.reason = o->reason,
		.ifindex = o->ifindex,
		.orig_ip4 = o->orig_ip4,
	};
	notify_send(ctx, &msg, sizeof(msg));
}
