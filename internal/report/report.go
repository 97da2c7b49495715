// Package report has what the reports of both comparisons share: JUnit's elements, a table's
// cells, and counts in words.
package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// JUnit's elements, as CI systems read them.
type (
	// Suite is a report. Write counts its cases.
	Suite struct {
		XMLName  xml.Name `xml:"testsuite"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Cases    []Case   `xml:"testcase"`
		Output   string   `xml:"system-out"`
	}
	// Case is a thing that was looked at: it passes if it has neither message.
	Case struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Failure *Message `xml:"failure,omitempty"`
		Skipped *Message `xml:"skipped,omitempty"`
	}
	// Message says why a case failed or was skipped.
	Message struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",cdata"`
	}
)

// Write writes the suite as an XML document.
func (s *Suite) Write(w io.Writer) error {
	s.Tests, s.Failures, s.Skipped = len(s.Cases), 0, 0
	for i := range s.Cases {
		if s.Cases[i].Failure != nil {
			s.Failures++
		}
		if s.Cases[i].Skipped != nil {
			s.Skipped++
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// Cell is text that a cell of a Markdown table can hold.
func Cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// Count is a number of things: "1 packet", "2 packets"; a second noun is a plural that does
// not end in s.
func Count(n int, noun ...string) string {
	switch {
	case n == 1:
		return "1 " + noun[0]
	case len(noun) > 1:
		return fmt.Sprintf("%d %s", n, noun[1])
	}
	return fmt.Sprintf("%d %ss", n, noun[0])
}

// Times is how often: "once", "2 times".
func Times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
