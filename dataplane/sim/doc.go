// Package sim is a whole cluster in one process: pods that answer, the nodes with
// their datapath and their host stacks, the wires between them, hosts outside, and
// one virtual clock. Nothing is real but the datapath's programs and maps.
//
//	pod ── eth0 ══ lxc ─▶ node.Node ─▶ host stack ─▶ eth0 ══ underlay ══ other nodes
//	                        │   ▲          │                    ║
//	                        └───┴─ VXLAN ──┴────────────────────╨─ gateway ── externals
//
// A conversation (Ping, TCP, UDP, IP, Inject) puts frames in; Run and RunUntilIdle
// let time pass. There are no goroutines and no sleeps: all that happens waits in one
// queue, ordered by virtual time and then by when it was put there, so that the same
// calls give the same events, byte for byte. An observer sees every one of them.
//
// A Sim belongs to one goroutine.
//
// # Which ports are open
//
// A pod, a node and an external host answer pings. A TCP port takes connections and
// sends back what it gets; a UDP port sends every datagram back. Open are
//
//   - the backends of services, at their address, port and protocol;
//   - a pod's named container ports, for TCP and UDP;
//   - what a known server in `run` listens on: nc, ncat and netcat with -l (UDP with
//     -u), python -m http.server, socat with TCP-LISTEN: or UDP-LISTEN:;
//   - 4240 TCP of health endpoints and nodes, as cilium-health has it;
//   - 80 and 443 TCP and 53 UDP of external hosts that run nothing;
//   - what Options.Open adds.
//
// All other ports are closed: TCP answers with a reset, UDP with ICMP port
// unreachable, any other protocol with ICMP protocol unreachable.
//
// # What is left out
//
// Retransmission, congestion control, IPv6, ICMP redirects and rate limits. The host
// stack tracks no outer VXLAN packets. Of kube-proxy only what a ClusterIP needs
// in OUTPUT is there; its events are marked.
package sim
