// Package lab brings a cluster to life: network namespaces that carry real traffic,
// one for each pod, each node and the wire between the nodes.
//
//	pod namespace           node namespace                     wire namespace
//	┌──────────┐      ┌──────────────────────────────┐         ┌──────────┐
//	│ eth0 TAP ├──fd──┤ worker: node.Node + engine   │         │          │
//	└──────────┘      │   │                   │      │         │          │
//	                  │ AF_PACKET      UDP 8472      │         │          │
//	                  │   │                   │      │         │          │
//	                  │ cilium_net         eth0 ─────┼──veth───┤ br0      │
//	                  │   │ veth, NOARP       │      │         │          │
//	                  │ cilium_host ── kernel stack  │         │          │
//	                  └──────────────────────────────┘         └──────────┘
//
// A worker is a node at work. It belongs to a loop, the goroutine that reads the frames
// of several nodes, runs each of them to its end and never waits for anybody; others ask
// it through node.Do. The node's kernel is the host stack behind TC_ACT_OK.
//
// Everything that a lab makes lies in its own directory below the run directory or
// in namespaces that are pinned there, and is written to state.json before it is
// made. So whatever happens to the process, Down finds what is left. The namespace
// that hooklab was started in is never changed.
package lab
