package field

import (
	"math"
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
	TimeLatency                    // seconds from the entry of the call to its return, 0 if not known
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

// ClockTime returns a time in ns since the epoch as evt.time.s shows it.
func ClockTime(ns uint64) string { return string(appendTime(nil, ns, local, layoutTimeS)) }

// appendSeconds appends ns as seconds with nine decimals.
func appendSeconds(b []byte, ns uint64) []byte {
	b = strconv.AppendUint(b, ns/second, 10)
	return appendPadded(append(b, '.'), ns%second)
}

// AppendDuration appends a duration in ns in the short form of views and
// chisels, with the digits that matter: 1:05, 2.50s, 12ms, 1.25ms, 740ns.
func AppendDuration(b []byte, ns uint64) []byte {
	const minute, hour = 60 * second, 3600 * second
	switch {
	case ns >= hour:
		b = append(appendTwo(b, ns/hour), ':')
		b = append(appendTwo(b, ns/minute%60), ':')
		return appendTwo(b, ns/second%60)
	case ns >= minute:
		b = append(strconv.AppendUint(b, ns/minute, 10), ':')
		return strconv.AppendUint(b, ns/second%60, 10)
	case ns >= second:
		return append(appendHundredths(b, ns, second), 's')
	case ns >= second/100:
		return append(strconv.AppendUint(b, ns/1e6, 10), "ms"...)
	case ns >= 1e6:
		return append(appendHundredths(b, ns, 1e6), "ms"...)
	case ns >= 1e4:
		return append(strconv.AppendUint(b, ns/1e3, 10), "us"...)
	case ns >= 1e3:
		return append(appendHundredths(b, ns, 1e3), "us"...)
	}
	return append(strconv.AppendUint(b, ns, 10), "ns"...)
}

// appendHundredths appends n / unit with two decimals, cut.
func appendHundredths(b []byte, n, unit uint64) []byte {
	b = append(strconv.AppendUint(b, n/unit, 10), '.')
	return appendTwo(b, n%unit*100/unit)
}

// appendTwo appends n with at least two digits.
func appendTwo(b []byte, n uint64) []byte {
	if n < 10 {
		b = append(b, '0')
	}
	return strconv.AppendUint(b, n, 10)
}

// The scale of evt.latency.quantized.
const (
	StepsPerDecade = 8
	LatencySteps   = 11*StepsPerDecade + 1 // up to 10^11 ns and more
)

// QuantizeLatency returns the step of a latency in ns on a logarithmic scale,
// from 1 to LatencySteps, 0 for 0.
func QuantizeLatency(ns uint64) uint64 {
	if ns == 0 {
		return 0
	}
	return min(uint64(math.Log10(float64(ns))*StepsPerDecade)+1, LatencySteps)
}
