package field

import (
	"os"
	"strconv"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// eventFields are the fields of the event itself that every event has.
var eventFields = []Def{
	{Name: "evt.num", Type: u64, Format: event.FormatID, Doc: "Number of the event in its stream, from 1.",
		Example: "evt.num > 100", bind: always(func(e *host.Event) uint64 { return e.Num })},
	{Name: "evt.time", Type: str, Flags: Timestamp, Doc: "Local time of the event with nanoseconds.",
		Example: `evt.time startswith "12:30:"`, bind: clock(layoutTime, nil)},
	{Name: "evt.time.s", Type: str, Flags: Timestamp, Doc: "Local time of the event in whole seconds.",
		Example: `evt.time.s = "12:30:00"`, bind: clock(layoutTimeS, nil)},
	{Name: "evt.time.iso8601", Type: str, Flags: Timestamp, Doc: "Date and time of the event in UTC, as in ISO 8601 with nanoseconds.",
		Example: "evt.time.iso8601 startswith 2026-01-31T", bind: clock(layoutISO8601, time.UTC)},
	{Name: "evt.datetime", Type: str, Flags: Timestamp, Doc: "Local date and time of the event with nanoseconds.",
		Example: "evt.datetime startswith 2026-01-31", bind: clock(layoutDatetime, nil)},
	{Name: "evt.datetime.s", Type: str, Flags: Timestamp, Doc: "Local date and time of the event in whole seconds.",
		Example: `evt.datetime.s = "2026-01-31 12:30:00"`, bind: clock(layoutDatetimeS, nil)},
	{Name: "evt.rawtime", Type: when, Doc: "Time of the event in nanoseconds since the epoch.",
		Example: "evt.rawtime > 1700000000000000000", bind: always(func(e *host.Event) uint64 { return e.Time() })},
	{Name: "evt.rawtime.s", Type: when, Doc: "Time of the event in whole seconds since the epoch.",
		Example: "evt.rawtime.s > 1700000000", bind: always(func(e *host.Event) uint64 { return e.Time() / second })},
	{Name: "evt.rawtime.ns", Type: when, Format: event.FormatPaddedDec, Doc: "Nanoseconds of the event's time within its second.",
		Example: "evt.rawtime.ns < 500000000", bind: always(func(e *host.Event) uint64 { return e.Time() % second })},
	{Name: "evt.reltime", Type: ns, Format: event.FormatPaddedDec, Doc: "Nanoseconds since the first event.",
		Example: "evt.reltime > 5000000000", bind: always(sinceFirst)},
	{Name: "evt.reltime.s", Type: ns, Doc: "Whole seconds since the first event.",
		Example: "evt.reltime.s > 5", bind: always(func(e *host.Event) uint64 { return sinceFirst(e) / second })},
	{Name: "evt.reltime.ns", Type: ns, Format: event.FormatPaddedDec, Doc: "Nanoseconds within the second of the time since the first event.",
		Example: "evt.reltime.ns > 500000000", bind: always(func(e *host.Event) uint64 { return sinceFirst(e) % second })},
	{Name: "evt.pluginname", Type: str, Doc: "Name of the plugin that produced the event; events of the kernel have none.",
		Example: "not evt.pluginname exists", bind: never},
	{Name: "evt.plugininfo", Type: str, Doc: "Summary of the event by the plugin that produced it; events of the kernel have none.",
		Example: "not evt.plugininfo exists", bind: never},
	{Name: "evt.source", Type: str, Doc: "Source of the event: syscall for all that comes from the kernel.",
		Example: "evt.source = syscall", bind: text(func(*host.Event) (string, bool) { return "syscall", true })},
	{Name: "evt.is_async", Type: boolean, Doc: "Whether the event is an asynchronous one, made in user space.",
		Example: "evt.is_async = true", bind: truth(isMeta)},
	{Name: "evt.asynctype", Type: str, Doc: "Name of an asynchronous event.",
		Example: "evt.asynctype = container", bind: text(asyncType)},
	{Name: "evt.hostname", Type: str, Doc: "Name of the host that the event is from; the environment variable FALCO_HOSTNAME overrides that of the running host.",
		Example: "evt.hostname = node-1", bind: text(hostname)},
	{Name: "evt.latency", Type: ns, Flags: Deprecated, Doc: "Nanoseconds from the entry of the system call to its return, 0 if that is not known.",
		Example: "evt.latency > 1000000", bind: always(latency)},
	{Name: "evt.latency.s", Type: ns, Flags: Deprecated, Doc: "Whole seconds of the call's latency, 0 if that is not known.",
		Example: "evt.latency.s >= 1", bind: always(func(e *host.Event) uint64 { return e.Latency / second })},
	{Name: "evt.latency.ns", Type: ns, Format: event.FormatPaddedDec, Flags: Deprecated, Doc: "Nanoseconds within the second of the call's latency, 0 if that is not known.",
		Example: "evt.latency.ns > 500000000", bind: always(func(e *host.Event) uint64 { return e.Latency % second })},
	{Name: "evt.latency.quantized", Type: u64, Flags: Deprecated | Hidden, Doc: "The call's latency on a logarithmic scale: 1 for 1 ns, 8 steps for each power of ten up to 100 seconds, 0 if it is not known.",
		Example: "evt.latency.quantized > 48", bind: always(func(e *host.Event) uint64 { return QuantizeLatency(e.Latency) })},
	{Name: "evt.latency.human", Type: str, Flags: Deprecated, Doc: "The call's latency in a short form, 0ns if it is not known.",
		Example: "evt.latency.human = 0ns", bind: built(humanLatency)},
	{Name: "evt.deltatime", Type: ns, Doc: "Nanoseconds since the previous event.",
		Example: "evt.deltatime > 1000000", bind: always(sincePrev)},
	{Name: "evt.deltatime.s", Type: ns, Doc: "Whole seconds since the previous event.",
		Example: "evt.deltatime.s >= 1", bind: always(func(e *host.Event) uint64 { return sincePrev(e) / second })},
	{Name: "evt.deltatime.ns", Type: ns, Format: event.FormatPaddedDec, Doc: "Nanoseconds within the second of the time since the previous event.",
		Example: "evt.deltatime.ns > 1000000", bind: always(func(e *host.Event) uint64 { return sincePrev(e) % second })},
	{Name: "evt.outputtime", Type: str, Flags: PrintOnly | Timestamp, Doc: "Time of the event in the form that was chosen for the output.",
		Example: "evt.outputtime", bind: outputTime},
	{Name: "evt.cpu", Type: event.TypeInt16, Format: event.FormatID, Doc: "Number of the processor that the event happened on.",
		Example: "evt.cpu = 0", bind: always(func(e *host.Event) uint64 { return uint64(int16(e.CPU)) })},
	{Name: "evt.count", Type: u32, Doc: "Always 1, to be summed up.", Example: "evt.count = 1", bind: always(one)},
	{Name: "evt.around", Type: u64, Args: ArgIndex | ArgRequired, Flags: FilterOnly | NoTransformer | NoRHS | AtMost,
		Doc:     "With = D: whether the event is at most D milliseconds away from the time in brackets, in nanoseconds since the epoch.",
		Example: "evt.around[1700000000000000000] = 1000", bind: around},
}

// clock binds a reader of the event's time in a zone, nil for the local one.
func clock(layout string, zone *time.Location) binder {
	return func(f *Field) error {
		f.Read = func(e *host.Event, v *Value) bool {
			z := zone
			if z == nil {
				z = local
			}
			v.Num = e.Time()
			return v.set(appendTime(v.buf[:0], v.Num, z, layout))
		}
		return nil
	}
}

func latency(e *host.Event) uint64 { return e.Latency }

func humanLatency(b []byte, e *host.Event, _ *Style) ([]byte, bool) {
	return AppendDuration(b, e.Latency), true
}

func one(*host.Event) uint64 { return 1 }

func sinceFirst(e *host.Event) uint64 { return since(e.Time(), e.First) }

func sincePrev(e *host.Event) uint64 { return since(e.Time(), e.Prev) }

// since returns now - then, 0 if then is not known or later.
func since(now, then uint64) uint64 {
	if then == 0 || then > now {
		return 0
	}
	return now - then
}

// outputTime binds the time in the form that the style asks for.
func outputTime(f *Field) error {
	f.Read = func(e *host.Event, v *Value) bool {
		v.Num = e.Time()
		return v.set(appendOutputTime(v.buf[:0], e, f.style()))
	}
	return nil
}

func appendOutputTime(b []byte, e *host.Event, s *Style) []byte {
	t := e.Time()
	switch s.Time {
	case TimeAbsolute:
		// The fraction is not padded: scripts rely on what the tools print.
		b = strconv.AppendUint(b, t/second, 10)
		b = strconv.AppendUint(append(b, '.'), t%second, 10)
	case TimeRelative:
		b = appendSeconds(b, sinceFirst(e))
	case TimeLatency:
		b = appendSeconds(b, e.Latency)
	case TimeDelta:
		b = appendSeconds(b, sincePrev(e))
	default:
		b = appendTime(b, t, local, layoutTime)
	}
	return b
}

func isMeta(e *host.Event) bool { return e.Info().Origin == event.OriginMeta }

func asyncType(e *host.Event) (string, bool) {
	switch {
	case !isMeta(e):
		return "", false
	case e.Type() == event.ASYNCEVENT_E:
		return e.Str(1)
	}
	return e.Info().Name, true
}

// hostnameOverride replaces the name of the running host where, as in a
// container, the system's is not the one that people know.
var hostnameOverride = os.Getenv("FALCO_HOSTNAME")

// around gives the distance in milliseconds, rounded up, to the time in the
// argument.
func around(f *Field) error {
	f.Read = func(e *host.Event, v *Value) bool {
		t := e.Time()
		v.Num = max(since(t, f.number), since(f.number, t))
		v.Num = (v.Num + uint64(time.Millisecond) - 1) / uint64(time.Millisecond)
		return true
	}
	return nil
}
