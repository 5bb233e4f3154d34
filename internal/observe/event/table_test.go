package event

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"go/ast"
)

func TestAllTypesAreThere(t *testing.T) {
	if Count() != 454 || len(All()) != 454 {
		t.Fatalf("%d types, want 454", Count())
	}
	enums := map[string]bool{}
	for i, info := range All() {
		if info.Type != Type(i) || Type(i).Info() != info || ByEnum(info.Enum) != info || enums[info.Enum] {
			t.Errorf("type %d is %+v", i, info)
		}
		enums[info.Enum] = true
		if info.Type.String() != info.Enum {
			t.Errorf("type %d prints as %s", i, info.Type)
		}
	}
	if Type(454).Info() != nil || Type(454).String() != "UNKNOWN_454" || ByEnum("NOPE") != nil || Lookup("nope") != nil {
		t.Error("there is a type beyond the table")
	}
}

func TestConstantsAreThoseOfTheTable(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "types_gen.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		info := ByEnum(spec.Names[0].Name)
		if info == nil || spec.Values[0].(*ast.BasicLit).Value != itoa(int(info.Type)) {
			t.Errorf("constant %s is not in the table; run go generate", spec.Names[0].Name)
		}
		n++
		return false
	})
	if n != Count() {
		t.Errorf("%d constants for %d types; run go generate", n, Count())
	}
}

func TestTypesAreSound(t *testing.T) {
	for _, info := range All() {
		if len(info.Params) > MaxParams {
			t.Errorf("%s has %d parameters", info.Enum, len(info.Params))
		}
		if info.Flags&Unused == 0 && (info.Name == "" || info.Name == "NA") {
			t.Errorf("%s has no name", info.Enum)
		}
		names := map[string]bool{}
		for i := range info.Params {
			p := &info.Params[i]
			if names[p.Name] || info.ParamIndex(p.Name) != i {
				t.Errorf("%s has two parameters %s", info.Enum, p.Name)
			}
			names[p.Name] = true
			checkParam(t, info, p)
		}
		if info.ParamIndex("nope") != -1 {
			t.Errorf("%s has a parameter nope", info.Enum)
		}
	}
}

func checkParam(t *testing.T, info *Info, p *ParamInfo) {
	t.Helper()
	where := info.Enum + " parameter " + p.Name
	if p.Type == TypeDyn != (len(p.Variants) > 0) {
		t.Errorf("%s of type %s has %d variants", where, p.Type, len(p.Variants))
	}
	if strings.Contains(p.Type.String(), "ENUMFLAGS") && p.Table == nil {
		t.Errorf("%s has no labels", where)
	}
	if p.DirFD >= 0 {
		if p.Type != TypeFSRelPath || p.DirFD >= len(info.Params) || info.Params[p.DirFD].Type != TypeFD {
			t.Errorf("%s is relative to parameter %d, which is no descriptor", where, p.DirFD)
		}
	}
	switch p.Type {
	case TypeIPv4Net, TypeIPv6Net, TypeIPNet:
		t.Errorf("%s has a type that does not exist in events", where)
	}
}

func TestNamesLeadToAllVersionsOfAType(t *testing.T) {
	var enums []string
	for _, info := range Lookup("openat") {
		enums = append(enums, info.Enum)
	}
	want := "SYSCALL_OPENAT_E SYSCALL_OPENAT_X SYSCALL_OPENAT_2_E SYSCALL_OPENAT_2_X"
	if got := strings.Join(enums, " "); got != want {
		t.Errorf("openat is %s, want %s", got, want)
	}
}

