/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* Services: choice of a backend, translation and its reverse (SPEC 6). */

#include "conntrack.h"
#include "l4.h"

/*
 * lb4_extract_key makes the service key of a packet: destination address and port.
 * Other protocols than TCP and UDP have none (DROP_NO_SERVICE, DROP_UNKNOWN_L4).
 */
static __always_inline int lb4_extract_key(struct __sk_buff *ctx, const struct iphdr *ip4,
					   struct lb4_key *key)
{
	struct ipv4_frag_l4ports ports;
	int ret;

	key->address = ip4->daddr;
	switch (ip4->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		ret = ipv4_handle_fragmentation(ctx, ip4, CT_EGRESS, &ports);
		if (ret < 0)
			return ret;
		key->dport = ports.dport;
		return 0;
	case IPPROTO_ICMP:
		return DROP_NO_SERVICE;
	}
	return DROP_UNKNOWN_L4;
}

/* lb4_lookup_service finds a frontend: slot 0 of the key, external scope, any protocol. */
static __always_inline struct lb4_service *lb4_lookup_service(struct lb4_key *key)
{
	key->backend_slot = 0;
	return bpf_map_lookup_elem(&cilium_lb4_services_v2, key);
}

/*
 * lb4_select_backend_id draws one of the service's slots, of which there is at least
 * one; 0 means that the slot is missing.
 */
static __always_inline __u32 lb4_select_backend_id(struct lb4_key *key,
						   const struct lb4_service *svc)
{
	struct lb4_service *slot;

	key->backend_slot = bpf_get_prandom_u32() % svc->count + 1;
	slot = bpf_map_lookup_elem(&cilium_lb4_services_v2, key);
	return slot ? slot->backend_id : 0;
}

static __always_inline struct lb4_backend *lb4_lookup_backend(__u32 id)
{
	return bpf_map_lookup_elem(&cilium_lb4_backends_v2, &id);
}

/* lb4_new_flow chooses a backend for a new flow and writes its service entry. */
static __always_inline struct lb4_backend *lb4_new_flow(struct __sk_buff *ctx, struct lb4_key *key,
							const struct lb4_service *svc,
							const struct ipv4_ct_tuple *tuple,
							struct ct_state *state)
{
	__u32 id = lb4_select_backend_id(key, svc);
	struct lb4_backend *backend = lb4_lookup_backend(id);

	if (!backend)
		return NULL;
	state->backend_id = id;
	state->rev_nat_index = svc->rev_nat_index;
	if (ct_create4(ctx, tuple, CT_SERVICE, state, false, false) < 0)
		return NULL;
	return backend;
}

/*
 * lb4_known_flow finds the backend of a flow that has a service entry. Another is
 * chosen where the entry is of another service, where its backend is gone, or where
 * it is not active and the packet opens a connection.
 */
static __always_inline struct lb4_backend *lb4_known_flow(struct lb4_key *key,
							  struct lb4_service *svc,
							  const struct ipv4_ct_tuple *tuple,
							  struct ct_state *state)
{
	struct lb4_backend *backend;

	if (!state->rev_nat_index) {
		state->rev_nat_index = svc->rev_nat_index;
		ct_update_rev_nat_index(tuple, state->rev_nat_index);
	}
	if (state->rev_nat_index != svc->rev_nat_index) {
		state->backend_id = lb4_select_backend_id(key, svc);
		if (!state->backend_id)
			return NULL;
		ct_update_backend_id(tuple, state->backend_id);
		state->rev_nat_index = svc->rev_nat_index;
		ct_update_rev_nat_index(tuple, state->rev_nat_index);
	}
	backend = lb4_lookup_backend(state->backend_id);
	if (backend && (backend->state == BACKEND_STATE_ACTIVE || !state->syn))
		return backend;
	svc = lb4_lookup_service(key);
	if (!svc || !svc->count)
		return NULL;
	state->backend_id = lb4_select_backend_id(key, svc);
	backend = lb4_lookup_backend(state->backend_id);
	if (backend)
		ct_update_backend_id(tuple, state->backend_id);
	return backend;
}

/*
 * lb4_xlate makes the packet one for the backend; a looped one gets the loopback
 * address as its source. A later fragment has no ports and no L4 checksum.
 */
static __always_inline int lb4_xlate(struct __sk_buff *ctx, struct iphdr *ip4,
				     const struct lb4_key *key, const struct lb4_backend *backend,
				     bool loopback)
{
	struct csum_offset csum = csum_l4_offset_and_flags(ip4->protocol);
	bool has_l4_header = ipv4_has_l4_header(ip4);
	__u32 l4_off = ipv4_l4_off(ip4);
	__wsum diff = csum_diff4(key->address, backend->address, 0);

	ip4->daddr = backend->address;
	if (loopback) {
		diff = csum_diff4(ip4->saddr, IPV4_LOOPBACK, diff);
		ip4->saddr = IPV4_LOOPBACK;
	}
	ip4->check = csum_replace_by_diff(ip4->check, diff);
	if (!has_l4_header)
		return 0;
	if (csum_l4_replace(ctx, l4_off, &csum, 0, diff, BPF_F_PSEUDO_HDR) < 0)
		return DROP_CSUM_L4;
	if (backend->port && key->dport != backend->port)
		return l4_modify_port(ctx, l4_off, L4_DPORT_OFF, &csum, backend->port, key->dport);
	return 0;
}

