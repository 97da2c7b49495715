package compare

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/maps"
)

// policyEdit is the change of a policy map that a statement asks for.
func (w *World) policyEdit(args []string) (*Edit, error) {
	if len(args) < 3 {
		return nil, errors.New("policy: want POD allow|deny|del ingress|egress [identity N] [PROTO PORT] [proxy PORT]")
	}
	d, err := w.device(args[0])
	if err != nil {
		return nil, err
	}
	if d.Endpoint == 0 {
		return nil, fmt.Errorf("policy %s: only pods have policies", args[0])
	}
	var k maps.PolicyKey
	var v maps.PolicyEntry
	switch args[1] {
	case "allow", "del":
	case "deny":
		v.Deny = maps.PolicyDeny
	default:
		return nil, fmt.Errorf("policy %s: allowed: allow, deny, del", args[1])
	}
	switch args[2] {
	case "ingress":
	case "egress":
		k.Egress = maps.PolicyEgress
	default:
		return nil, fmt.Errorf("policy %s: allowed: ingress, egress", args[2])
	}
	if len(args)%2 == 0 {
		return nil, fmt.Errorf("policy: %s: a value is missing", args[len(args)-1])
	}
	for i := 3; i < len(args); i += 2 {
		if err := policyWord(&k, &v, args[i], args[i+1]); err != nil {
			return nil, err
		}
	}
	e := &Edit{Map: maps.PolicyName(d.Endpoint), Key: append([]byte(nil), maps.Bytes(&k)...)}
	if args[1] != "del" {
		e.Value = append([]byte(nil), maps.Bytes(&v)...)
	}
	return e, nil
}

func policyWord(k *maps.PolicyKey, v *maps.PolicyEntry, word, value string) error {
	bits := 16
	if word == "identity" {
		bits = 32
	}
	n, err := strconv.ParseUint(value, 0, bits)
	if err != nil {
		return fmt.Errorf("policy: %s %s: not a number below 2^%d", word, value, bits)
	}
	port := [2]byte{byte(n >> 8), byte(n)}
	switch word {
	case "identity":
		k.SecLabel = uint32(n)
	case "tcp":
		k.Proto, k.DPort = header.ProtoTCP, port
	case "udp":
		k.Proto, k.DPort = header.ProtoUDP, port
	case "icmp":
		k.Proto, k.DPort = header.ProtoICMP, port
	case "proxy":
		v.ProxyPort = port
	default:
		return fmt.Errorf("policy: %s: allowed: identity, tcp, udp, icmp, proxy", word)
	}
	return nil
}

// policyStatement is the statement that makes an edit of a policy map, "" if none does.
func (w *World) policyStatement(e *Edit) string {
	var k maps.PolicyKey
	var v maps.PolicyEntry
	name, ok := "", false
	for i := range w.Devices {
		if d := &w.Devices[i]; d.Endpoint != 0 && maps.PolicyName(d.Endpoint) == e.Map {
			name, ok = d.Name, true
		}
	}
	if !ok || !decodeInto(&k, e.Key) || e.Value != nil && !decodeInto(&v, e.Value) {
		return ""
	}
	words := []string{"policy", name, "allow", "ingress"}
	switch {
	case e.Value == nil:
		words[2] = "del"
	case v.Deny == maps.PolicyDeny:
		words[2] = "deny"
	}
	if k.Egress == maps.PolicyEgress {
		words[3] = "egress"
	}
	if k.SecLabel != 0 {
		words = append(words, "identity", fmt.Sprint(k.SecLabel))
	}
	if proto := map[uint8]string{header.ProtoTCP: "tcp", header.ProtoUDP: "udp", header.ProtoICMP: "icmp"}[k.Proto]; proto != "" {
		words = append(words, proto, fmt.Sprint(binary.BigEndian.Uint16(k.DPort[:])))
	}
	if v.ProxyPort != [2]byte{} {
		words = append(words, "proxy", fmt.Sprint(binary.BigEndian.Uint16(v.ProxyPort[:])))
	}
	again, err := w.policyEdit(words[1:])
	if err != nil || again.Map != e.Map || string(again.Key) != string(e.Key) || string(again.Value) != string(e.Value) {
		return "" // something that the statement cannot say
	}
	return strings.Join(words, " ")
}
