// Package ruletest tests rules without a kernel: a file says which processes
// and containers there are, what they do, and which alerts must and must not
// come of it. docs/rule-tests.md describes the files.
//
// [Run] runs the tests of files against a ruleset and returns a [Report], whose
// failures carry file and line, what fired instead, and, for a rule that
// did not fire, the first part of its condition that was false.
package ruletest
