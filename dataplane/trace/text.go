package trace

import (
	"bytes"
	"fmt"
	"io"
)

// WriteStack writes the steps of one run as a call stack, one function a line
// with its C file, indented by depth. A tail call is a line of its own at the
// margin, and so is the program it leads to: a tail call replaces its caller.
//
//	handle_xgress  bpf_lxc.c
//	  send_trace_notify  lib/trace.h
//	=> tail call 6
//	tail_handle_arp  bpf_lxc.c
//	  arp_validate  lib/arp.h
//
// A function that returned an error, and the program that ended the run, have
// " = " and the result behind them. Steps that a full Buffer lost are missing.
func WriteStack(w io.Writer, steps []Step) error {
	var b bytes.Buffer
	results := stackResults(steps)
	for i, s := range steps {
		switch s.Kind {
		case KindEnter:
			fmt.Fprintf(&b, "%*s%s  %s%s\n", 2*int(s.Depth), "", s.Func.Name(), s.Func.File(), results[i])
		case KindTailCall:
			missed := ""
			if s.Ret.IsErr() {
				missed = ": missed"
			}
			fmt.Fprintf(&b, "=> tail call %d%s\n", s.Slot, missed)
		default: // not of the stack
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// stackResults are what to write behind a function, by the index of the step that
// entered it: the codes of functions between are no news, nor is that of a
// program which a tail call has replaced.
func stackResults(steps []Step) map[int]string {
	type open struct {
		step     int
		replaced bool
	}
	var stack []open
	results := map[int]string{}
	for i, s := range steps {
		switch s.Kind {
		case KindEnter:
			stack = append(stack, open{step: i})
		case KindTailCall:
			if len(stack) > 0 && !s.Ret.IsErr() {
				stack[0].replaced = true
			}
		case KindLeave:
			if len(stack) == 0 {
				continue
			}
			f := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if s.Ret.IsErr() || len(stack) == 0 && !f.replaced {
				results[f.step] = " = " + s.Ret.String()
			}
		default: // not of the stack
		}
	}
	return results
}
