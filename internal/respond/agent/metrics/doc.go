// Package metrics tells how an agent is, in numbers: what it saw and lost, what
// matched, what the outputs did, and what that costs the host.
//
// A [Reader] takes a [Sample] of everything at one moment. The table of
// metrics (table.go) says which numbers there are and what they are called in
// two naming schemes: [Native], with the prefix rollcage_, and [Falco], with
// the names that dashboards for Falco expect. A sample is exposed in
// Prometheus' text format ([Reader.Handler]), or becomes the fields of Falco's
// snapshot alert and lines of its file ([Sample.Fields]).
package metrics
