// Package filter is the condition language of rules, macros and display
// filters, and the output format language that goes with it.
//
// It has a pure half and a working half. [Parse] turns text into a tree of
// [Node]s, [Expand] puts macros and lists in, [Print] writes the tree back,
// [Select] tells which events it can be true for. [Program.Add] checks the
// types of a tree and compiles it; [Program.Eval] answers for an event.
//
// All conditions of a program share their parts. Equal sub-expressions are one
// node that is evaluated at most once per event, a field is read at most once
// per event, and what depends on nothing but the process is evaluated once per
// process image and remembered with the process (host.Memo). Eval neither
// allocates nor locks, except that it makes room for the answers once for
// every new process.
//
// The language is that of Falco and sysdig. Where their engine answers in a
// way nobody can want, this one gives the answer the condition reads as:
// fd.ip, fd.net, proc.apid and evt.rawarg numbers work with in and look at
// the whole list, fd.ip, fd.port and fd.net exist only if there is such a
// value, a condition that excludes a system call without an event type of its
// own is still evaluated for the others, and the length of a string prints as
// a number.
package filter
