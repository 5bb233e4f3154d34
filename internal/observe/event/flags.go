package event

// Label is a word for a bit, a combination of bits or a number.
type Label struct {
	Name  string
	Value uint64
}

// FlagTable is an ordered table of labels. It is shared and must not be changed.
type FlagTable struct {
	Name   string
	Labels []Label
}

// AppendFlags appends the labels of a value made of flags, joined by '|'. The
// table is walked in order: a label of value 0 matches only a value of 0, any
// other when all its bits are set; matched bits are cleared. The walk ends when
// a label equals the whole value. Bits without label are not shown.
func (t *FlagTable) AppendFlags(b []byte, v uint64) []byte {
	whole, first := v, true
	for i := range t.Labels {
		l := &t.Labels[i]
		if l.Value == 0 && whole != 0 || l.Value&v != l.Value || l.Value != 0 && v == 0 {
			continue
		}
		if !first {
			b = append(b, '|')
		}
		b, first = append(b, l.Name...), false
		if l.Value == whole {
			break
		}
		v &^= l.Value
	}
	return b
}

// AppendEnum appends every label with exactly the value v, joined by '|'.
func (t *FlagTable) AppendEnum(b []byte, v uint64) []byte {
	first := true
	for i := range t.Labels {
		if t.Labels[i].Value == v {
			if !first {
				b = append(b, '|')
			}
			b, first = append(b, t.Labels[i].Name...), false
		}
	}
	return b
}

// Value returns the value of a label.
func (t *FlagTable) Value(name string) (uint64, bool) {
	for i := range t.Labels {
		if t.Labels[i].Name == name {
			return t.Labels[i].Value, true
		}
	}
	return 0, false
}

// Table returns the label table of that name (file_flags, clone_flags, errno,
// signal …), or nil.
func Table(name string) *FlagTable { return tables.flags[name] }

// ErrnoName returns the name of a positive errno, for instance ENOENT, or "".
func ErrnoName(errno int64) string { return tables.errno[errno] }

// SignalName returns the name of a signal, for instance SIGKILL, or "".
func SignalName(sig int64) string { return tables.signal[sig] }
