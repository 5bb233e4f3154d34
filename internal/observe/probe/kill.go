package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
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
	// Opened or Connected, in the place of a program, is what a call has done.
	Opened    *Opened
	Connected *Connected
	// Cgroups, if not nil, limits it to processes in exactly these cgroups, by the ids that CgroupFinder tells. Those
	// below them are others.
	Cgroups []uint64
	// Signal is what is sent, 0 means SIGKILL.
	Signal unix.Signal
}

const killComm = 0x10000 // KILL_COMM in bpf/kill.h

// key returns what the programs look up for one of the types.
func (k *Kill) key(t event.Type) (bpfKillKey, error) {
	key := bpfKillKey{Type: uint32(t)}
	name := k.Exe
	switch {
	case k.Exe != "" && (k.Exe[0] != '/' || len(k.Exe) >= len(key.Path)):
		return key, fmt.Errorf("kill of %q: not an absolute path of at most %d bytes", k.Exe, len(key.Path)-1)
	case len(k.Comm) > 15:
		return key, fmt.Errorf("kill of %q: a name has at most 15 bytes", k.Comm)
	case k.Comm != "":
		key.Type |= killComm
		name = k.Comm
	}
	for i := range len(name) {
		key.Path[i] = int8(name[i])
	}
	return key, nil
}

// SetKills replaces the acts that the kernel answers by itself. Of two that are about the same, the later one holds; of
// two names or networks one of which is in the other, both hold. On an error, none is left.
func (p *Probe) SetKills(kills []Kill) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return errClosed
	}
	// While the maps change, nobody is killed.
	o := &p.kernel.objs
	err := o.HasKills.Set(uint8(0))
	t, bad := newKillTables(kills, p.lastScope)
	if err = errors.Join(err, bad); err == nil {
		p.lastScope = t.last
		err = errors.Join(replaceEntries(o.KillScopes, t.scopes), replaceEntries(o.Kills, t.programs),
			replaceEntries(o.KillNames, t.names), replaceEntries(o.KillPeers, t.peers))
	}
	if err == nil && len(t.programs)+len(t.names)+len(t.peers) > 0 {
		err = o.HasKills.Set(uint8(1))
	}
	if err != nil {
		return fmt.Errorf("tell the kernel what to kill: %w", err)
	}
	p.kills = kills
	return p.setInterest(p.interest)
}

// replaceEntries makes a map have just these entries.
func replaceEntries[K comparable, V any](m *ebpf.Map, entries map[K]V) error {
	var key K
	var old V
	var gone []K
	it := m.Iterate()
	for it.Next(&key, &old) {
		if _, ok := entries[key]; !ok {
			gone = append(gone, key)
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	for _, key := range gone {
		if err := m.Delete(&key); err != nil {
			return err
		}
	}
	for key, v := range entries {
		if err := m.Put(&key, &v); err != nil {
			return err
		}
	}
	return nil
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
			wants[compatCalls+socketcallNr] |= uint8(bpfWantKILL | bpfWantWANTED)
			wants[socketcallNr] |= uint8(bpfWantCOMPAT)
		}
	}
}
