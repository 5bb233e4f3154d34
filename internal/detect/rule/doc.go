// Package rule reads rules files, checks them, and judges events by the rules.
//
// [Load] reads files in order, each on top of those before, and returns a
// [Ruleset] with what could be loaded and a [Result] per file with what could
// not, each error with its place in the file. [NewEngine] compiles the rules
// that are to run into one program; [Engine.Process] says which of them match
// an event.
//
// The files are Falco's, engine version 0.62: lists, macros, rules with
// exceptions, append and override, required versions. Files that Falco accepts
// mean the same here. Where Falco stops at the first error, Load goes on and
// reports them all; LoadOptions.Compatible makes it behave like Falco.
package rule
