package field

import (
	"strconv"
	"time"
)

// TimeFormat is the form of evt.outputtime.
type TimeFormat uint8

// The forms of evt.outputtime.
const (
	TimeLocal    TimeFormat = iota // local HH:MM:SS.nnnnnnnnn
	TimeAbsolute                   // seconds since the epoch
	TimeRelative                   // seconds since the first event
	TimeLatency                    // always 0.000000000, as events have no latency any more
	TimeDelta                      // seconds since the previous event
)

// The layouts of times, in the notation of package time.
const (
	layoutTime      = "15:04:05.000000000"
	layoutTimeS     = "15:04:05"
	layoutDatetime  = "2006-01-02 15:04:05.000000000"
	layoutDatetimeS = "2006-01-02 15:04:05"
	layoutISO8601   = "2006-01-02T15:04:05.000000000-0700"
	layoutAbsTime   = "2006-01-02 15:04:05.000000000 -0700"
)

// local is the zone of local times. It has the offset in force when the
// program started, for all events, as the ecosystem's tools do.
var local = func() *time.Location {
	name, offset := time.Now().Zone()
	return time.FixedZone(name, offset)
}()

const second = uint64(time.Second)

func appendTime(b []byte, ns uint64, zone *time.Location, layout string) []byte {
	return time.Unix(int64(ns/second), int64(ns%second)).In(zone).AppendFormat(b, layout)
}

// appendSeconds appends ns as seconds with nine decimals.
func appendSeconds(b []byte, ns uint64) []byte {
	b = strconv.AppendUint(b, ns/second, 10)
	return appendPadded(append(b, '.'), ns%second)
}
