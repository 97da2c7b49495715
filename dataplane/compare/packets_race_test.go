//go:build race

package compare_test

// provePackets is fewer under the race detector, which is about goroutines.
const provePackets = 5000
