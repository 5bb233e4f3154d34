package filter

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/detect/field"
)

// costPerHost is the cost of comparing an address with those of a name.
const costPerHost = 30

const (
	hostFresh   = time.Minute     // after that a name is looked up again
	hostTimeout = 5 * time.Second // of one look-up
)

// hostName is a name whose addresses are kept up to date. Looking it up goes
// on in the background, so that no event waits for it: until the first answer
// the name has no address, and a failed look-up leaves the old ones.
type hostName struct {
	name    string
	resolve func(context.Context, string) ([]netip.Addr, error)
	addrs   atomic.Pointer[[]netip.Addr]
	stale   atomic.Bool   // whether the next comparison looks it up; a timer sets it, so that comparisons read no clock
	looked  chan struct{} // closed after the first look-up, whatever came of it
	once    sync.Once
}

func newHostName(name string, resolve func(context.Context, string) ([]netip.Addr, error)) *hostName {
	h := &hostName{name: name, resolve: resolve, looked: make(chan struct{})}
	h.stale.Store(true)
	return h
}

// LookUpHosts starts to look up the names that conditions compare addresses
// with. Without it that begins with the first event that has an address, which
// then is judged before the answer is there.
func (p *Program) LookUpHosts() {
	for _, h := range p.hosts {
		h.refresh()
	}
}

// AwaitHosts waits until the names that [Program.LookUpHosts] looks up were
// looked up once, or ctx ends.
func (p *Program) AwaitHosts(ctx context.Context) {
	for _, h := range p.hosts {
		select {
		case <-h.looked:
		case <-ctx.Done():
			return
		}
	}
}

// refresh looks the name up in the background if that is due.
func (h *hostName) refresh() {
	if h.stale.Load() && h.stale.CompareAndSwap(true, false) {
		// The timer keeps a program that is not used any more for that long.
		time.AfterFunc(hostFresh, func() { h.stale.Store(true) })
		go h.look()
	}
}

func (h *hostName) has(a netip.Addr) bool {
	h.refresh()
	addrs := h.addrs.Load()
	return addrs != nil && slices.Contains(*addrs, a)
}

func (h *hostName) look() {
	defer h.once.Do(func() { close(h.looked) })
	ctx, cancel := context.WithTimeout(context.Background(), hostTimeout)
	defer cancel()
	addrs, err := h.resolve(ctx, h.name)
	if err != nil {
		return
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	h.addrs.Store(&addrs)
	field.SetDomain(h.name, addrs)
}

// hostLeaf compares an address with those of host names.
type hostLeaf struct {
	addr  *source
	hosts []*hostName
	not   bool
}

func (l *hostLeaf) holds(r *reading) bool {
	v := l.addr.value(r)
	if v == nil {
		return false
	}
	a := v.Addr.Unmap()
	for _, h := range l.hosts {
		if h.has(a) {
			return !l.not
		}
	}
	return l.not
}

// hostNameField returns the field with the address that a field like
// fd.sip.name is about.
func hostNameField(n Node) (addr *FieldRef, ok bool) {
	f, ok := n.(*FieldRef)
	if !ok {
		return nil, false
	}
	switch f.Name {
	case "fd.cip.name", "fd.sip.name", "fd.lip.name", "fd.rip.name":
		return &FieldRef{At: f.At, Name: strings.TrimSuffix(f.Name, ".name")}, true
	}
	return nil, false
}

func (c *compiler) hostLeaf(n *Check, addr *FieldRef) (leaf, error) {
	if !ops(Eq, Ne, In).has(n.Op) || n.Modifier != NoModifier {
		return nil, errorAt(n.At, "field '%s' is compared with =, != or in", Print(n.Left))
	}
	src, err := c.sources.get(addr)
	if err != nil {
		return nil, err
	}
	l := &hostLeaf{addr: src, not: n.Op == Ne}
	values := []*Value{}
	switch r := n.Right.(type) {
	case *Value:
		values = append(values, r)
	case *List:
		values = r.Values
	}
	for _, v := range values {
		if c.hosts[v.Text] == nil {
			c.hosts[v.Text] = newHostName(v.Text, c.sources.schema.Resolve)
		}
		l.hosts = append(l.hosts, c.hosts[v.Text])
	}
	return l, nil
}
