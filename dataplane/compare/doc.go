// Package compare runs the same packets through two engines and says where they
// part.
//
// A [Scenario] is a world and what happens in it: a cluster, the node whose datapath
// is looked at, the settings of that datapath, and steps (packets at hooks, changes of
// maps, jumps of the clock). Scenarios are written by people, made of a capture, or
// come from package generate; a text file ([Parse], [Scenario.Write]) holds any of them
// exactly, so every difference that is found can be run again.
//
// [Run] plays scenarios on both sides and compares after every packet all that came of
// it ([Outcome]). What a side cannot observe is counted as not compared. The [Report]
// has each distinct difference once, with the function where the two sides part and a
// scenario that was shrunk to what it takes to see it.
package compare
