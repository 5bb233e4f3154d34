package probe

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// killTables is what the programs look up.
type killTables struct {
	programs map[bpfKillKey]bpfKill
	names    map[bpfKillName]bpfKill
	peers    map[bpfKillPeer]bpfKill
	scopes   map[bpfKillScope]uint8

	numbers map[string]uint32 // of scopes, by their cgroups
	last    uint32            // number of a scope
}

// newKillTables makes the tables. Scopes get numbers after the last one, so that none ever means two things.
func newKillTables(kills []Kill, last uint32) (*killTables, error) {
	t := &killTables{
		programs: map[bpfKillKey]bpfKill{}, names: map[bpfKillName]bpfKill{}, peers: map[bpfKillPeer]bpfKill{},
		scopes: map[bpfKillScope]uint8{}, numbers: map[string]uint32{}, last: last,
	}
	programs, names, peers := map[bpfKillKey]*Kill{}, map[bpfKillName]*Kill{}, map[bpfKillPeer]*Kill{}
	for i := range kills {
		k := &kills[i]
		if n := count(k.Exe != "", k.Comm != "", k.Opened != nil, k.Connected != nil); k.ID <= 0 || n != 1 {
			return nil, errors.New("a kill needs an ID, and is for a path, for a name, for opens or for connects")
		}
		for _, typ := range k.Types {
			var err error
			switch {
			case k.Opened != nil:
				err = enter(names, k, typ, k.Opened.key)
			case k.Connected != nil:
				err = enter(peers, k, typ, k.Connected.key)
			default:
				err = enter(programs, k, typ, k.key)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	for key, k := range programs {
		t.programs[key] = t.entry(k, k.Cgroups)
	}
	for key, k := range names {
		t.names[key] = t.entry(k, covering(names, key))
	}
	for key, k := range peers {
		t.peers[key] = t.entry(k, covering(peers, key))
	}
	return t, nil
}

func count(all ...bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

func enter[K comparable](to map[K]*Kill, k *Kill, t event.Type, key func(event.Type) (K, error)) error {
	at, err := key(t)
	to[at] = k
	return err
}

// covering returns the cgroups of an entry of a trie together with those of the entries that cover it: a lookup
// finds the longest name or network alone. nil means everywhere.
func covering[K interface {
	comparable
	Shortened(bits uint32) K
	Length() uint32
}](entries map[K]*Kill, key K) []uint64 {
	all := []uint64{}
	for bits := uint32(trieHeader); bits <= key.Length(); bits++ {
		k := entries[key.Shortened(bits)]
		if k == nil {
			continue
		}
		if k.Cgroups == nil {
			return nil
		}
		all = append(all, k.Cgroups...)
	}
	return all
}

// entry returns what is found for a kill in these cgroups.
func (t *killTables) entry(k *Kill, cgroups []uint64) bpfKill {
	e := bpfKill{Signal: uint32(cmp.Or(k.Signal, unix.SIGKILL)), Id: uint32(k.ID)}
	if cgroups == nil {
		return e
	}
	cgroups = slices.Clone(cgroups)
	slices.Sort(cgroups)
	cgroups = slices.Compact(cgroups)
	key := fmt.Sprint(cgroups)
	if e.Scope = t.numbers[key]; e.Scope != 0 {
		return e
	}
	t.last++
	t.numbers[key], e.Scope = t.last, t.last
	for _, c := range cgroups {
		t.scopes[bpfKillScope{Cgroup: c, Scope: t.last}] = 1
	}
	return e
}
