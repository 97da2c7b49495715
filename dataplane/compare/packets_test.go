//go:build !race

package compare_test

// provePackets is how many packets the twin's tests compare, each in 50 clusters.
const provePackets = 50000
