package cluster

import (
	"slices"
	"strings"
)

// Identities of pods that are allocated (SPEC 15).
const (
	minIdentity = 256
	maxIdentity = 65535
)

// SecurityLabels are the labels that make a pod's identity, sorted, in Cilium's
// form "k8s:app=web".
func (c *Cluster) SecurityLabels(p *Pod) []string { return c.now().securityLabels(p) }

func (s *state) securityLabels(p *Pod) []string {
	account := p.ServiceAccount
	if account == "" {
		account = "default"
	}
	labels := []string{
		"k8s:io.kubernetes.pod.namespace=" + p.Namespace,
		"k8s:io.cilium.k8s.policy.cluster=default",
		"k8s:io.cilium.k8s.policy.serviceaccount=" + account,
	}
	for k, v := range s.namespaces[p.Namespace] {
		labels = append(labels, "k8s:io.cilium.k8s.namespace.labels."+k+"="+v)
	}
	for k, v := range p.Labels {
		if identityLabel(k) {
			labels = append(labels, "k8s:"+k+"="+v)
		}
	}
	slices.Sort(labels)
	return labels
}

// identityLabel says whether a label counts for the identity. Cilium's default
// filter leaves out what changes from one copy of a workload to the next.
func identityLabel(key string) bool {
	if strings.HasPrefix(key, "app.kubernetes.io") {
		return true
	}
	for _, prefix := range []string{
		"io.kubernetes", "kubernetes.io", "k8s.io", "statefulset.kubernetes.io/pod-name",
		"pod-template-generation", "pod-template-hash", "controller-revision-hash", "annotation", "etcd_node",
	} {
		if strings.HasPrefix(key, prefix) {
			return false
		}
	}
	return !strings.Contains(key, "beta.kubernetes.io")
}
