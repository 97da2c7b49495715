// Package dataplane is the contract between the datapath's engines and everybody
// who feeds them packets: hooks, packets, verdicts, configuration.
//
// The walk of a packet from pod to pod, on one node and over two:
//
//	pod1 eth0                                              pod2 eth0
//	   │                                                      ▲
//	   ▼ lxc1 ingress                              lxc2 egress│ (redirect or redirect_peer)
//	┌──────────────────────── node ───────────────────────────┴───────┐
//	│ from-container ─▶ LB ─▶ conntrack ─▶ policy ─▶ local delivery ──┤
//	│        │                                        (policy tail    │
//	│        │ not local                               call of pod2)  │
//	│        ├─▶ set tunnel key, redirect cilium_vxlan ─▶ to-overlay ─┼─▶ VXLAN, UDP 8472
//	│        └─▶ pass to the host stack (identity in the mark)        │       │
//	│                │                                                │       ▼
//	│   host stack ──┴─▶ cilium_host egress: from-host ─▶ deliver,    │   other node:
//	│                     encapsulate, pass or drop                   │   cilium_vxlan ingress:
//	│                                                                 │   from-overlay ─▶ deliver
//	└─────────────────────────────────────────────────────────────────┘   or cilium_host: to-host
//
// An engine runs programs and knows no device; what the kernel does between two
// programs is package node's.
package dataplane
