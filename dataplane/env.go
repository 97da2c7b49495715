package dataplane

// Env is the time and chance of one run. Both are handed in, so that every run
// can be repeated.
type Env struct {
	KtimeNS uint64        // bpf_ktime_get_ns
	Jiffies uint64        // bpf_jiffies64
	Rand    func() uint32 // bpf_get_prandom_u32; nil draws 0

	// Drawn counts the random numbers that programs used. An engine that cannot ask
	// while a program runs (kernel) calls Rand before, and more often than that.
	Drawn int
}

// NextRand draws one random number for the program.
func (e *Env) NextRand() uint32 {
	e.Drawn++
	if e.Rand == nil {
		return 0
	}
	return e.Rand()
}
