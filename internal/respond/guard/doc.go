// Package guard is the daemon: it judges what happens, keeps what belongs
// together as incidents, sees to it that no alert is lost, does what policies
// decide, and takes captures out of the black box that begin before an alert.
//
// # The way of an alert
//
// The goroutine of the events only makes the alert and its scene, and puts them
// into a bounded queue. Another one takes them in order: the alert gets its ID,
// goes into an incident ([evidence.Store]), into the outbox, from which every
// output takes it at its own pace, and then to the policies. What these decide
// waits in a queue of its own for each container, so that a slow action holds up
// neither events nor alerts nor what is done elsewhere. An action is on the disk
// before it runs.
//
// Every queue is bounded. What does not fit is counted, logged, told in
// [Guard.Status] and by an alert; nothing waits for a queue that is full.
//
// # For people
//
// What people do (act, undo, note, switch a policy) has methods that take an
// [evidence.Who], and is in the audit log before it is done.
package guard
