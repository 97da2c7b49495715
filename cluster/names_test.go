package cluster_test

import (
	"net/netip"
	"testing"
)

func TestNameOf(t *testing.T) {
	t.Parallel()
	c := loadFile(t, "testdata/good/everything.yaml")
	tests := []struct{ name, ip, want string }{
		{"node", "192.168.7.9", "node control"},
		{"router", "10.200.0.70", "router of worker"},
		{"health", "10.200.0.71", "health endpoint of worker"},
		{"pod", "10.200.0.72", "pod shop/web"},
		{"service", "10.96.0.80", "service shop/web"},
		{"external", "8.8.8.8", "external host dns"},
		{"unknown", "1.1.1.1", ""},
	}
	for _, tt := range tests {
		if got := c.NameOf(netip.MustParseAddr(tt.ip)); got != tt.want {
			t.Errorf("%s: NameOf(%s) = %q, want %q", tt.name, tt.ip, got, tt.want)
		}
	}
}
