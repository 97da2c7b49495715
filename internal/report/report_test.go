package report_test

import (
	"bytes"
	"testing"

	"github.com/hooklab/hooklab/internal/report"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	s := report.Suite{Name: "two", Cases: []report.Case{
		{Class: "verdict", Name: "a", Failure: &report.Message{Message: "differs", Text: "x < y"}},
		{Class: "not compared", Name: "b", Skipped: &report.Message{Message: "not seen"}},
		{Class: "compared", Name: "c"},
	}}
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="two" tests="3" failures="1" skipped="1">
  <testcase classname="verdict" name="a">
    <failure message="differs"><![CDATA[x < y]]></failure>
  </testcase>
  <testcase classname="not compared" name="b">
    <skipped message="not seen"></skipped>
  </testcase>
  <testcase classname="compared" name="c"></testcase>
  <system-out></system-out>
</testsuite>
`
	if b.String() != want {
		t.Errorf("got %s\nwant %s", b.String(), want)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for _, tt := range [][2]string{
		{report.Count(1, "packet"), "1 packet"},
		{report.Count(2, "packet"), "2 packets"},
		{report.Count(0, "entry", "entries"), "0 entries"},
		{report.Times(1), "once"},
		{report.Times(3), "3 times"},
		{report.Cell("a|b"), `a\|b`},
	} {
		if tt[0] != tt[1] {
			t.Errorf("got %q, want %q", tt[0], tt[1])
		}
	}
}
