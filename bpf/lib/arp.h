/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* The ARP responder (SPEC 2). */

#include "ctx.h"

#define ARP_SIZE 42 /* of the frame */
#define ARPHRD_ETHER bpf_htons(1)
#define ARPOP_REQUEST bpf_htons(1)
#define ARPOP_REPLY bpf_htons(2)

/* Of Ethernet and IPv4: halves of addresses, as the frame aligns no more. */
struct arp_eth {
	__u8 h_dest[6];
	__u8 h_source[6];
	__be16 h_proto;
	__be16 hrd;
	__be16 pro;
	__u8 hln;
	__u8 pln;
	__be16 op;
	__u8 sha[6];
	__u16 spa[2];
	__u8 tha[6];
	__u16 tpa[2];
};

static __always_inline bool mac_is_broadcast(struct macaddr mac)
{
	return mac.p1 == 0xffffffff && mac.p2 == 0xffff;
}

static __always_inline bool mac_equal(struct macaddr a, struct macaddr b)
{
	return a.p1 == b.p1 && a.p2 == b.p2;
}

/*
 * arp_validate accepts an ARP request that is broadcast or addressed to mac, and
 * tells whom it asks for. Protocol type and address lengths are not looked at.
 */
static __always_inline bool arp_validate(struct __sk_buff *ctx, struct macaddr mac, __be32 *target)
{
	struct arp_eth *arp = ctx_head(ctx, ARP_SIZE);
	struct macaddr dst;

	if (!arp || arp->op != ARPOP_REQUEST || arp->hrd != ARPHRD_ETHER)
		return false;
	dst = mac_load(arp->h_dest);
	if (!mac_is_broadcast(dst) && !mac_equal(dst, mac))
		return false;
	*target = *(__be32 *)arp->tpa;
	return true;
}

/*
 * arp_respond turns the request into its reply, in place, and sends it back out of
 * the device it came from. The target hardware address is the request's Ethernet
 * source, whatever its body says.
 */
static __always_inline int arp_respond(struct __sk_buff *ctx, struct macaddr mac)
{
	struct arp_eth *arp = ctx_head(ctx, ARP_SIZE);
	struct macaddr asker;
	__be32 sender, target;

	if (!arp)
		return DROP_INVALID;
	asker = mac_load(arp->h_source);
	sender = *(__be32 *)arp->spa;
	target = *(__be32 *)arp->tpa;
	mac_store(arp->h_dest, asker);
	mac_store(arp->h_source, mac);
	arp->op = ARPOP_REPLY;
	mac_store(arp->sha, mac);
	*(__be32 *)arp->spa = target;
	mac_store(arp->tha, asker);
	*(__be32 *)arp->tpa = sender;
	return ctx_redirect(ctx->ifindex);
}
