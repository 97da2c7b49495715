/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* The datapath's clock (SPEC 5.4). */

#include "config.h"

#define NSEC_PER_SEC 1000000000ULL

static __always_inline __u32 bpf_mono_now(void)
{
	return ENABLE_JIFFIES ? bpf_jiffies64() >> 8 : bpf_ktime_get_ns() / NSEC_PER_SEC;
}

/* bpf_sec_to_mono converts seconds to the clock's unit. */
static __always_inline __u32 bpf_sec_to_mono(__u32 s)
{
	return ENABLE_JIFFIES ? (__u64)s * KERNEL_HZ >> 8 : s;
}
