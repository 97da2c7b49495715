// Package header gives typed views of packet bytes. A view is a slice of the
// packet: there is no parsing step, getters and setters read and write in place.
//
// Getters do not check lengths: the caller has made sure once that the view is
// at least as long as its MinSize (EthernetSize, IPv4MinSize, …). Addresses and
// ports are byte arrays in network order, so they compare and copy into map keys
// without conversion.
package header
