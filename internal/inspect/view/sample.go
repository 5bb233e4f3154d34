package view

import (
	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Sample is what a running thread used, as the system tells it.
type Sample struct {
	// User and System are the shares of a processor in percent since the last sample.
	User, System float64
	// Virtual and Resident are the memory of the process in bytes, 0 for
	// threads that are not the main one.
	Virtual, Resident        uint64
	MajorFaults, MinorFaults uint64 // since its start
}

// Sampler tells what threads use. It returns false for one that it cannot find.
type Sampler interface {
	Sample(pid, tid int64, s *Sample) bool
}

// sampled puts a value of a sample in place of the field's own.
type sampled func(*Sample, *field.Value)

// sampledFields are the fields that no event tells on a running host.
var sampledFields = map[string]sampled{
	"thread.cpu":        func(s *Sample, v *field.Value) { v.Float = s.User + s.System },
	"thread.cpu.user":   func(s *Sample, v *field.Value) { v.Float = s.User },
	"thread.cpu.system": func(s *Sample, v *field.Value) { v.Float = s.System },
	"thread.vmsize.b":   func(s *Sample, v *field.Value) { v.Num = s.Virtual },
	"thread.vmrss.b":    func(s *Sample, v *field.Value) { v.Num = s.Resident },
	"thread.pfmajor":    func(s *Sample, v *field.Value) { v.Num = s.MajorFaults },
	"thread.pfminor":    func(s *Sample, v *field.Value) { v.Num = s.MinorFaults },
}

// AddThreads ends a sample: it runs the threads of the state through the view
// as if each had an event, so that those show up that did nothing. A view
// that is no table has no use for it. from may be nil.
func (t *Table) AddThreads(state *host.State, now uint64, from Sampler) {
	if t.View.Kind != KindTable {
		return
	}
	var (
		buf []byte
		ev  event.Event
		he  host.Event
		s   Sample
	)
	for th := range state.Threads() {
		b, err := event.Append(buf[:0], now, th.TID, event.PROCINFO_E)
		if err != nil || ev.Reset(b) != nil {
			return // an event without parameters always fits
		}
		buf = b
		he = host.Event{Event: &ev, State: state, Thread: th, FDNum: -1}
		var sample *Sample
		if from != nil {
			s = Sample{}
			if !from.Sample(th.PID, th.TID, &s) {
				continue
			}
			sample = &s
		}
		t.addThread(&he, sample)
	}
}

func (t *Table) addThread(e *host.Event, s *Sample) {
	if !t.wants(e) {
		return
	}
	for i := range t.reads {
		if !t.reads[i].takeThread(e, s) {
			return
		}
	}
	t.add()
}
