package field

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// The texts of what is not there.
const (
	notAvailable = "<NA>"
	null         = "NULL"
	nobody       = "<NONE>" // user or group -1
)

// AppendParam appends parameter i of the event as evt.arg shows it: resolved
// to names where it can be, else raw. A nil style is the default.
func AppendParam(b []byte, e *host.Event, i int, s *Style) []byte {
	start := len(b)
	if b = AppendResolved(b, e, i, s); len(b) > start {
		return b
	}
	return AppendRaw(b, e, i, s)
}

// param is a parameter of an event with its type in effect.
type param struct {
	*event.ParamInfo
	typ    event.ParamType
	format event.Format
	data   []byte
}

// paramOf returns parameter i. The variant of a DYN parameter is resolved.
func paramOf(e *host.Event, i int) param {
	info := &e.Info().Params[i]
	p := param{info, info.Type, info.Format, e.Param(i)}
	if p.typ == event.TypeDyn && len(p.data) > 0 && int(p.data[0]) < len(info.Variants) {
		v := info.Variants[p.data[0]]
		p.typ, p.format, p.data = v.Type, v.Format, p.data[1:]
	}
	return p
}

// AppendRaw appends parameter i of the event as number or text as it is. A
// nil style is the default.
func AppendRaw(b []byte, e *host.Event, i int, s *Style) []byte {
	if s == nil {
		s = &defaultStyle
	}
	p := paramOf(e, i)
	if len(p.data) == 0 {
		return append(b, missingText(p.Type)...)
	}
	switch p.typ {
	case event.TypeCharbuf:
		return append(b, stringOf(p.data)...)
	case event.TypeFSPath, event.TypeFSRelPath:
		return event.AppendPrintable(b, stringOf(p.data))
	case event.TypeBytebuf:
		return s.appendBuffer(b, event.String(p.data))
	case event.TypeSockaddr:
		return s.appendSockaddr(b, p.data, protoOf(e))
	case event.TypeSocktuple:
		return s.appendSocktuple(b, p.data, protoOf(e))
	case event.TypeFDList:
		return appendFDList(b, e.Thread, p.data)
	case event.TypeCharbufArray:
		return appendArray(b, p.data, ".", ".")
	case event.TypeCharbufPairArray:
		return appendArray(b, p.data, ":", ",")
	case event.TypeIPv4Addr, event.TypeIPv6Addr, event.TypeIPAddr:
		if addr, ok := netip.AddrFromSlice(p.data); ok {
			return addr.AppendTo(b)
		}
		return append(b, notAvailable...)
	case event.TypeDyn:
		return append(b, notAvailable...) // a variant that the table does not know
	}
	return appendRawNumber(b, &p)
}

// appendRawNumber appends a parameter that is stored as a number.
func appendRawNumber(b []byte, p *param) []byte {
	n, ok := p.number()
	if !ok {
		return append(b, notAvailable...)
	}
	switch p.typ {
	case event.TypeErrno, event.TypeFD, event.TypeFD32, event.TypePID, event.TypePID32:
		return strconv.AppendInt(b, int64(n), 10)
	case event.TypeUID, event.TypeGID:
		if n == math.MaxUint32 {
			return append(b, "-1"...)
		}
	case event.TypeSigSet:
		return appendSigSet(b, n)
	case event.TypeRelTime:
		if n == math.MaxUint64 {
			return append(b, "none"...)
		}
	case event.TypeAbsTime:
		return appendTime(b, n, local, layoutAbsTime)
	case event.TypeBool:
		return strconv.AppendBool(b, n != 0)
	case event.TypeDouble:
		return strconv.AppendFloat(b, math.Float64frombits(n), 'f', 1, 64)
	case event.TypeUint64:
		// Offsets of lseek and values of futex are negative at times, and
		// stored as this for all that.
		return appendNumber(b, n, event.TypeInt64, p.format)
	case event.TypeMode, event.TypePort,
		event.TypeInt8, event.TypeInt16, event.TypeInt32, event.TypeInt64,
		event.TypeUint8, event.TypeUint16, event.TypeUint32:
		return appendNumber(b, n, p.typ, p.format)
	}
	return strconv.AppendUint(b, n, 10)
}

