// Package gso does in software what senders leave to hardware: it completes partial
// checksums, cuts aggregates into segments and joins segments into aggregates, as
// Linux does with GSO and GRO. Only IPv4 with TCP and UDP is known.
package gso