func TestPropertiesOfWellKnownTypes(t *testing.T) {
	for _, c := range []struct {
		typ      Type
		category Category
		origin   Origin
		flags    Flags
		current  bool
	}{
		{SYSCALL_OPEN_X, CategoryFile, OriginSyscall, CreatesFD | ModifiesState | ConverterManaged, true},
		{SYSCALL_CLOSE_E, CategoryIOOther, OriginSyscall, DestroysFD | UsesFD | ModifiesState | OldVersion | ConverterManaged, false},
		{CONTAINER_JSON_2_E, CategoryProcess, OriginMeta, ModifiesState | LargePayload, true},
		{SIGNALDELIVER_E, CategorySignal, OriginTracepoint, 0, true},
		{PROCEXIT_X, CategoryUnknown, OriginNone, Unused, false},
	} {
		i := c.typ.Info()
		origin := i.Origin
		if c.typ == PROCEXIT_X {
			origin = OriginNone // whatever a number without meaning has
		}
		if i.Category != c.category || origin != c.origin || i.Flags != c.flags || i.Current() != c.current {
			t.Errorf("%s: %+v", c.typ, *i)
		}
	}
	if !CONTAINER_JSON_2_E.Info().LargePayload() || SYSCALL_OPEN_X.Info().LargePayload() {
		t.Error("the wide lengths are at the wrong types")
	}
}

func TestFlagsBecomeLabels(t *testing.T) {
	for _, c := range []struct {
		table string
		value uint64
		want  string
	}{
		{"file_flags", 4097, "O_RDONLY|O_CLOEXEC"},
		{"file_flags", 0, "O_NONE"},
		{"mmap_flags", 10, "MAP_PRIVATE|MAP_ANONYMOUS"},
		{"prot_flags", 3, "PROT_READ|PROT_WRITE"},
		{"prot_flags", 0, "PROT_NONE"},
		{"prot_flags", 1 << 20, ""},
	} {
		if got := string(Table(c.table).AppendFlags(nil, c.value)); got != c.want {
			t.Errorf("%s %#x is %q, want %q", c.table, c.value, got, c.want)
		}
	}
	enum := &FlagTable{Labels: []Label{{"AF_UNIX", 1}, {"AF_INET", 2}, {"AF_LOCAL", 1}}}
	for value, want := range map[uint64]string{1: "AF_UNIX|AF_LOCAL", 2: "AF_INET", 3: ""} {
		if got := string(enum.AppendEnum(nil, value)); got != want {
			t.Errorf("%d is %q, want %q", value, got, want)
		}
	}
	if v, ok := enum.Value("AF_INET"); v != 2 || !ok {
		t.Errorf("AF_INET is %d, %v", v, ok)
	}
	if _, ok := enum.Value("AF_NOPE"); ok || Table("nope") != nil {
		t.Error("there are labels that nobody made")
	}
	if got := ErrnoName(2) + ErrnoName(11) + SignalName(9) + ErrnoName(99999) + SignalName(99); got != "ENOENTEAGAINSIGKILL" {
		t.Errorf("names are %s", got)
	}
}

func TestEverySyscallsEventsExist(t *testing.T) {
	for _, s := range Syscalls() {
		if SyscallByCode(s.Code) != s {
			t.Errorf("%s is not found by its code", s.Name)
		}
		if !strings.HasPrefix(s.Name, "$") && SyscallByName(s.Name) != s {
			t.Errorf("%s is not found by its name", s.Name)
		}
		for _, typ := range s.Events {
			if typ.Info() == nil || typ.Info().Flags&Unused != 0 && !typ.IsEnter() {
				t.Errorf("%s is carried by %s", s.Name, typ)
			}
		}
		if exit := s.Exit(); exit.IsEnter() || !exit.Info().Current() || s.Generic() != (exit == GENERIC_X) {
			t.Errorf("%s ends in %s", s.Name, exit)
		}
	}
	if SyscallByCode(9999) != nil || SyscallByName("nope") != nil {
		t.Error("there is a system call beyond the table")
	}
	for name, want := range map[string]Type{
		"openat": SYSCALL_OPENAT_2_X, "execve": SYSCALL_EXECVE_19_X, "clone": SYSCALL_CLONE_20_X, "getpgid": GENERIC_X,
	} {
		if got := SyscallByName(name).Exit(); got != want {
			t.Errorf("%s ends in %s, want %s", name, got, want)
		}
	}
}

