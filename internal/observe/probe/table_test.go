package probe

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rollcage/internal/observe/event"
)

func testTables(t *testing.T, arch string) *tables {
	t.Helper()
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	tab, err := parseTables(spec, arch)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// widths are the bytes that the kinds of recipes make; 0 is variable, or as the recipe says.
var widths = map[bpfKind]int{
	bpfKindKIND_RET: 8, bpfKindKIND_RET32: 4, bpfKindKIND_INT: 8, bpfKindKIND_U8: 1, bpfKindKIND_U16: 2, bpfKindKIND_U32: 4,
	bpfKindKIND_U64: 8, bpfKindKIND_FLAGS8: 1, bpfKindKIND_FLAGS16: 2, bpfKindKIND_FLAGS32: 4, bpfKindKIND_OPENFLAGS: 4,
	bpfKindKIND_OPENMODE: 4, bpfKindKIND_DEV: 4, bpfKindKIND_INO: 8, bpfKindKIND_USER32: 4, bpfKindKIND_USER64: 8,
	bpfKindKIND_USERFLAGS: 4, bpfKindKIND_USERFD: 8, bpfKindKIND_USERINT: 8, bpfKindKIND_USERLONG: 8, bpfKindKIND_LIMIT: 8,
	bpfKindKIND_HOWFLAGS: 4, bpfKindKIND_HOWMODE: 4, bpfKindKIND_CREATFLAGS: 2, bpfKindKIND_PIPEINO: 8, bpfKindKIND_VMSIZE: 4,
	bpfKindKIND_VMRSS: 4, bpfKindKIND_VMSWAP: 4, bpfKindKIND_CAPS: 8, bpfKindKIND_TIME: 8, bpfKindKIND_PAIR64: 8,
	bpfKindKIND_IOVSIZE: 4, bpfKindKIND_PRCTLINT: 8, bpfKindKIND_SEMBUF: 2, bpfKindKIND_SEMVAL: 4, bpfKindKIND_QUEUEPCT: 1,
	bpfKindKIND_QUEUELEN: 4, bpfKindKIND_QUEUEMAX: 4, bpfKindKIND_SOCKPTR: 8, bpfKindKIND_SOCKLEVEL: 1, bpfKindKIND_SOCKNAME: 1,
	bpfKindKIND_MSGSIZE: 4,
}

func TestEveryRecipeMakesTheWidthOfItsParameter(t *testing.T) {
	tab := testTables(t, "amd64")
	checkWidths := func(typ event.Type, recipes []bpfRecipe) {
		for i, r := range recipes {
			p := typ.Info().Params[i]
			width := widths[bpfKind(r.Kind)]
			if bpfKind(r.Kind) == bpfKindKIND_ZERO {
				width = int(r.Aux)
			}
			if bpfKind(r.Kind) != bpfKindKIND_QUOTA && width != p.Type.Size() {
				t.Errorf("%s parameter %s is a %s of %d bytes, its recipe makes %d", typ, p.Name, p.Type, p.Type.Size(), width)
			}
		}
	}
	for typ, recipes := range tab.recipes {
		checkWidths(typ, recipes)
	}
	for _, c := range tab.ia32 {
		if c.recipes != nil {
			checkWidths(c.exit, c.recipes)
		}
	}
}

func TestEveryCallWithAnEventHasItsRecipes(t *testing.T) {
	for _, arch := range []string{"x86_64", "aarch64"} {
		tab := testTables(t, map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[arch])
		for _, c := range buildCalls(tab, arch) {
			exit := event.Type(c.row.Type)
			switch {
			case exit == event.GENERIC_X, c.row.Maker == uint8(bpfMakerMAKER_SOCKETCALL):
			case tab.recipes[exit] == nil && wholeMakers[exit] == 0 && !isIA32Event(tab, exit):
				t.Errorf("%s: nothing says how %s is made", arch, exit)
			case !exit.Info().Current() || exit.IsEnter():
				t.Errorf("%s: %s is not an exit event of today", arch, exit)
			case c.index >= maxCalls:
				t.Errorf("%s: %s has index %d", arch, exit, c.index)
			}
		}
	}
}

// The walk goes the other way than the one above: from what the vocabulary says that a platform has.
func TestEveryCallOfThePlatformsIsInTheProgramsTable(t *testing.T) {
	for _, c := range []struct{ platform, arch string }{{"x86_64", "amd64"}, {"aarch64", "arm64"}} {
		rows := map[int]call{}
		for _, row := range buildCalls(testTables(t, c.arch), c.platform) {
			rows[row.index] = row
		}
		for _, n := range event.NativeSyscalls(c.platform) {
			if n.Nr >= maxSyscalls { // of the x32 ABI, see recipes.txt
				continue
			}
			row, ok := rows[n.Nr]
			if !ok || row.row.Type != uint16(n.Exit) || row.code != n.Syscall.Code {
				t.Errorf("%s: call %d %s is to be carried by %s, the programs have %+v", c.platform, n.Nr, n.Syscall.Name, n.Exit, row)
			}
		}
		if c.arch != "amd64" {
			continue
		}
		for nr := range maxSyscalls {
			row, ok := rows[nr+compatCalls]
			if as, named := event.IA32ToX8664(nr); !ok && (named || as != 0) {
				t.Errorf("the 32-bit call %d has no event", nr)
			}
			if ok && row.row.Maker != uint8(bpfMakerMAKER_SOCKETCALL) && row.code == 0 {
				t.Errorf("the 32-bit call %d has no code", nr)
			}
		}
	}
}

// A parameter that no real call was compared with may be anything.
func TestEveryEventIsComparedWithARealCall(t *testing.T) {
	var tests strings.Builder
	for _, name := range must(filepath.Glob("*_test.go")) {
		tests.Write(must(os.ReadFile(name)))
	}
	if tests.Len() == 0 {
		t.Skip("the sources of the tests are not here")
	}
	carried := map[event.Type]bool{}
	for _, arch := range []string{"amd64", "arm64"} {
		for _, c := range buildCalls(testTables(t, arch), map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]) {
			carried[event.Type(c.row.Type)] = true
		}
	}
	for typ := range carried {
		if typ != 0 && !regexp.MustCompile(`[\x60"]`+typ.String()+`[ "\x60]`).MatchString(tests.String()) {
			t.Errorf("no scene makes the call of %s", typ)
		}
	}
}

