package lab_test

import (
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkPrivilegedRTT is the time of an echo of 18 bytes over UDP. Its allocations are those of the whole path.
func BenchmarkPrivilegedRTT(b *testing.B) {
	for _, bb := range benchPaths() {
		b.Run(bb.name, func(b *testing.B) {
			w := up(b, article)
			echo(b, w.space("default/pod1-2"), ":80")
			echo(b, w.space("default/pod2-1"), ":80")
			c := dial(b, w.space("default/pod1-1"), "udp4", bb.to)
			raw, err := c.(*net.UDPConn).File()
			must(b, err)
			defer raw.Close()
			fd := int(raw.Fd())
			must(b, unix.SetNonblock(fd, false))
			buf := make([]byte, 18)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := unix.Write(fd, buf); err != nil {
					b.Fatal(err)
				}
				if _, err := unix.Read(fd, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPrivilegedTCP is one TCP stream.
func BenchmarkPrivilegedTCP(b *testing.B) {
	for _, bb := range benchPaths() {
		b.Run(bb.name, func(b *testing.B) {
			w := up(b, article)
			sink(b, w, "default/pod1-2")
			sink(b, w, "default/pod2-1")
			c := dial(b, w.space("default/pod1-1"), "tcp4", bb.to)
			must(b, c.SetDeadline(noDeadline))
			buf := make([]byte, 256<<10)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchPaths() []struct{ name, to string } {
	return []struct{ name, to string }{
		{"same node", "10.0.1.79:80"},
		{"other node", "10.0.2.158:80"},
	}
}

// sink reads what one TCP connection brings.
func sink(tb testing.TB, w *world, ref string) {
	tb.Helper()
	var l net.Listener
	must(tb, w.space(ref).Do(func() (err error) {
		l, err = net.Listen("tcp4", ":80")
		return err
	}))
	done := make(chan struct{})
	tb.Cleanup(func() {
		must(tb, l.Close())
		<-done
	})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 256<<10))
		_ = c.Close()
	}()
}
