// Package capture reads and writes .scap capture files: a snapshot of a host
// followed by its events.
//
// [Open] reads every version of the format, plain or gzip, and upgrades old
// events to today's types, so that nothing above it has to know old ones. Its
// [Reader] is an [event.Source]; what it hands out are views on its buffer.
// [Create] writes today's version, in one file or in a row of files by size,
// time or number of events.
//
// A capture is foreign data. Lengths in it are believed only as far as bytes
// arrive; whatever is wrong ends the stream with an [*Error] that says what and
// where, after all whole events before it. The format and our deviations from
// what others do are described in docs/formats/scap.md.
package capture
