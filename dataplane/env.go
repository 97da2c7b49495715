package dataplane

// Env is the time and chance of one run. Both are handed in, so that every run
// can be repeated.
type Env struct {
	KtimeNS uint64        // bpf_ktime_get_ns
	Jiffies uint64        // bpf_jiffies64
	Rand    func() uint32 // bpf_get_prandom_u32; nil draws 0
}

// NextRand draws one random number.
func (e *Env) NextRand() uint32 {
	if e.Rand == nil {
		return 0
	}
	return e.Rand()
}
