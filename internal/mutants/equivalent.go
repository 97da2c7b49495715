package main

// equivalents says of faults that no comparison can find why they are none: for each, what
// a reviewer has to look at. The keys are those of fault.key; one that names no fault of
// the package any more fails a test, and one that was found is an error.
func equivalents() map[string]string {
	const traced = "traceLookup and traceUpdate write a step to the packet's trace buffer and nothing else (dataplane/emu/steps.go); " +
		"a trace is what a user reads, the comparison looks at packet, maps, verdict and notifications"
	return map[string]string{
		"eps.go ipcacheLookup4: constant 3 for 2: trace.MapIPCache":                                             traced,
		"lb.go lb4SelectBackendID: constant 6 for 7: trace.MapServices":                                         traced,
		"lb.go lb4SelectBackendID: dropped statement: traceLookup(p, trace.MapServices, 0, key, slot)":          traced,
		"lb.go lb4LookupService: dropped statement: traceLookup(p, trace.MapServices, 0, key, svc)":             traced,
		"lb.go lb4RevNAT: constant 8 for 9: trace.MapRevNAT":                                                    traced,
		"policy.go policyRef: dropped statement: traceLookup(p, trace.MapPolicy, o.source, key, e)":             traced,
		"ipv4.go ipv4HandleFragmentation: dropped statement: traceUpdate(p, trace.MapFrags, &key, &ports, err)": traced,
	}
}