// number reads a parameter that is stored as a number, signed ones sign-extended.
func (p *param) number() (uint64, bool) {
	if p.typ.Signed() {
		n, ok := event.Int(p.data)
		return uint64(n), ok
	}
	return event.Uint(p.data)
}

// AppendResolved appends the name or names that stand behind parameter i of
// the event, nothing if there are none. A nil style is the default.
func AppendResolved(b []byte, e *host.Event, i int, s *Style) []byte {
	if s == nil {
		s = &defaultStyle
	}
	p := paramOf(e, i)
	if len(p.data) == 0 {
		return b
	}
	switch p.typ {
	case event.TypeFSPath, event.TypeFSRelPath:
		if p.data[0] != '/' {
			b, _ = appendResolvedPath(b, e, i)
		}
		return b
	case event.TypeErrno, event.TypeFD, event.TypeFD32, event.TypePID, event.TypePID32, event.TypeSyscallID,
		event.TypeSigType, event.TypeRelTime, event.TypeUID, event.TypeGID, event.TypeMode,
		event.TypeFlags8, event.TypeFlags16, event.TypeFlags32,
		event.TypeEnumFlags8, event.TypeEnumFlags16, event.TypeEnumFlags32:
		if n, ok := p.number(); ok {
			return p.appendNames(b, e, n, s)
		}
	}
	return b
}

// appendNames appends what the number n stands for in a parameter of type p.typ.
func (p *param) appendNames(b []byte, e *host.Event, n uint64, s *Style) []byte {
	switch p.typ {
	case event.TypeErrno:
		if int64(n) < 0 {
			b = append(b, event.ErrnoName(-int64(n))...)
		}
	case event.TypeFD, event.TypeFD32:
		return s.appendFD(b, e, int64(n))
	case event.TypePID, event.TypePID32:
		if t := threadByID(e, int64(n)); t != nil {
			b = append(b, t.Comm...)
		}
	case event.TypeSyscallID:
		if sc := event.SyscallByCode(uint16(n)); sc != nil {
			b = append(b, sc.Name...)
		}
	case event.TypeSigType:
		b = append(b, event.SignalName(int64(n))...)
	case event.TypeRelTime:
		if n != math.MaxUint64 {
			b = strconv.AppendFloat(b, float64(n)/float64(second), 'f', -1, 64)
			b = append(b, 's')
		}
	case event.TypeUID:
		return appendPrincipal(b, uint32(n), userName(e, uint32(n)))
	case event.TypeGID:
		return appendPrincipal(b, uint32(n), groupName(e, uint32(n)))
	case event.TypeEnumFlags8, event.TypeEnumFlags16, event.TypeEnumFlags32:
		if p.Table != nil {
			b = p.Table.AppendEnum(b, n)
		}
	default: // flags and modes
		if p.Table != nil {
			b = p.Table.AppendFlags(b, n)
		}
	}
	return b
}

// appendPrincipal appends the name of a user or group.
func appendPrincipal(b []byte, id uint32, name string) []byte {
	switch {
	case id == math.MaxUint32:
		return append(b, nobody...)
	case name == "":
		return append(b, notAvailable...)
	}
	return event.AppendPrintable(b, name)
}

// appendFD appends <LETTERS>NAME for an open descriptor, or what a negative
// number stands for.
func (s *Style) appendFD(b []byte, e *host.Event, n int64) []byte {
	switch {
	case n == host.AtCWD:
		return append(b, "AT_FDCWD"...)
	case n < 0:
		return append(b, event.ErrnoName(-n)...)
	}
	fd := e.FD
	if n != e.FDNum { // that one may be closed already
		fd = openFD(e.Thread, n)
	}
	if fd == nil {
		return b
	}
	b = append(b, '<', fd.Type.Letter())
	if p := transport(fd).String(); p != "" {
		b = append(b, p[0])
	}
	b = append(b, '>')
	if fd.Type.IsIP() {
		return s.appendFDName(b, fd)
	}
	return event.AppendPrintable(b, fd.Name)
}

