#!/usr/bin/env bash
# Brings the article's cluster up, sends packets along the article's paths, takes it
# down and proves that the machine is as before. Needs root.
# Usage: demo.sh [HOOKLAB]
set -euo pipefail

hooklab=$(realpath "$(command -v "${1:-hooklab}")")
cd "$(dirname "$0")"
work=$(mktemp -d)
export HOOKLAB_RUN_DIR=$work/run # labs that run already are not ours
mkdir "$HOOKLAB_RUN_DIR"
capture=''

finish() {
	local status=$?
	[ -z "$capture" ] || kill "$capture" 2>/dev/null || true
	if [ -n "$(ls -A "$HOOKLAB_RUN_DIR" 2>/dev/null)" ]; then
		"$hooklab" down || status=1
	fi
	rm -rf --one-file-system "$work"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

title() { printf '\n=== %s\n' "$*"; }
run() { # COMMAND... shows the command and runs it
	printf '$ %s\n' "${*/$hooklab/hooklab}"
	"$@"
}
fail() {
	echo "demo: $*" >&2
	exit 1
}
# snapshot FILE writes what a lab could leave behind.
snapshot() {
	{
		ip -o link
		ip -o address | sed -E 's/valid_lft .*//'
		ip route show table all | sed -E 's/ expires [0-9]+sec//'
		ip -6 route show table all | sed -E 's/ expires [0-9]+sec//'
		ip rule
		ip -6 rule
		ip netns list
		lsns -n -t net -o NS
		nft list ruleset | sed -E 's/packets [0-9]+ bytes [0-9]+//'
		cat /proc/self/mounts
	} >"$1"
	# A few of these are counters.
	grep -rs . /proc/sys/net | grep -v -e nf_conntrack_count | sort >"$1.sysctl" || true
}
# compare FILE1 FILE2 shows what differs. A module that was loaded meanwhile brings
# sysctls of its own; only those that were there before must not change.
compare() {
	diff -U0 "$1" "$2" &&
		diff -U0 "$1.sysctl" <(awk -F: 'NR == FNR { had[$1]; next } $1 in had' "$1.sysctl" "$2.sysctl")
}
ping_from() { # FROM ADDRESS
	run "$hooklab" exec "$1" -- ping -c 3 -i 0.2 -W 2 "$2" | tee "$work/ping"
	grep -q ' 0% packet loss' "$work/ping" || fail "packets from $1 to $2 were lost"
}

# wire_ping FROM ADDRESS VNI pings and shows the first two packets on the wire, of which
# one must have that VNI.
wire_ping() {
	"$hooklab" exec wire/underlay -- tcpdump -l -n -i br0 -c 2 -T vxlan udp port 8472 >"$work/wire" 2>"$work/tcpdump" &
	capture=$!
	until grep -q 'listening on' "$work/tcpdump"; do
		kill -0 "$capture" 2>/dev/null || fail "tcpdump: $(cat "$work/tcpdump")"
		sleep 0.05
	done
	ping_from "$1" "$2"
	wait "$capture" || fail "tcpdump: $(cat "$work/tcpdump")"
	capture=''
	cat "$work/wire"
	grep -q "VXLAN.* vni $3\$" "$work/wire" || fail "no VXLAN packet with VNI $3 on the wire"
}

snapshot "$work/before"

title 'the cluster of the article: three nodes, their pods and services'
run "$hooklab" up -f cluster.yaml --detach
run "$hooklab" get pods

title 'pod to pod on the same node'
ping_from pod1-1 10.0.1.79

title 'pod to pod on different nodes, and what is on the wire: VXLAN, the VNI is the identity of the sender'
wire_ping pod1-1 10.0.2.158 "$("$hooklab" get pods pod1-1 | awk 'END { print $7 }')"

title 'node to a pod of its own'
ping_from node/cilium-worker 10.0.1.79

title 'node to a pod of another node: on the wire as identity 6, remote-node'
wire_ping node/cilium-worker 10.0.2.158 6

title 'pod to service (clusterIP): the backend is pod1-2'
run "$hooklab" exec pod1-1 -- nc -z -v -w 2 10.96.52.248 80
run "$hooklab" exec pod2-1 -- nc -z -v -w 2 10.96.52.248 80

title 'the maps of cilium-worker'
for map in cilium_lxc cilium_ipcache cilium_lb4_services_v2 cilium_lb4_backends_v2 cilium_ct4_global cilium_metrics; do
	run "$hooklab" map get "$map"
	echo
done

title 'down, and nothing is left'
run "$hooklab" down
for attempt in {1..50}; do # the kernel removes namespaces in the background
	snapshot "$work/after"
	compare "$work/before" "$work/after" >"$work/diff" && break
	[ "$attempt" -lt 50 ] || fail "this is not as before:"$'\n'"$(cat "$work/diff")"
	sleep 0.1
done
[ -z "$(ls -A "$HOOKLAB_RUN_DIR")" ] || fail "left in the run directory: $(ls -A "$HOOKLAB_RUN_DIR")"
echo 'namespaces, links, addresses, routes, rules, nftables, mounts and sysctls are as before'
