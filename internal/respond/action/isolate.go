package action

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

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
	spaces, err := r.networks(c)
	if err != nil {
		return plan{}, err
	}
	spaces.close()
	got := "cut container " + containerName(c) + " off the network"
	return plan{what: got, got: &got, act: func(ctx context.Context) (*Undo, error) {
		cut, err := r.cutAll(ctx, c)
		if len(cut) > 1 {
			got += fmt.Sprintf(", in all %d network namespaces of its processes", len(cut))
		}
		if len(cut) == 0 {
			return nil, err
		}
		return &Undo{Container: c, Networks: cut}, err
	}}, nil
}

// cutAll cuts off all network namespaces of a container until there is no other one: its processes can make
// more, and only one of them leads out. It returns their inodes.
func (r *Runner) cutAll(ctx context.Context, c *scene.Container) (cut []uint64, err error) {
	for again := true; again; {
		again = false
		spaces, err := r.networks(c)
		if err != nil {
			return cut, err
		}
		for inode, f := range spaces.files {
			if slices.Contains(cut, inode) {
				continue
			}
			if err := cutOff(f); err != nil {
				spaces.close()
				return cut, err
			}
			cut, again = append(cut, inode), true
		}
		spaces.close()
		switch {
		case spaces.host != 0:
			return cut, fmt.Errorf("process %d of container %s uses the host's network, which is not cut", spaces.host, containerName(c))
		case ctx.Err() != nil:
			return cut, context.Cause(ctx)
		}
	}
	return cut, nil
}

func (r *Runner) release(q *Request) (plan, error) {
	c := q.Scene.Container
	if c == nil {
		return plan{}, errors.New("it is not in a container")
	}
	return plan{what: "give container " + containerName(c) + " its network back", act: func(context.Context) (*Undo, error) {
		spaces := findNetworks(r.pending.networks(c))
		defer spaces.close()
		now, err := r.networks(c)
		if err != nil && len(spaces.files) == 0 {
			return nil, err
		}
		if err == nil {
			defer now.close()
			maps.Copy(spaces.files, now.files)
		}
		var errs []error
		for _, f := range spaces.files {
			errs = append(errs, giveBack(f))
		}
		return nil, errors.Join(errs...)
	}}, nil
}

// networks are open network namespaces by inode.
type networks struct {
	files map[uint64]*os.File
	host  int64 // a process that is in the host's, or in Rollcage's own
}

func (n *networks) close() {
	for _, f := range n.files {
		f.Close()
	}
}

// add opens the namespace of a process, unless it is open already or not wanted.
func (n *networks) add(pid int64, want func(inode uint64) bool) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return // it ended
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || n.files[st.Ino] != nil || !want(st.Ino) {
		f.Close()
		return
	}
	n.files[st.Ino] = f
}

// networks opens the network namespaces that the processes of a container are in. It is an error if there is
// none but the host's or Rollcage's own.
func (r *Runner) networks(c *scene.Container) (*networks, error) {
	if c.HostNetwork {
		return nil, refuse("container %s uses the host's network", containerName(c))
	}
	pids, err := pidsOf(c)
	if err != nil {
		return nil, err
	}
	n := &networks{files: map[uint64]*os.File{}}
	for _, pid := range pids {
		n.add(pid, func(inode uint64) bool {
			// The process may have ended and its number been used again before the opening.
			if containerOfProcess(pid) != c.ID {
				return false
			}
			if inode == r.own.netns || inode == netnsOf(1) {
				n.host = pid
				return false
			}
			return true
		})
	}
	switch {
	case len(n.files) > 0:
		return n, nil
	case n.host != 0:
		return nil, refuse("container %s uses the host's network", containerName(c))
	}
	return nil, fmt.Errorf("container %s: %w", containerName(c), ErrGone)
}

// findNetworks opens the namespaces with these inodes in which any process is.
func findNetworks(inodes []uint64) *networks {
	n := &networks{files: map[uint64]*os.File{}}
	if len(inodes) == 0 {
		return n
	}
	entries, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	for _, e := range entries {
		if pid, err := strconv.ParseInt(filepath.Base(e), 10, 64); err == nil {
			n.add(pid, func(inode uint64) bool { return slices.Contains(inodes, inode) })
		}
	}
	return n
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