/*
 * lb4_local chooses the backend of a packet to a service, or keeps the one that its
 * flow has, and translates the packet (SPEC 6.3). state is then what the connection
 * to the backend is to be created with.
 */
static __always_inline int lb4_local(struct __sk_buff *ctx, struct iphdr *ip4, struct lb4_key *key,
				     struct lb4_service *svc, struct ct_state *state)
{
	struct ipv4_ct_tuple tuple __attribute__((aligned(4)));
	struct lb4_backend *backend = NULL;
	__be32 client = ip4->saddr;
	bool loopback;
	__u32 monitor;
	int status;

	if (!svc->count)
		return DROP_NO_SERVICE;
	tuple = ct_tuple(ip4);
	status = ct_lookup4(ctx, ip4, &tuple, CT_SERVICE, state, &monitor);
	if (status == CT_NEW)
		backend = lb4_new_flow(ctx, key, svc, &tuple, state);
	else if (status > 0)
		backend = lb4_known_flow(key, svc, &tuple, state);
	if (!backend)
		return DROP_NO_SERVICE;
	state->rev_nat_index = svc->rev_nat_index;
	loopback = client == backend->address;
	if (loopback)
		state->flags |= CT_F_LB_LOOPBACK;
	return lb4_xlate(ctx, ip4, key, backend, loopback);
}

/* lb4_ctx_store_state passes the load balancer's choice to the next programs. */
static __always_inline void lb4_ctx_store_state(struct __sk_buff *ctx, const struct ct_state *state)
{
	ctx_store_meta(ctx, CB_PROXY_MAGIC, 0);
	ctx_store_meta(ctx, CB_BACKEND_ID, state->backend_id);
	ctx_store_meta(ctx, CB_CT_STATE, (__u32)state->rev_nat_index << 16 | !!(state->flags & CT_F_LB_LOOPBACK));
}

/* lb4_ctx_restore_state takes what lb4_ctx_store_state left and clears the slots. */
static __always_inline void lb4_ctx_restore_state(struct __sk_buff *ctx, struct ct_state *state,
						  __be32 daddr)
{
	__u32 meta = ctx_load_meta(ctx, CB_CT_STATE);

	if (meta & 1) {
		state->flags = CT_F_LB_LOOPBACK;
		state->addr = IPV4_LOOPBACK;
		state->svc_addr = daddr;
	}
	state->rev_nat_index = meta >> 16;
	state->backend_id = ctx_load_meta(ctx, CB_BACKEND_ID);
	ctx_store_meta(ctx, CB_CT_STATE, 0);
	ctx_store_meta(ctx, CB_BACKEND_ID, 0);
	ctx_store_meta(ctx, CB_PROXY_MAGIC, 0);
}

/*
 * __lb4_rev_nat rewrites source port and address; on a looped connection the old
 * source becomes the destination.
 */
static __always_inline int __lb4_rev_nat(struct __sk_buff *ctx, struct iphdr *ip4,
					 const struct lb4_reverse_nat *nat, struct ct_buffer4 *ct,
					 const struct csum_offset *csum)
{
	bool has_l4_header = ipv4_has_l4_header(ip4);
	__u32 l4_off = ipv4_l4_off(ip4);
	__be32 old = ip4->saddr;
	__be16 port;
	__wsum diff;
	int ret;

	if (csum->offset && has_l4_header && nat->port) {
		ret = bpf_skb_load_bytes(ctx, l4_off + L4_SPORT_OFF, &port, sizeof(port));
		if (ret < 0)
			return ret;
		if (port != nat->port) {
			ret = l4_modify_port(ctx, l4_off, L4_SPORT_OFF, csum, nat->port, port);
			if (ret < 0)
				return ret;
			ip4 = ctx_ip4(ctx);
			if (!ip4)
				return DROP_INVALID;
		}
	}
	diff = csum_diff4(old, nat->address, 0);
	ip4->saddr = nat->address;
	if (ct->flags & CT_F_LB_LOOPBACK) {
		diff = csum_diff4(ip4->daddr, old, diff);
		ip4->daddr = old;
		ct->tuple.saddr = old;
	}
	ip4->check = csum_replace_by_diff(ip4->check, diff);
	if (csum->offset && csum_l4_replace(ctx, l4_off, csum, 0, diff, BPF_F_PSEUDO_HDR) < 0)
		return DROP_CSUM_L4;
	return 0;
}

/*
 * lb4_rev_nat makes a backend's answer one of the service. A service that is no
 * longer known leaves it untranslated (SPEC 6.6). csum is where the packet's L4
 * checksum is taken to be.
 */
static __always_inline int lb4_rev_nat(struct __sk_buff *ctx, struct iphdr *ip4,
				       struct ct_buffer4 *ct, const struct csum_offset *csum)
{
	__be16 id = ct->rev_nat_index;
	struct lb4_reverse_nat *nat = bpf_map_lookup_elem(&cilium_lb4_reverse_nat, &id);

	return nat ? __lb4_rev_nat(ctx, ip4, nat, ct, csum) : 0;
}
