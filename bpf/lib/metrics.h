/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

#include "ctx.h"

/* update_metrics counts the frame, Ethernet header included, in cilium_metrics. */
static __always_inline void update_metrics(struct __sk_buff *ctx, __u8 dir, __u8 reason)
{
	struct metrics_key key = { .reason = reason, .dir = dir };
	struct metrics_value *value = bpf_map_lookup_elem(&cilium_metrics, &key);
	struct metrics_value first = { .count = 1, .bytes = ctx->len };

	if (value) {
		value->count++;
		value->bytes += ctx->len;
		return;
	}
	bpf_map_update_elem(&cilium_metrics, &key, &first, BPF_ANY);
}

/* ct_to_metrics_dir is the direction that a metric of a lookup has. */
static __always_inline __u8 ct_to_metrics_dir(enum ct_dir dir)
{
	switch (dir) {
	case CT_EGRESS:
		return METRIC_EGRESS;
	case CT_INGRESS:
		return METRIC_INGRESS;
	case CT_SERVICE:
		return METRIC_SERVICE;
	}
	return 0;
}