func TestNumbersOfEachPlatform(t *testing.T) {
	for arch, number := range map[string]map[string]int{
		"x86_64": {"read": 0, "execve": 59, "openat": 257, "close_range": 436}, "aarch64": {"read": 63, "execve": 221, "openat": 56},
	} {
		got, last := map[string]int{}, -1
		for _, n := range NativeSyscalls(arch) {
			if n.Nr <= last || n.Syscall == nil || n.Exit.Info() == nil || n.Exit.IsEnter() {
				t.Errorf("%s %d: %+v", arch, n.Nr, n)
			}
			last = n.Nr
			got[n.Syscall.Name] = n.Nr
		}
		for name, nr := range number {
			if got[name] != nr {
				t.Errorf("%s on %s is %d, want %d", name, arch, got[name], nr)
			}
		}
	}
	if NativeSyscalls("pdp11") != nil {
		t.Error("there are system calls on a PDP-11")
	}
	if n, ok := IA32ToX8664(11); n != 59 || !ok {
		t.Errorf("the 32-bit execve is %d, %v; want 59", n, ok)
	}
	if _, ok := IA32ToX8664(99999); ok {
		t.Error("there is a 32-bit call beyond the table")
	}
}

func TestSetsOfSyscallsNameRealOnes(t *testing.T) {
	for name, members := range tables.sets {
		if len(members) == 0 || len(SyscallSet(name)) != len(members) {
			t.Errorf("set %s is empty", name)
		}
		for _, s := range members {
			if SyscallByName(s) == nil {
				t.Errorf("set %s has %s, which is no system call", name, s)
			}
		}
	}
	if SyscallSet("nope") != nil {
		t.Error("there is a set that nobody made")
	}
}

func TestTypeAndCodeSets(t *testing.T) {
	var a, b TypeSet
	for _, typ := range []Type{0, 63, 64, 453} {
		a.Add(typ)
	}
	b.Add(7)
	b.Union(&a)
	a.Remove(64)
	if !a.Has(453) || a.Has(64) || a.Has(7) || !b.Has(7) || !b.Has(64) || b.Has(65) {
		t.Errorf("sets are %v and %v", a, b)
	}
	var one, two Interest
	one.AddSyscalls("openat", "nope")
	two.Types.Add(PROCEXIT_1_E)
	two.Union(&one)
	if !two.Syscalls.Has(SyscallByName("openat").Code) || !two.Types.Has(PROCEXIT_1_E) || two.Syscalls.Has(SyscallByName("close").Code) {
		t.Error("the union of interests is wrong")
	}
}

func TestDescriptorTypes(t *testing.T) {
	for typ, want := range map[FDType]string{
		FDUninitialized: "?", FDUnknown: "o", FDFile: "ffile", FDDirectory: "ddirectory", FDIPv4: "4ipv4", FDIPv6Server: "6ipv6",
		FDPipe: "ppipe", FDUnix: "uunix", FDUnsupported: "X", FDFileV2: "ffile", FDPidfd: "Ppidfd", 22: "?",
	} {
		if got := string(typ.Letter()) + typ.Word(); got != want {
			t.Errorf("type %d is %s, want %s", typ, got, want)
		}
	}
	if !FDFileV2.IsFile() || FDDirectory.IsFile() || !FDIPv6Server.IsIP() || FDPipe.IsIP() || !FDIPv4Server.IsServer() || FDIPv4.IsServer() {
		t.Error("descriptor types are of the wrong kind")
	}
	if got := L4TCP.String() + L4UDP.String() + L4ICMP.String() + L4Raw.String() + L4NA.String() + L4Proto(200).String(); got != "tcpudpicmpraw" {
		t.Errorf("protocols are %s", got)
	}
}

func TestParameterTypes(t *testing.T) {
	for typ, want := range map[ParamType]int{TypeInt8: 1, TypeUint16: 2, TypeBool: 4, TypeErrno: 8, TypeIPv6Addr: 16, TypeCharbuf: 0} {
		if typ.Size() != want {
			t.Errorf("%s has %d bytes, want %d", typ, typ.Size(), want)
		}
	}
	if !TypeFD.Signed() || TypeUID.Signed() || TypePID32.String() != "PID32" || ParamType(200).String() != "UNKNOWN" {
		t.Error("parameter types are wrong")
	}
	if n := NewThreadInfo(); n.SID != -1 || n.VPID != -1 || n.LoginUID != 0xffffffff {
		t.Errorf("unknown values of a thread are %+v", *n)
	}
}
