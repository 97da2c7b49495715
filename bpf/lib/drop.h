/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* Drops: counted at once, reported by a program of their own (SPEC 12.2). */

#include "trace.h"

struct drop_notify {
	struct notify_common common;
	__u32 src_label;
	__u32 dst_label;
	__u32 dst_id;
	__u16 line;
	__u8 file;
	__s8 ext_error;
};

/* __send_drop_notify emits the notification from the scratch slots. */
SEC("2/1")
int __send_drop_notify(struct __sk_buff *ctx)
{
	__u32 error = ctx_load_meta(ctx, 2), where = ctx_load_meta(ctx, 4);
	struct drop_notify msg = {
		.common = notify_begin(ctx, CILIUM_NOTIFY_DROP, error, TRACE_PAYLOAD_LEN),
		.src_label = ctx_load_meta(ctx, 0),
		.dst_label = ctx_load_meta(ctx, 1),
		.dst_id = ctx_load_meta(ctx, 3),
		.line = where >> 16,
		.file = where >> 8,
		.ext_error = error >> 8,
	};

	notify_send(ctx, &msg, sizeof(msg));
	return where & 0xff;
}

/* What a drop notification tells, beside the packet. */
struct drop {
	__u32 src; /* identities */
	__u32 dst;
	__u32 dst_id; /* endpoint */
	int reason; /* negative */
	__u8 exit; /* what the program returns */
	__u8 dir;
};

static __always_inline int drop_at(struct __sk_buff *ctx, const struct drop *d, __u16 line)
{
	__u8 reason = -d->reason;

	ctx_store_meta(ctx, 0, d->src);
	ctx_store_meta(ctx, 1, d->dst);
	ctx_store_meta(ctx, 2, reason);
	ctx_store_meta(ctx, 3, d->dst_id);
	ctx_store_meta(ctx, 4, d->exit | MAGIC_FILE << 8 | (__u32)line << 16);
	update_metrics(ctx, d->dir, reason);
	ep_tail_call(ctx, CILIUM_CALL_DROP_NOTIFY);
	return d->exit;
}

/*
 * send_drop_notify counts a drop, has it reported with the line of the caller, and
 * is the program's return code.
 */
#define send_drop_notify(ctx, ...) drop_at(ctx, &(struct drop){ __VA_ARGS__ }, __LINE__)
