package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/maps"
)

// snapshot is the content of the maps that programs write: map, key, value, raw.
type snapshot map[string]map[string]string

// compared are the maps that programs write, and then those that they must not
// write; the policy maps are compared too.
func compared() []string {
	return []string{
		maps.NameCT4, maps.NameCTAny4, maps.NameFrags, maps.NameMetrics,
		maps.NameLXC, maps.NameIPCache, maps.NameTunnel, maps.NameServices, maps.NameBackends, maps.NameRevNAT,
	}
}

func (rp *replayer) snapshot() (snapshot, error) {
	names := compared()
	for _, ep := range rp.w.Endpoints {
		names = append(names, policyMap(ep.ID))
	}
	all := snapshot{}
	for _, name := range names {
		m, err := rp.e.Map(name)
		if err != nil {
			return nil, err
		}
		all[name] = map[string]string{}
		var c maps.Cursor
		if err := m.Range(&c, 1<<30, func(k, v []byte) bool {
			all[name][string(k)] = string(v)
			return true
		}); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return all, nil
}

// maps compares what the step changed.
func (rp *replayer) maps(s *Step, before, after snapshot) {
	rp.want("map changes", lines(gotState(before, after)), lines(wantState(s)))
	rp.want("metrics", lines(gotMetrics(before, after)), lines(wantMetrics(s)))
	rp.want("policy counters", lines(rp.gotPolicy(before, after)), lines(rp.wantPolicy(s)))
}

func lines(l []string) string {
	slices.Sort(l)
	if len(l) == 0 {
		return "none"
	}
	return strings.Join(l, "\n       ")
}

// gotState lists changes of all maps but metrics and policy, whose changes are
// counted, not listed.
func gotState(before, after snapshot) []string {
	var l []string
	for name, now := range after {
		if name == "cilium_metrics" || strings.HasPrefix(name, "cilium_policy_") {
			continue
		}
		was := before[name]
		for k, v := range now {
			old, ok := was[k]
			switch {
			case !ok:
				l = append(l, change("add", name, k, v))
			case old != v:
				l = append(l, change("set", name, k, v))
			}
		}
		for k := range was {
			if _, ok := now[k]; !ok {
				l = append(l, change("del", name, k, ""))
			}
		}
	}
	return l
}

func wantState(s *Step) []string {
	var l []string
	for _, en := range s.State {
		l = append(l, change(en.Op, en.Map, string(en.Key), string(en.Value)))
	}
	return l
}

func change(op, name, k, v string) string {
	return fmt.Sprintf("%s %s %s %s", op, name, hex.EncodeToString([]byte(k)), hex.EncodeToString([]byte(v)))
}

func gotMetrics(before, after snapshot) []string {
	var l []string
	for k, v := range after["cilium_metrics"] {
		if was := before["cilium_metrics"][k]; was != v {
			count, bytes := counters(v, was, 0)
			l = append(l, metric(Metric{k[0], k[1], count, bytes}))
		}
	}
	return l
}

func wantMetrics(s *Step) []string {
	var l []string
	for _, m := range s.Metrics {
		l = append(l, metric(m))
	}
	return l
}

func metric(m Metric) string {
	return fmt.Sprintf("reason %d dir %d: %d frames, %d bytes", m.Reason, m.Dir, m.Count, m.Bytes)
}

// counters is the difference of two u64 counters at offset off.
func counters(now, was string, off int) (packets, bytes uint64) {
	n, w := []byte(now), make([]byte, len(now))
	copy(w, was)
	at := func(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }
	return at(n, off) - at(w, off), at(n, off+8) - at(w, off+8)
}

func (rp *replayer) gotPolicy(before, after snapshot) []string {
	var l []string
	for _, ep := range rp.w.Endpoints {
		name := policyMap(ep.ID)
		for k, v := range after[name] {
			was := before[name][k]
			if was == v {
				continue
			}
			packets, bytes := counters(v, was, 8)
			l = append(l, policy(ep.Name, k, packets, bytes))
			if was == "" || was[:8] != v[:8] {
				l = append(l, ep.Name+": entry changed: "+hex.EncodeToString([]byte(k)))
			}
		}
	}
	return l
}

func (rp *replayer) wantPolicy(s *Step) []string {
	var l []string
	for _, u := range s.Policy {
		l = append(l, policy(u.Endpoint, string(u.Key()), u.Packets, u.Bytes))
	}
	return l
}

// Key is the key of the entry in its policy map.
func (u *PolicyUp) Key() []byte {
	k := make([]byte, 8)
	binary.LittleEndian.PutUint32(k, u.Entry.Identity)
	binary.BigEndian.PutUint16(k[4:], u.Entry.DPort)
	k[6] = u.Entry.Proto
	if u.Entry.Egress {
		k[7] = 1
	}
	return k
}

func policy(ep, key string, packets, bytes uint64) string {
	return fmt.Sprintf("%s %s: %d packets, %d bytes", ep, hex.EncodeToString([]byte(key)), packets, bytes)
}