func isIA32Event(tab *tables, typ event.Type) bool {
	for _, c := range tab.ia32 {
		if c.exit == typ && c.recipes != nil {
			return true
		}
	}
	return false
}

func TestPlainEventsFitTheProgramThatMakesThem(t *testing.T) {
	const maxPlain = 8 // MAX_PLAIN_PARAMS in bpf/record.h
	for _, c := range buildCalls(testTables(t, "amd64"), "x86_64") {
		if c.row.Maker == uint8(bpfMakerMAKER_PLAIN) && c.row.Nparams > maxPlain {
			t.Errorf("%s has %d parameters", event.Type(c.row.Type), c.row.Nparams)
		}
	}
}

func TestTheTablesThatProgramsNameHaveTheirNumbers(t *testing.T) {
	tab := testTables(t, "amd64")
	for name, want := range map[string]uint8{"file_flags": 1, "clone_flags": 2} { // TABLE_FILE, TABLE_CLONE in bpf/param.h
		if tab.names[name] != want {
			t.Errorf("%s is table %d, want %d", name, tab.names[name], want)
		}
	}
}

func TestTheTablesOfBothArchitecturesDiffer(t *testing.T) {
	amd, arm := testTables(t, "amd64"), testTables(t, "arm64")
	if amd.translations[1] == arm.translations[1] {
		t.Error("O_DIRECTORY has the same number on both architectures")
	}
}

func TestBadTablesAreRefusedWithTheirPlace(t *testing.T) {
	tab := testTables(t, "amd64")
	for _, c := range []struct{ name, line, want string }{
		{"an unknown event", "NO_SUCH_EVENT ret", "no event NO_SUCH_EVENT"},
		{"an unknown kind", "SYSCALL_CLOSE_X ret whatever", `no recipe "whatever"`},
		{"a missing parameter", "SYSCALL_CLOSE_X ret", "has 2 parameters, not 1"},
		{"an unknown table", "SYSCALL_CLOSE_X ret flags32:0@nothing", "no translation nothing"},
		{"a bad number", "SYSCALL_CLOSE_X ret int:x", "invalid syntax"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := eachLine("recipes.txt", "# first\n"+c.line+"\n", tab.recipeLine)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "recipes.txt:2: ") {
				t.Errorf("error %v, want recipes.txt:2 and %q", err, c.want)
			}
		})
	}
	for _, c := range []struct{ name, text, want string }{
		{"an unknown table", "nothing bits\n", "translations.txt:1: no table or mode"},
		{"an unknown mode", "file_flags sometimes\n", "translations.txt:1: no table or mode"},
		{"an unknown label", "file_flags bits\n  O_NOTHING 1\n", "translations.txt:2: table file_flags has no label O_NOTHING"},
	} {
		t.Run(c.name+" of translations", func(t *testing.T) {
			err := eachLine("translations.txt", c.text, tab.translationLine("amd64"))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestWantedCallsIncludeTheirOtherForms(t *testing.T) {
	tab := testTables(t, "amd64")
	calls := buildCalls(tab, "x86_64")
	_, extra := socketcalls(tab, calls)
	calls = append(calls, extra...)
	var none, write, generic event.Interest
	write.AddSyscalls("write")
	generic.Types.Add(event.SYSCALL_MPROTECT_X)
	const wanted, optional, compat = uint8(bpfWantWANTED), uint8(bpfWantOPTIONAL), uint8(bpfWantCOMPAT)
	for _, c := range []struct {
		name     string
		interest *event.Interest
		index    int
		want     uint8
	}{
		{"state is always sent", &none, 3, wanted},
		{"write is not sent when nobody wants it", &none, 1, 0},
		{"write is sent when wanted, and may be left out by process", &write, 1, wanted | optional},
		{"the 32-bit write too", &write, compatCalls + 4, wanted | optional},
		{"and the native call of its number, stat, looks for it", &write, 4, compat},
		{"an event type stands for its calls", &generic, 10, wanted | optional},
		{"socketcall is looked at for the state", &none, compatCalls + socketcallNr, wanted},
	} {
		t.Run(c.name, func(t *testing.T) {
			wants := wantedCalls(calls, c.interest)
			got := wants[c.index]
			if got&c.want != c.want || c.want&wanted == 0 && got&wanted != 0 {
				t.Errorf("wants[%d] = %b, want %b", c.index, got, c.want)
			}
		})
	}
}
