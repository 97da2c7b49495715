package main

// What `hooklab trace --help` says.
const (
	traceLong = `Simulate a packet through the cluster and show its whole journey: every hook with its
functions, map lookups and rewrites, the host stacks, the tunnel, the receiver and the
answer. It needs no privileges and no network, and sends nothing.

An end is a pod (NAME or NAMESPACE/NAME), node/NAME, svc/NAME, svc/NAMESPACE/NAME, the
name of an external host, or an IP address. The packet is an ICMP echo request unless
--tcp, --udp or --arp says otherwise. The maps are those of the running lab, or of
--state: what 'hooklab map dump' or 'bpftool map dump -j' wrote on a node. With -f alone
they are as the agents write them for the cluster. What a state does not tell and would
have to be known makes the verdict UNKNOWN. Nothing is changed without --commit.

--packet and --pcap trace given bytes: a packet begins where its source address is at
home, at the pod --from, or at --hook. --hook from-overlay@NODE, from-container@POD and
so on begin anywhere, with --mark, --vni and --tunnel-src as the packet has them there.
With -n later packets meet the connections of those before. The packets of a capture do
so only with --commit.

--set-ct new, established or reply asks about a packet of a connection that is not in the
maps: the entries that the programs look for are made or removed before they run, and
"assumed" names them. What conntrack knows of services stays as it is.

In the text, ◉ is a place where tcpdump sees the packet, ◌ one where it does not
although the packet passes, ▶ a program, ⇒ a tail call, ? a map lookup, ! a written
entry, ~ a rewrite, + and ± entries that are new or changed, • a decision. Fields of
conntrack entries that are zero are left out; JSON has them.

Of the other forms, json has everything (docs/trace-json.md), mermaid is a sequence
diagram, and pcapng is a capture for Wireshark: an interface for each device and two for
each hook, DEVICE:PROGRAM@entry and @exit, with functions, decisions and verdict as
comments. html is one self-contained page to click through, line by line, with the
packet's bytes. Wireshark decodes the outer packets with -d udp.port==8472,vxlan.

The last line is the verdict: DELIVERED, DROPPED by a decision, LOST without one, TO
STACK for what leaves the cluster for nobody known, or UNKNOWN. The exit code is 0
whatever the verdict, 3 if it is UNKNOWN, 1 if it is not as --expect says: delivered is
DELIVERED or TO STACK, dropped is DROPPED or LOST.`

	traceExample = `  # A ping between pods, and the answer
  hooklab trace -f cluster.yaml --from pod1-1 --to pod2-1

  # The first segment of a connection to a service, a line for each hook
  hooklab trace --from pod1-1 --to svc/web --tcp 80 --detail summary

  # From a node, as JSON
  hooklab trace --from node/cilium-worker --to 10.0.2.158 --udp 53 -o json

  # A page to click through
  hooklab trace --from pod1-1 --to svc/web --tcp 80 -w web.html

  # Every frame at every hook, in Wireshark
  hooklab trace --from pod1-1 --to svc/web --tcp 80 -w web.pcapng
  hooklab trace --from pod1-1 --to svc/web --tcp 80 -o pcapng | wireshark -k -i -

  # What a node does with a packet of the tunnel, and with each packet of a capture
  hooklab trace --hook from-overlay@cilium-worker2 --from pod1-1 --to pod2-1 --tcp 80
  hooklab trace --pcap web.pcap --detail minimal

  # A packet in the middle of a connection, of which only the receiver knows
  hooklab trace --from pod1-1 --to pod2-1 --tcp 80 --flags ACK --set-ct reply

  # Every backend that a service may choose, one line each
  hooklab trace --from pod1-1 --to svc/web --tcp 80 --each-backend --detail minimal

  # Step by step, with changes to maps; the same from a script
  hooklab trace --from pod1-1 --to pod1-2 -i
  printf 'run cilium_lxc\nback\ndel cilium_lxc 10.0.1.79:0\nrun\n' | hooklab trace --from pod1-1 --to pod1-2 -i

  # What a real node's maps say: each dumped by bpftool into worker/MAP.json
  hooklab trace -f cluster.yaml --state worker=worker/ --from pod1-1 --to svc/web --tcp 80

  # Where the article and a real Cilium 1.12.8 part
  hooklab trace --from pod1-1 --to pod1-2 --profile article,cilium-1.12

  # In a test: fail unless it is dropped
  hooklab trace --from pod1-1 --to 10.0.1.250 --expect dropped --detail minimal`
)
