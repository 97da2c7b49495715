// Package journey is the whole way of a packet through a cluster, and why it went
// that way: the sender's socket, every hook with its functions, map lookups and
// rewrites, the host stacks, the wire, the receiver's socket, and the answer.
//
// Ask simulates a Question and returns a Journey, which WriteText, WriteJSON and
// WriteMermaid print. The same question about the same cluster gives the same
// journey, byte for byte.
package journey
