package probe

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"rollcage/internal/observe/event"
)

//go:embed recipes.txt
var recipeText string

//go:embed translations.txt
var translationText string

// noArg stands for no argument in a recipe: the program keeps zeros there.
const noArg = 7

// tables are recipes.txt and translations.txt for one architecture, in the
// form in which the programs take them.
type tables struct {
	translations []bpfTranslation
	names        map[string]uint8 // of translations
	kinds        map[string]uint8 // of recipes, as the programs number them

	recipes map[event.Type][]bpfRecipe
	ia32    map[int]compatCall
	x32     map[int]int // 64-bit numbers
}

// compatCall is a 32-bit call that is not simply the 64-bit one.
type compatCall struct {
	native  int            // number of the equal 64-bit call, or -1
	name    *event.Syscall // a call without one, which has no event of its own
	exit    event.Type
	recipes []bpfRecipe
}

// parseTables reads the tables for arch ("amd64", "arm64"). What a kind of
// recipe is called is taken from the programs' own types.
func parseTables(spec *ebpf.CollectionSpec, arch string) (*tables, error) {
	t := &tables{
		names: map[string]uint8{}, kinds: map[string]uint8{},
		recipes: map[event.Type][]bpfRecipe{}, ia32: map[int]compatCall{}, x32: map[int]int{},
	}
	var kind *btf.Enum
	if err := spec.Types.TypeByName("kind", &kind); err != nil {
		return nil, fmt.Errorf("kinds of recipes in the BPF object: %w", err)
	}
	for _, v := range kind.Values {
		t.kinds[strings.ToLower(strings.TrimPrefix(v.Name, "KIND_"))] = uint8(v.Value)
	}
	if err := eachLine("translations.txt", translationText, t.translationLine(arch)); err != nil {
		return nil, err
	}
	return t, eachLine("recipes.txt", recipeText, t.recipeLine)
}

// eachLine calls do with the words of every line that is neither empty nor a comment.
func eachLine(file, text string, do func(words []string, indented bool) error) error {
	n := 0
	for line := range strings.Lines(text) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || line[0] == '#' {
			continue
		}
		if err := do(words, line[0] == ' '); err != nil {
			return fmt.Errorf("%s:%d: %w", file, n, err)
		}
	}
	return nil
}

var translationModes = map[string]bpfTranslationMode{
	"bits":  bpfTranslationModeTRANSLATE_BITS,
	"exact": bpfTranslationModeTRANSLATE_EXACT,
	"keep":  bpfTranslationModeTRANSLATE_KEEP,
}

func (t *tables) translationLine(arch string) func([]string, bool) error {
	var labels *event.FlagTable
	t.translations = []bpfTranslation{{}} // number 0 is none
	return func(w []string, indented bool) error {
		if !indented {
			mode, ok := translationModes[w[len(w)-1]]
			if labels = event.Table(w[0]); labels == nil || !ok {
				return fmt.Errorf("no table or mode %q", w)
			}
			t.names[w[0]] = uint8(len(t.translations))
			t.translations = append(t.translations, bpfTranslation{Mode: uint32(mode)})
			return nil
		}
		to, ok := labels.Value(w[0])
		if !ok {
			return fmt.Errorf("table %s has no label %s", labels.Name, w[0])
		}
		number := w[1]
		if arch == "arm64" && len(w) > 2 {
			number = w[2]
		}
		from, err := strconv.ParseUint(number, 0, 32)
		if err != nil {
			return err
		}
		last := &t.translations[len(t.translations)-1]
		if int(last.N) == len(last.Pairs) {
			return fmt.Errorf("table %s is longer than the programs allow", labels.Name)
		}
		last.Pairs[last.N].From, last.Pairs[last.N].To = uint32(from), uint32(to)
		last.N++
		return nil
	}
}

func (t *tables) recipeLine(w []string, _ bool) error {
	switch w[0] {
	case "ia32":
		nr, err := strconv.Atoi(w[1])
		if err != nil {
			return err
		}
		switch w[2] {
		case "=":
			native, err := strconv.Atoi(w[3])
			t.ia32[nr] = compatCall{native: native}
			return err
		case "call":
			s := event.SyscallByName(w[3])
			if s == nil || !s.Generic() {
				return fmt.Errorf("no call %q without an event of its own", w[3])
			}
			t.ia32[nr] = compatCall{native: -1, name: s}
			return nil
		}
		typ, recipes, err := t.eventRecipes(w[2:])
		t.ia32[nr] = compatCall{native: -1, exit: typ, recipes: recipes}
		return err
	case "x32":
		nr, err := strconv.Atoi(w[1])
		if err != nil {
			return err
		}
		t.x32[nr], err = strconv.Atoi(w[3])
		return err
	}
	typ, recipes, err := t.eventRecipes(w)
	t.recipes[typ] = recipes
	return err
}

// eventRecipes parses EVENT RECIPE..., one for each parameter of the event.
func (t *tables) eventRecipes(w []string) (event.Type, []bpfRecipe, error) {
	info := event.ByEnum(w[0])
	if info == nil {
		return 0, nil, fmt.Errorf("no event %s", w[0])
	}
	if len(w)-1 != len(info.Params) {
		return 0, nil, fmt.Errorf("%s has %d parameters, not %d", w[0], len(info.Params), len(w)-1)
	}
	recipes := make([]bpfRecipe, len(info.Params))
	for i, text := range w[1:] {
		r, err := t.recipe(text)
		if err != nil {
			return 0, nil, fmt.Errorf("%s parameter %s: %w", w[0], info.Params[i].Name, err)
		}
		recipes[i] = r
	}
	return info.Type, recipes, nil
}

// recipe parses KIND[:ARGUMENT[:AUX]][@TABLE].
func (t *tables) recipe(text string) (bpfRecipe, error) {
	var r bpfRecipe
	text, table, translated := strings.Cut(text, "@")
	if translated {
		n, ok := t.names[table]
		if !ok {
			return r, fmt.Errorf("no translation %s", table)
		}
		r.Table = n
	}
	parts := strings.Split(text, ":")
	kind, ok := t.kinds[parts[0]]
	if !ok || len(parts) > 3 {
		return r, fmt.Errorf("no recipe %q", text)
	}
	r.Kind = kind
	for i, to := range []*uint8{&r.Arg, &r.Aux} {
		if i+1 >= len(parts) {
			break
		}
		if parts[i+1] == "none" {
			*to = noArg
			continue
		}
		n, err := strconv.ParseUint(parts[i+1], 10, 8)
		if err != nil {
			return r, fmt.Errorf("recipe %q: %w", text, err)
		}
		*to = uint8(n)
	}
	return r, nil
}
