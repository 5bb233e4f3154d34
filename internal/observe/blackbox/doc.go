// Package blackbox turns what the probe's black box has into capture files
// that begin before an alarm and read like any other.
//
// The box has the events of the last seconds or minutes, but a capture begins
// with the state of the host, and that is the one of now. So a [Recorder] keeps the
// way from then to now: now and then a snapshot, which shares most of its memory with the
// state, and after it the events that changed the state, a hundred bytes each. From these the
// state of any moment in between is made again, in a host.State of its own, when a file is written.
package blackbox
