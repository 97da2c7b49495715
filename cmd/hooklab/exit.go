package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
	"github.com/hooklab/hooklab/netns/live"
)

// Exit codes, the same for all subcommands.
const (
	exitOK      = 0
	exitFailed  = 1 // a difference, an expectation that failed, or something broke
	exitCannot  = 2 // this machine or this user cannot run it
	exitUnknown = 3 // not enough information to decide
	exitUsage   = 4 // bad command line or bad input
)

// exitError is an error that decides the exit code.
type exitError struct {
	code int
	err  error // nil prints nothing
}

// Error is the text of the error inside, empty without one.
func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap returns the error inside.
func (e *exitError) Unwrap() error { return e.err }

// exitWith gives an error an exit code. A nil error makes the process end with the
// code and without a message.
func exitWith(code int, err error) error { return &exitError{code, err} }

// usagef is an error of the command line or of its input: exit code 4.
func usagef(format string, args ...any) error {
	return exitWith(exitUsage, fmt.Errorf(format, args...))
}

// usageError is the error of a command line that was not understood, with a hint.
func usageError(cmd *cobra.Command, err error) error {
	return usagef("%w; see '%s --help'", err, cmd.CommandPath())
}

// exitCode is the exit code that stands for an error.
func exitCode(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	for _, kind := range []struct {
		is   error
		code int
	}{
		{cluster.ErrInput, exitUsage},
		{compare.ErrInput, exitUsage},
		{object.ErrObject, exitUsage},
		{bytecode.ErrProgram, exitUsage},
		{lab.ErrNoLab, exitUsage},
		{live.ErrInput, exitUsage},
		{netns.ErrPermission, exitCannot},
		{netns.ErrNotSupported, exitCannot},
		{dataplane.ErrNotSupported, exitCannot},
	} {
		if errors.Is(err, kind.is) {
			return kind.code
		}
	}
	if err != nil {
		return exitFailed
	}
	return exitOK
}

// report writes an error, each line behind the program's name.
func report(w io.Writer, err error) {
	if err == nil || err.Error() == "" {
		return
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "hooklab: %s\n", strings.TrimRight(line, "\n"))
	}
}
