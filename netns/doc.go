// Package netns makes network namespaces and what belongs into them: links,
// addresses, routes, rules, sysctls, nftables, and the ports through which
// frames enter and leave user space.
//
// Every function names the namespace that it works in, as the receiver of the
// method. The namespace of the calling thread is never changed: what needs a
// thread inside the namespace runs on a thread of its own, which is thrown away
// afterwards (NS.Do). Nothing is created in the namespace that the process was
// started in, unless the caller asks for it with Current.
//
// Addresses are net/netip values, hardware addresses MAC values, interface
// indexes ints as in package net. Errors that come from a missing privilege wrap
// ErrPermission and say which one is missing.
package netns
