package netns

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// SetSysctl writes value to a sysctl of the namespace. The name is the path
// below /proc/sys and starts with net/, as in net/ipv4/conf/eth0/rp_filter:
// names of links may contain dots, so dots do not separate here.
func (n *NS) SetSysctl(name, value string) error {
	file, err := sysctlFile(name)
	if err != nil {
		return err
	}
	// /proc/sys/net shows the namespace of the thread that opens it.
	err = n.Do(func() error { return os.WriteFile(file, []byte(value), 0) })
	if err != nil {
		return fmt.Errorf("sysctl %s = %s: %w", name, value, explain(err, needNetAdmin))
	}
	return nil
}

// Sysctl reads a sysctl of the namespace, without the newline at its end.
func (n *NS) Sysctl(name string) (string, error) {
	file, err := sysctlFile(name)
	if err != nil {
		return "", err
	}
	var value []byte
	err = n.Do(func() (err error) {
		value, err = os.ReadFile(file)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("sysctl %s: %w", name, err)
	}
	return strings.TrimSuffix(string(value), "\n"), nil
}

func sysctlFile(name string) (string, error) {
	if !strings.HasPrefix(name, "net/") || path.Clean(name) != name {
		return "", fmt.Errorf("sysctl %q: %w: want a path that starts with net/", name, ErrName)
	}
	return "/proc/sys/" + name, nil
}
