// Package agent is the running part of detect, of the drop-in for falco and of
// guard: it runs the events of a source through the state of the host, judges
// them by rules and sends the alerts.
//
// # Who does what
//
// An [Agent] is made with [New] and works while [Agent.Run] runs. The goroutine
// that calls Run reads the source and owns the state of the host, the engine
// and the formatter of the rules at work; nobody else touches these. All other
// methods may be called from any goroutine at any time, before and after Run
// too. Functions given in [Options] are called by Run's goroutine, between or
// at events, and hold up the events for as long as they take.
//
// The source and the delivery stay the caller's, who opens and closes them:
// the source is closed by Run when its context ends (so that a source that
// waits wakes up), and may be closed again. Alerts that were sent are in the
// delivery's queues; closing it is what waits for them.
//
// [Rules] that were given to New or [Agent.Swap] belong to the agent and are
// never given to another.
//
// # Other rules while it runs
//
// New rules are loaded and compiled by the caller, beside the ones at work, and
// Swap puts them in place between two events: each event is judged by exactly
// one set. Before that the source is asked for what either set wants, after it
// for what the new one wants, so that no event is missing to either. When
// loading fails the rules at work stay.
package agent
