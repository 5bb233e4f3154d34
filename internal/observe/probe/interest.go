package probe

import (
	"errors"
	"fmt"

	"rollcage/internal/observe/event"
)

// stateCalls are the calls that always reach user space: without them the
// state of the host would be wrong. Transfers of data also tell something (the
// peer of a datagram), but are sent only when somebody wants them.
var stateCalls = func() event.CodeSet {
	var all, data event.Interest
	all.AddSyscalls(event.SyscallSet("modifies_state")...)
	all.AddSyscalls("setpgid", "setns", "unshare", "pivot_root")
	data.AddSyscalls(event.SyscallSet("io")...)
	for i := range all.Syscalls {
		all.Syscalls[i] &^= data.Syscalls[i]
	}
	return all.Syscalls
}()

// wantedCalls makes the programs' table of what to do with each call number.
func wantedCalls(calls []call, interest *event.Interest) (wants [maxCalls]uint8) {
	codes := interest.Syscalls
	for _, info := range event.All() {
		if interest.Types.Has(info.Type) && info.Origin == event.OriginSyscall {
			addCarried(&codes, info.Type)
		}
	}
	sockets := false // whether some call is wanted that socketcall can stand for
	for _, c := range calls {
		switch {
		case stateCalls.Has(c.code):
			wants[c.index] |= uint8(bpfWantWANTED)
		case codes.Has(c.code):
			wants[c.index] |= uint8(bpfWantWANTED | bpfWantOPTIONAL)
		default:
			continue
		}
		if c.row.Flags&uint8(bpfCallFlagsCALL_ARGUMENT) != 0 {
			wants[c.index] |= uint8(bpfWantSAMPLED)
		}
		switch {
		case c.index >= 2*compatCalls:
			sockets = true
		case c.index >= compatCalls:
			wants[c.index-compatCalls] |= uint8(bpfWantCOMPAT)
		}
	}
	if sockets && compatCalls+socketcallNr < len(wants) {
		wants[compatCalls+socketcallNr] |= uint8(bpfWantWANTED)
		wants[socketcallNr] |= uint8(bpfWantCOMPAT)
	}
	return wants
}

// boxCalls adds to the table what the black box keeps.
func boxCalls(wants *[maxCalls]uint8, calls []call, box *BoxOptions) {
	codes := box.Interest.Syscalls
	for _, info := range event.All() {
		if box.Interest.Types.Has(info.Type) && info.Origin == event.OriginSyscall {
			addCarried(&codes, info.Type)
		}
	}
	for _, c := range calls {
		if !stateCalls.Has(c.code) && !codes.Has(c.code) {
			continue
		}
		wants[c.index] |= uint8(bpfWantBOXED)
		if carriesData(&c.row) {
			wants[c.index] |= uint8(bpfWantDATA)
		}
		if c.index >= compatCalls && c.index < 2*compatCalls {
			wants[c.index-compatCalls] |= uint8(bpfWantCOMPAT)
		}
		if c.index >= 2*compatCalls {
			wants[compatCalls+socketcallNr] |= uint8(bpfWantBOXED)
		}
	}
}

// carriesData reports whether a call's event has a parameter that is cut to the snaplen.
func carriesData(row *bpfCall) bool {
	for _, r := range row.Params {
		switch bpfKind(r.Kind) {
		case bpfKindKIND_IN, bpfKindKIND_OUT, bpfKindKIND_IOVIN, bpfKindKIND_IOVOUT, bpfKindKIND_MSGIN, bpfKindKIND_MSGOUT:
			return true
		}
	}
	return false
}

// addCarried adds the calls that are carried by an event type.
func addCarried(codes *event.CodeSet, t event.Type) {
	for _, s := range event.Syscalls() {
		for _, e := range s.Events {
			if e == t {
				codes.Add(s.Code)
			}
		}
	}
}

// SetInterest changes which events are sent, from the next call on. What the
// state of the host needs is always sent. It may be called from any goroutine.
func (p *Probe) SetInterest(i event.Interest) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return errClosed
	}
	return p.setInterest(i)
}

func (p *Probe) setInterest(i event.Interest) error {
	wants := wantedCalls(p.kernel.calls, &i)
	if p.options.Box != nil {
		boxCalls(&wants, p.kernel.calls, p.options.Box)
	}
	p.interest = i
	killCalls(&wants, p.kernel.calls, p.kills)
	if err := p.kernel.objs.Wants.Set(wants); err != nil {
		return fmt.Errorf("set the wanted calls: %w", err)
	}
	if err := p.kernel.setEntry(i.Latency || p.options.Latency, p.options.SampleArguments); err != nil {
		return err
	}
	return p.kernel.setOptional(&i.Types)
}

// SetProcessInterest says which optional calls of a process still matter;
// calls that the state of the host needs are always sent. It holds for the
// image that the process had at asOf (the time of the last event that was
// looked at, ns since the epoch): if the process has executed a program or
// changed its credentials since, or does so later, everything is sent again.
// A child starts without a limit. That a change of an ancestor matters, the
// kernel does not know. The probe must have been opened with FilterProcesses.
func (p *Probe) SetProcessInterest(pid int64, asOf uint64, codes *event.CodeSet) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return errClosed
	}
	if p.kernel.objs.ProcessFilters.MaxEntries() < maxProcesses {
		return errors.New("the probe was opened without FilterProcesses")
	}
	f := bpfProcessFilter{Asof: asOf, Codes: *codes}
	if err := p.kernel.objs.ProcessFilters.Put(uint32(pid), &f); err != nil {
		return fmt.Errorf("set the wanted calls of process %d: %w", pid, err)
	}
	return nil
}
