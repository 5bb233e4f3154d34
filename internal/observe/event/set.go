package event

// TypeSet is a set of event types.
type TypeSet [8]uint64

// Add puts a type into the set.
func (s *TypeSet) Add(t Type) { s[t>>6&7] |= 1 << (t & 63) }

// Remove takes a type out of the set.
func (s *TypeSet) Remove(t Type) { s[t>>6&7] &^= 1 << (t & 63) }

// Has reports whether the type is in the set.
func (s *TypeSet) Has(t Type) bool { return s[t>>6&7]>>(t&63)&1 != 0 }

// Union adds all members of o.
func (s *TypeSet) Union(o *TypeSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

// CodeSet is a set of system calls by their code (see [Syscall]).
type CodeSet [8]uint64

// Add puts a code into the set.
func (s *CodeSet) Add(code uint16) { s[code>>6&7] |= 1 << (code & 63) }

// Has reports whether the code is in the set.
func (s *CodeSet) Has(code uint16) bool { return s[code>>6&7]>>(code&63)&1 != 0 }

// Union adds all members of o.
func (s *CodeSet) Union(o *CodeSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

// Interest says which events somebody wants: system calls by code (those
// without an event type of their own arrive as GENERIC_X), and other events by type.
type Interest struct {
	Syscalls CodeSet
	Types    TypeSet
	// Latency is whether somebody wants to know how long calls take, see Event.Latency.
	Latency bool
}

// Union adds all that o wants.
func (i *Interest) Union(o *Interest) {
	i.Syscalls.Union(&o.Syscalls)
	i.Types.Union(&o.Types)
	i.Latency = i.Latency || o.Latency
}

// Remove takes out all calls and types that o wants.
func (i *Interest) Remove(o *Interest) {
	for n := range i.Syscalls {
		i.Syscalls[n] &^= o.Syscalls[n]
	}
	for n := range i.Types {
		i.Types[n] &^= o.Types[n]
	}
}

// AddSyscalls adds system calls by name; names that the table lacks are skipped.
func (i *Interest) AddSyscalls(names ...string) {
	for _, n := range names {
		if s := SyscallByName(n); s != nil {
			i.Syscalls.Add(s.Code)
		}
	}
}
