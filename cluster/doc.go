// Package cluster is what the user describes and what Cilium's control plane makes
// of it: manifests are read and checked, everything that they leave open is
// allocated as Cilium does, and each node's agent writes the result into its maps.
//
//	files ──▶ Load ──▶ Cluster ──▶ Agent.Sync ──▶ maps of one node
//	                     ▲  AddPod, RemovePod, SetBackends, Reload …
//
// A Cluster may be changed while it runs. Readers see immutable snapshots, so that
// any number of nodes can follow one Cluster without locks.
package cluster
