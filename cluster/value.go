package cluster

import (
	"encoding"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// MAC is an Ethernet address, in wire order. The zero MAC stands for "not given".
type MAC [6]byte

// String is the address in the kernel's form, "5a:03:c6:e1:49:d2".
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText is String, and empty for the zero MAC.
func (m MAC) MarshalText() ([]byte, error) {
	if m == (MAC{}) {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText reads six hex bytes separated by colons or dashes. It refuses the
// zero address and group addresses, which no device has.
func (m *MAC) UnmarshalText(text []byte) error {
	hw, err := net.ParseMAC(string(text))
	if err != nil || len(hw) != len(m) {
		return errors.New("not a MAC address; want six hex bytes such as 66:fe:f8:92:bf:af")
	}
	if hw[0]&1 != 0 {
		return errors.New("a group address; a device's MAC has bit 0 of its first byte clear")
	}
	if MAC(hw) == (MAC{}) {
		return errors.New("the zero address, which no device has")
	}
	*m = MAC(hw)
	return nil
}

// ipv4 is an address in a manifest.
type ipv4 struct{ netip.Addr }

func (a *ipv4) UnmarshalText(text []byte) error {
	addr, err := netip.ParseAddr(string(text))
	if err != nil || !addr.Is4() {
		return errors.New("not an IPv4 address")
	}
	if addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return errors.New("not a unicast address of a network")
	}
	a.Addr = addr
	return nil
}

// cidr4 is an IPv4 network in a manifest.
type cidr4 struct{ netip.Prefix }

func (c *cidr4) UnmarshalText(text []byte) error {
	p, err := netip.ParsePrefix(string(text))
	if err != nil || !p.Addr().Is4() {
		return errors.New("not an IPv4 network; want one such as 10.0.1.0/24")
	}
	if p != p.Masked() {
		return fmt.Errorf("has bits behind its mask; the network is %s", p.Masked())
	}
	c.Prefix = p
	return nil
}

// addrPort4 is an IPv4 address and port in a manifest.
type addrPort4 struct{ netip.AddrPort }

func (a *addrPort4) UnmarshalText(text []byte) error {
	ap, err := netip.ParseAddrPort(string(text))
	if err != nil || !ap.Addr().Is4() || ap.Port() == 0 {
		return errors.New("not an address and port; want one such as 10.0.1.79:80")
	}
	a.AddrPort = ap
	return nil
}

// portKey is a port as the key of an idList.
type portKey uint16

func (p *portKey) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 16)
	if err != nil || n == 0 {
		return errors.New("not a port; allowed: 1..65535")
	}
	*p = portKey(n)
	return nil
}

// idList gives ids to things in one annotation: "53=2 9153=3".
type idList[K comparable] map[K]uint32

func (l *idList[K]) UnmarshalText(text []byte) error {
	*l = make(idList[K])
	for _, item := range strings.FieldsFunc(string(text), func(r rune) bool { return r == ' ' || r == ',' }) {
		name, num, _ := strings.Cut(item, "=")
		id, err := strconv.ParseUint(num, 10, 32)
		if err != nil || id == 0 {
			return fmt.Errorf("%s: not NAME=ID with an id from 1 on", quote(item))
		}
		var key K
		if t, ok := any(&key).(encoding.TextUnmarshaler); ok {
			if err := t.UnmarshalText([]byte(name)); err != nil {
				return fmt.Errorf("%s: %w", quote(name), err)
			}
		}
		(*l)[key] = uint32(id)
	}
	return nil
}

// seconds is a lifetime in a manifest: "6h", "60s" or plain seconds.
type seconds uint32

func (s *seconds) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if n, errInt := strconv.ParseUint(string(text), 10, 32); errInt == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	const most = 1 << 24 // The clock is 32 bits wide; half a year is enough.
	if err != nil || d%time.Second != 0 || d < time.Second || d > most*time.Second {
		return fmt.Errorf("not a time; want whole seconds such as 60s or 6h, %ds at most", most)
	}
	*s = seconds(d / time.Second)
	return nil
}

// KernelVersion is a Linux version as far as the datapath depends on it.
type KernelVersion struct{ Major, Minor uint16 }

// String is "5.10".
func (k KernelVersion) String() string {
	return strconv.Itoa(int(k.Major)) + "." + strconv.Itoa(int(k.Minor))
}

// AtLeast compares two versions.
func (k KernelVersion) AtLeast(major, minor uint16) bool {
	return k.Major > major || k.Major == major && k.Minor >= minor
}

// MarshalText is String.
func (k KernelVersion) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads "5.10" and longer forms such as "5.10.0-8-amd64".
func (k *KernelVersion) UnmarshalText(text []byte) error {
	major, rest, _ := strings.Cut(string(text), ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	a, errA := strconv.ParseUint(major, 10, 8)
	b, errB := strconv.ParseUint(rest[:end], 10, 16)
	if errA != nil || errB != nil || a < 4 {
		return errors.New("not a kernel version from 4.0 on; want one such as 5.10")
	}
	*k = KernelVersion{Major: uint16(a), Minor: uint16(b)}
	return nil
}

// checkName says what is wrong with an object's name. Names become names of files
// and namespaces, so that nothing else may pass here.
func checkName(name string) error {
	if name == "" {
		return errors.New("missing")
	}
	if len(name) > 253 {
		return errors.New("longer than 253 characters")
	}
	for i, r := range name {
		alnum := 'a' <= r && r <= 'z' || '0' <= r && r <= '9'
		edge := i == 0 || i == len(name)-1
		if !alnum && (edge || r != '-' && r != '.') {
			return fmt.Errorf("%s: allowed: lower case letters, digits, '-' and '.', a letter or digit at both ends", quote(name))
		}
	}
	if strings.Contains(name, "..") {
		return fmt.Errorf("%s: allowed: no two dots in a row", quote(name))
	}
	return nil
}
