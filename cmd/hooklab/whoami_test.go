package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

// whoami is a program for the tests' pods: a server for HTTP over TCP, and for
// datagrams, on port 80 of its namespace. Its answer is its pod's name and the
// address that the question came from.
func whoami() {
	pod := os.Getenv("HOOKLAB_POD")
	udp, err := net.ListenPacket("udp4", ":80")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			_, from, err := udp.ReadFrom(buf)
			if err == nil {
				_, _ = udp.WriteTo(fmt.Appendf(nil, "%s %s\n", pod, from), from)
			}
		}
	}()
	err = http.ListenAndServe(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // no timeouts: a test's server
		_, _ = fmt.Fprintf(w, "%s %s\n", pod, r.RemoteAddr)
	}))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
