// Package dissect shows packets to people: one-line summaries, header fields by
// name, differences between two states of a frame, and capture files.
//
// Three forms of text, each a function of the bytes alone that never fails:
// Summary reads like tcpdump's line, Connection is what cilium monitor prints
// behind its events, Fields names every byte of a frame. Diff compares two frames
// field by field, which is how a trace tells a rewrite: "ip.ttl 64 → 63".
//
// Captures are read with Reader (pcap and pcapng, also gzipped) and written with
// Writer (pcapng: an interface for each hook, comments and a direction for each
// packet). EthernetFrame makes frames of what tcpdump -i any captures.
//
// All of it allocates and is meant for output, not for the path of a packet.
// gopacket, whose tables take 30 ms of a program's start, is used in tests only.
package dissect
