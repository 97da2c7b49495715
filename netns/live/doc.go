// Package live compares two labs of one cluster by what real programs see in them: it
// brings the cluster up twice, with different engines, runs the same programs in both,
// captures at the same places and compares the conversations.
package live
