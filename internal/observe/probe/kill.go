package probe

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// Kill is an act that the kernel answers with a signal by itself, at once: a
// process that executes a program does not come to its first instruction, one that makes a call does not see
// the result. The act itself has happened: what a call has opened or sent is opened or sent.
//
// The kernel spares the first process and its own threads, the programs spare ours.
type Kill struct {
	// ID is what Options.OnKill is told; not 0.
	ID int
	// Types are the events: SYSCALL_EXECVE_19_X, or exit events of system calls. They are sent from then on.
	Types []event.Type
	// Exe is the path of the program, in its mount namespace and at most 255 bytes, of an exec the new one. Or else Comm
	// is its name in the kernel, at most 15 bytes.
	Exe, Comm string
	// Cgroup, if not 0, limits it to that cgroup, by its id in version 2, and those below it.
	Cgroup uint64
	// Signal is what is sent, 0 means SIGKILL.
	Signal unix.Signal
}

const killComm = 0x10000 // KILL_COMM in bpf/kill.h

// key returns what the programs look up for one of the types.
func (k *Kill) key(t event.Type) (*bpfKillKey, error) {
	key := &bpfKillKey{Type: uint32(t)}
	name := k.Exe
	switch {
	case k.ID <= 0:
		return nil, errors.New("a kill needs an ID")
	case (k.Exe == "") == (k.Comm == ""):
		return nil, errors.New("a kill is for a path or for a name")
	case k.Exe != "" && (k.Exe[0] != '/' || len(k.Exe) >= len(key.Path)):
		return nil, fmt.Errorf("kill of %q: not an absolute path of at most %d bytes", k.Exe, len(key.Path)-1)
	case len(k.Comm) > 15:
		return nil, fmt.Errorf("kill of %q: a name has at most 15 bytes", k.Comm)
	case k.Comm != "":
		key.Type |= killComm
		name = k.Comm
	}
	for i := range len(name) {
		key.Path[i] = int8(name[i])
	}
	return key, nil
}

// SetKills replaces the acts that the kernel answers by itself. Of two with the same program and type, the later one holds.
func (p *Probe) SetKills(kills []Kill) error {
	entries := map[bpfKillKey]bpfKill{}
	for _, k := range kills {
		for _, t := range k.Types {
			key, err := k.key(t)
			if err != nil {
				return err
			}
			signal := k.Signal
			if signal == 0 {
				signal = unix.SIGKILL
			}
			entries[*key] = bpfKill{Cgroup: k.Cgroup, Signal: uint32(signal), Id: uint32(k.ID)}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return errClosed
	}
	m := p.kernel.objs.Kills
	var key bpfKillKey
	var old bpfKill
	var gone []bpfKillKey
	for it := m.Iterate(); it.Next(&key, &old); {
		if _, ok := entries[key]; !ok {
			gone = append(gone, key)
		}
	}
	for key, kill := range entries {
		if err := m.Put(&key, &kill); err != nil {
			return fmt.Errorf("tell the kernel what to kill: %w", err)
		}
	}
	for _, key := range gone {
		if err := m.Delete(&key); err != nil {
			return fmt.Errorf("tell the kernel what not to kill any more: %w", err)
		}
	}
	on := uint8(0)
	if len(entries) > 0 {
		on = 1
	}
	if err := p.kernel.objs.HasKills.Set(on); err != nil {
		return fmt.Errorf("tell the kernel whether to kill: %w", err)
	}
	p.kills = kills
	return p.setInterest(p.interest)
}

// killCalls adds to the table the calls that a process may not survive.
func killCalls(wants *[maxCalls]uint8, calls []call, kills []Kill) {
	var types event.TypeSet
	for _, k := range kills {
		for _, t := range k.Types {
			types.Add(t)
		}
	}
	types.Remove(event.SYSCALL_EXECVE_19_X) // judged where it succeeds
	for _, c := range calls {
		if !types.Has(event.Type(c.row.Type)) {
			continue
		}
		wants[c.index] |= uint8(bpfWantKILL | bpfWantWANTED)
		wants[c.index] &^= uint8(bpfWantOPTIONAL)
		if c.index >= compatCalls && c.index < 2*compatCalls {
			wants[c.index-compatCalls] |= uint8(bpfWantCOMPAT)
		}
		if c.index >= 2*compatCalls {
			wants[compatCalls+socketcallNr] |= uint8(bpfWantWANTED)
			wants[socketcallNr] |= uint8(bpfWantCOMPAT)
		}
	}
}
