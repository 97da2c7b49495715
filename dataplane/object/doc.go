// Package object reads BPF ELF objects of Cilium's datapath, our own or those that an
// agent compiled, for every engine that executes them.
//
// [Parse] reads one object: its programs with their entry or tail-call slot, and its maps
// under Cilium's names. [Object.Instance] applies one endpoint's or device's constants, many
// times and cheaply. What the package does not understand it refuses by section, symbol, map
// or define, so that no engine runs half an object.
package object
