// Package node is a node of the cluster: its devices with their hooks, and what
// Linux does with a frame between two programs.
//
// A frame enters on a device (Receive, or Transmit for what the host stack
// sends), the device's program runs, and its verdict is applied: to the stack, out
// of another device, into a pod, into the tunnel. Whatever is outside of the node
// is behind three small interfaces, so that the same node serves a lab of real
// namespaces and a simulation.
//
// A node belongs to one goroutine. Frames are borrowed for the call; everything
// happens before it returns.
package node