// transport returns the transport protocol of an IP socket. That of a socket
// which nobody has connected or bound yet is not told, unless it is raw.
func transport(fd *host.FD) event.L4Proto {
	switch {
	case !fd.Type.IsIP():
		return event.L4NA
	case fd.Type.IsServer(), fd.Role != host.RoleNone, fd.Proto == event.L4Raw:
		return fd.Proto
	}
	return event.L4NA
}

// appendFDName appends the name of a descriptor: its path, or the ends of a connection.
func (s *Style) appendFDName(b []byte, fd *host.FD) []byte {
	switch {
	case fd.Name != "" && !s.Services, !fd.Type.IsIP(), !fd.Source.IsValid():
		return append(b, fd.Name...)
	case fd.Type.IsServer() || !fd.Dest.IsValid():
		return s.appendEndpoint(b, fd.Source, fd.Proto)
	}
	return s.appendTuple(b, fd.Source, fd.Dest, fd.Proto)
}

// protoOf returns the transport protocol of the event's descriptor.
func protoOf(e *host.Event) event.L4Proto {
	if e.FD == nil {
		return event.L4Unknown
	}
	return transport(e.FD)
}

// fdListEntry is the size of an entry of a FDLIST: i64 descriptor, i16 flags.
const fdListEntry = 10

// fdListEntries returns the entries of a FDLIST that are really there.
func fdListEntries(data []byte) []byte {
	if len(data) < 2 {
		return nil
	}
	n := int(binary.LittleEndian.Uint16(data)) * fdListEntry
	data = data[2:]
	return data[:min(n, len(data)/fdListEntry*fdListEntry)]
}

func appendFDList(b []byte, t *host.Thread, data []byte) []byte {
	start := len(b)
	for entries := fdListEntries(data); len(entries) > 0; entries = entries[fdListEntry:] {
		if len(b) > start {
			b = append(b, ' ')
		}
		n := int64(binary.LittleEndian.Uint64(entries))
		letter := byte('?')
		if fd := openFD(t, n); fd != nil {
			letter = fd.Type.Letter()
		}
		b = append(strconv.AppendInt(b, n, 10), ':', letter)
		b = strconv.AppendUint(b, uint64(binary.LittleEndian.Uint16(entries[8:])), 16)
	}
	return b
}

// appendSigSet appends the names of the signals whose bits are set; bit n is signal n+1.
func appendSigSet(b []byte, set uint64) []byte {
	start := len(b)
	for sig := range int64(32) {
		name := event.SignalName(sig + 1)
		if set>>sig&1 == 0 || name == "" {
			continue
		}
		if len(b) > start {
			b = append(b, ' ')
		}
		b = append(b, name...)
	}
	return b
}

// appendArray appends NUL-terminated strings, joined by odd and even
// separators in turn.
func appendArray(b, data []byte, odd, even string) []byte {
	for n := 0; len(data) > 0; n++ {
		switch {
		case n == 0:
		case n%2 == 1:
			b = append(b, odd...)
		default:
			b = append(b, even...)
		}
		item := event.CString(data)
		b = append(b, item...)
		data = data[min(len(item)+1, len(data)):]
	}
	return b
}

// stringOf returns the text of a string parameter that is not empty.
func stringOf(data []byte) string {
	if string(data) == "(NULL)\x00" {
		return notAvailable // how old captures wrote a null pointer
	}
	return event.CString(data)
}

// missingText returns the text of an empty parameter.
func missingText(t event.ParamType) string {
	switch t {
	case event.TypeBytebuf, event.TypeSocktuple, event.TypeFDList,
		event.TypeCharbufArray, event.TypeCharbufPairArray, event.TypeDyn:
		return null
	}
	return notAvailable
}
