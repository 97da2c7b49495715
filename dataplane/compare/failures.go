package compare

import (
	"fmt"
	"slices"
	"strings"
)

// Failures are helpers of the programs that fail while one packet is in them, each time
// they are called. A kernel lets them fail when it is out of memory; nothing else leads the
// programs where they give up for that.
type Failures uint8

// Failures by what fails.
const (
	FailStoreBytes Failures = 1 << iota // bpf_skb_store_bytes
	FailL4Csum                          // bpf_l4_csum_replace
	FailCTUpdate                        // bpf_map_update_elem on conntrack
)

// failureNames are the words for them, by bit.
func failureNames() []string { return []string{"store-bytes", "l4-csum", "ct-update"} }

// String is the words with commas between them.
func (f Failures) String() string {
	var words []string
	for i, name := range failureNames() {
		if f&(1<<i) != 0 {
			words = append(words, name)
		}
	}
	return strings.Join(words, ",")
}

func parseFailures(text string) (f Failures, err error) {
	for word := range strings.SplitSeq(text, ",") {
		i := slices.Index(failureNames(), word)
		if i < 0 {
			return 0, fmt.Errorf("allowed: %s", strings.Join(failureNames(), ", "))
		}
		f |= 1 << i
	}
	return f, nil
}
