package action

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"rollcage/internal/respond/scene"
)

// tableName is that of the table in a container's network namespace.
const tableName = "rollcage"

func (r *Runner) isolate(q *Request) (plan, error) {
	c, err := r.container(q)
	if err != nil {
		return plan{}, err
	}
	ns, err := r.netns(c)
	if err != nil {
		return plan{}, err
	}
	ns.Close()
	return plan{what: "cut container " + containerName(c) + " off the network", act: func(context.Context) (*Undo, error) {
		ns, err := r.netns(c)
		if err != nil {
			return nil, err
		}
		defer ns.Close()
		if err := cutOff(ns); err != nil {
			return nil, err
		}
		return &Undo{Container: c}, nil
	}}, nil
}

func (r *Runner) release(q *Request) (plan, error) {
	c := q.Scene.Container
	if c == nil {
		return plan{}, errors.New("it is not in a container")
	}
	return plan{what: "give container " + containerName(c) + " its network back", act: func(context.Context) (*Undo, error) {
		ns, err := r.netns(c)
		if err != nil {
			return nil, err
		}
		defer ns.Close()
		return nil, giveBack(ns)
	}}, nil
}

// netns opens the network namespace of a container. One that is the host's, or
// Rollcage's own, is refused.
func (r *Runner) netns(c *scene.Container) (*os.File, error) {
	if c.HostNetwork {
		return nil, refuse("container %s uses the host's network", containerName(c))
	}
	pids, err := pidsOf(c)
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			continue // it ended
		}
		// The process may have ended and its number been used again before the opening.
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil || containerOfProcess(pid) != c.ID {
			f.Close()
			continue
		}
		if st.Ino == r.own.netns || st.Ino == netnsOf(1) {
			f.Close()
			return nil, refuse("container %s uses the host's network", containerName(c))
		}
		return f, nil
	}
	return nil, fmt.Errorf("container %s: %w", containerName(c), ErrGone)
}

func netnsOf(pid int64) uint64 {
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st) != nil {
		return 0
	}
	return st.Ino
}

// cutOff drops every packet of a network namespace but those of the loopback
// interface. It does so before connections are tracked, so established ones are cut too.
func cutOff(ns *os.File) error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns.Fd())))
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	conn.AddTable(table) // so that the deletion finds one: what an earlier isolation left is replaced
	conn.DelTable(table)
	conn.AddTable(table)
	drop := nftables.ChainPolicyDrop
	first := nftables.ChainPriorityRef(-400)
	for _, c := range []struct {
		name string
		hook *nftables.ChainHook
		key  expr.MetaKey
	}{
		{"input", nftables.ChainHookPrerouting, expr.MetaKeyIIFNAME},
		{"output", nftables.ChainHookOutput, expr.MetaKeyOIFNAME},
	} {
		chain := conn.AddChain(&nftables.Chain{
			Name: c.name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: c.hook, Priority: first, Policy: &drop,
		})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: c.key, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte("lo\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")},
			&expr.Verdict{Kind: expr.VerdictAccept},
		}})
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

// giveBack undoes cutOff. That nothing is cut off is no error.
func giveBack(ns *os.File) error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns.Fd())))
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	conn.AddTable(table)
	conn.DelTable(table)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}
