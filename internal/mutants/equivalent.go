package main

// equivalents says of faults that no comparison can find why they are none: for each, what
// a reviewer has to look at. The keys are those of fault.key; one that names no fault of
// the package any more fails a test, and one that was found is an error.
func equivalents() map[string]string {
	return map[string]string{}
}
