package lab

// SetStep makes Up call f after each of its steps.
func SetStep(o *Options, f func(i int, what string)) { o.step = f }
