package event

// ParamType is the type of a parameter or of a field's value.
type ParamType uint8

// The parameter types. The numbers are those of the event schema.
const (
	TypeNone             ParamType = 0
	TypeInt8             ParamType = 1
	TypeInt16            ParamType = 2
	TypeInt32            ParamType = 3
	TypeInt64            ParamType = 4
	TypeUint8            ParamType = 5
	TypeUint16           ParamType = 6
	TypeUint32           ParamType = 7
	TypeUint64           ParamType = 8
	TypeCharbuf          ParamType = 9  // NUL-terminated string
	TypeBytebuf          ParamType = 10 // bytes
	TypeErrno            ParamType = 11 // int64, negative errno or result
	TypeSockaddr         ParamType = 12 // u8 family + body
	TypeSocktuple        ParamType = 13 // u8 family + body
	TypeFD               ParamType = 14 // int64
	TypePID              ParamType = 15 // int64
	TypeFDList           ParamType = 16 // u16 n, n × (i64 fd, i16 flags)
	TypeFSPath           ParamType = 17 // NUL-terminated path
	TypeSyscallID        ParamType = 18 // u16 syscall code
	TypeSigType          ParamType = 19 // u8
	TypeRelTime          ParamType = 20 // ns
	TypeAbsTime          ParamType = 21 // ns since the epoch
	TypePort             ParamType = 22 // u16
	TypeL4Proto          ParamType = 23 // u8
	TypeSockFamily       ParamType = 24 // u8
	TypeBool             ParamType = 25 // u32
	TypeIPv4Addr         ParamType = 26 // 4 bytes, network order
	TypeDyn              ParamType = 27 // u8 variant index + value
	TypeFlags8           ParamType = 28
	TypeFlags16          ParamType = 29
	TypeFlags32          ParamType = 30
	TypeUID              ParamType = 31
	TypeGID              ParamType = 32
	TypeDouble           ParamType = 33
	TypeSigSet           ParamType = 34
	TypeCharbufArray     ParamType = 35 // values only, not on disk
	TypeCharbufPairArray ParamType = 36 // values only, not on disk
	TypeIPv4Net          ParamType = 37 // constants only
	TypeIPv6Addr         ParamType = 38
	TypeIPv6Net          ParamType = 39 // constants only
	TypeIPAddr           ParamType = 40 // 4 or 16 bytes
	TypeIPNet            ParamType = 41 // constants only
	TypeMode             ParamType = 42
	TypeFSRelPath        ParamType = 43 // path relative to the descriptor in another parameter
	TypeEnumFlags8       ParamType = 44
	TypeEnumFlags16      ParamType = 45
	TypeEnumFlags32      ParamType = 46
	TypeFD32             ParamType = 47
	TypePID32            ParamType = 48
)

// paramTypes holds name and size in bytes (0: variable) of each type.
var paramTypes = [...]struct {
	name string
	size int
}{
	{"NONE", 0}, {"INT8", 1}, {"INT16", 2}, {"INT32", 4}, {"INT64", 8},
	{"UINT8", 1}, {"UINT16", 2}, {"UINT32", 4}, {"UINT64", 8},
	{"CHARBUF", 0}, {"BYTEBUF", 0}, {"ERRNO", 8}, {"SOCKADDR", 0}, {"SOCKTUPLE", 0},
	{"FD", 8}, {"PID", 8}, {"FDLIST", 0}, {"FSPATH", 0}, {"SYSCALLID", 2}, {"SIGTYPE", 1},
	{"RELTIME", 8}, {"ABSTIME", 8}, {"PORT", 2}, {"L4PROTO", 1}, {"SOCKFAMILY", 1}, {"BOOL", 4},
	{"IPV4ADDR", 4}, {"DYN", 0}, {"FLAGS8", 1}, {"FLAGS16", 2}, {"FLAGS32", 4}, {"UID", 4}, {"GID", 4},
	{"DOUBLE", 8}, {"SIGSET", 4}, {"CHARBUFARRAY", 0}, {"CHARBUF_PAIR_ARRAY", 0}, {"IPV4NET", 8},
	{"IPV6ADDR", 16}, {"IPV6NET", 0}, {"IPADDR", 0}, {"IPNET", 0}, {"MODE", 4}, {"FSRELPATH", 0},
	{"ENUMFLAGS8", 1}, {"ENUMFLAGS16", 2}, {"ENUMFLAGS32", 4}, {"FD32", 4}, {"PID32", 4},
}

// String returns the schema's name of the type, for instance CHARBUF.
func (t ParamType) String() string {
	if int(t) < len(paramTypes) {
		return paramTypes[t].name
	}
	return "UNKNOWN"
}

// Size returns the width of a value in bytes, or 0 if it is variable.
func (t ParamType) Size() int { return paramTypes[t].size }

// Signed reports whether a number of the type is read as signed.
func (t ParamType) Signed() bool {
	switch t {
	case TypeInt8, TypeInt16, TypeInt32, TypeInt64, TypeErrno, TypeFD, TypePID, TypeFD32, TypePID32:
		return true
	}
	return false
}

// Format says how a number is printed.
type Format uint8

// The print formats.
const (
	FormatNone      Format = iota // as FormatDec
	FormatDec                     // decimal
	FormatHex                     // upper-case hexadecimal without prefix
	FormatPaddedDec               // decimal, zero-padded to nine digits
	FormatOct                     // octal with a leading 0
	FormatID                      // as FormatDec
)

var formatNames = map[string]Format{"NA": FormatNone, "DEC": FormatDec, "HEX": FormatHex, "OCT": FormatOct}

// ParamInfo describes a parameter of an event type.
type ParamInfo struct {
	Name   string
	Type   ParamType
	Format Format
	// Table gives the labels of flags and enumerations, or nil.
	Table *FlagTable
	// DirFD is the index of the parameter whose descriptor a FSRELPATH is relative to, else -1.
	DirFD int
	// Variants are the forms of a DYN value, in order of the variant index.
	Variants []Variant
}

// Variant is one form of a DYN value.
type Variant struct {
	Type   ParamType
	Format Format
}
