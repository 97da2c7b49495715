package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		events string
		want   string
		failed bool
		skips  int
	}{
		{
			name: "pass",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}
{"Action":"pass","Package":"p"}`,
			want: "ok  \tp\t0.01s\n1 tests passed, 0 failures, 0 skipped, in 1 packages that passed\n",
		},
		{
			name: "fail",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: got 1, want 2\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    a_test.go:9: chatter\n"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.01s\n"}
{"Action":"fail","Package":"p"}`,
			want: "    a_test.go:3: got 1, want 2\n--- FAIL: TestA (0.00s)\nFAIL\tp\t0.01s\n" +
				"1 tests passed, 2 failures, 0 skipped, in 0 packages that passed\n",
			failed: true,
		},
		{
			name: "skip",
			events: `{"Action":"output","Package":"p","Test":"TestPrivilegedA","Output":"=== RUN   TestPrivilegedA\n"}
{"Action":"output","Package":"p","Test":"TestPrivilegedA","Output":"    a_test.go:3: run as root:\n"}
{"Action":"output","Package":"p","Test":"TestPrivilegedA","Output":"        needs CAP_SYS_ADMIN\n"}
{"Action":"output","Package":"p","Test":"TestPrivilegedA","Output":"--- SKIP: TestPrivilegedA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestPrivilegedA"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}
{"Action":"pass","Package":"p"}
{"Action":"output","Package":"q","Output":"?   \tq\t[no test files]\n"}
{"Action":"skip","Package":"q"}`,
			want: "ok  \tp\t0.01s\n?   \tq\t[no test files]\n" +
				"SKIP p TestPrivilegedA: a_test.go:3: run as root: needs CAP_SYS_ADMIN\n" +
				"0 tests passed, 0 failures, 1 skipped, in 1 packages that passed\n",
			skips: 1,
		},
		{
			name: "build",
			events: `{"ImportPath":"p [p.test]","Action":"build-output","Output":"# p\n"}
{"ImportPath":"p [p.test]","Action":"build-output","Output":"./a.go:3: undefined: x\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p"}`,
			want: "# p\n./a.go:3: undefined: x\nFAIL\tp [build failed]\n" +
				"0 tests passed, 2 failures, 0 skipped, in 0 packages that passed\n",
			failed: true,
		},
		{
			name: "dead process",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"panic: oh\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.01s\n"}
{"Action":"fail","Package":"p"}
go: something else`,
			want: "FAIL\tp\t0.01s\ngo: something else\npanic: oh\n" +
				"0 tests passed, 1 failures, 0 skipped, in 0 packages that passed\n",
			failed: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			r := newReport(&b)
			if err := r.read(strings.NewReader(tt.events)); err != nil {
				t.Fatal(err)
			}
			r.close()
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if got := r.failed > 0; got != tt.failed {
				t.Errorf("failed = %v, want %v", got, tt.failed)
			}
			if got := len(r.skips); got != tt.skips {
				t.Errorf("%d skips, want %d", got, tt.skips)
			}
		})
	}
}
