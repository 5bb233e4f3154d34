package screen

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gdamore/tcell/v2"

	"rollcage/internal/inspect/view"
)

// fixedFeed stands in for events: it has the rows that a test gives it.
type fixedFeed struct {
	shown   []string // conditions
	updates chan Update
}

func (f *fixedFeed) Show(path view.Path, text string, _ bool) error {
	if _, err := view.New(path.View(), view.Options{Filter: path.Condition()}); err != nil {
		return err
	}
	f.shown = append(f.shown, path.View().ID+text+": "+path.Condition())
	return nil
}
func (f *fixedFeed) Updates() <-chan Update { return f.updates }
func (f *fixedFeed) Close() error           { return nil }

// rowsOf returns a result of the errors view: error names and counts.
func rowsOf(t *testing.T, id string, rows ...string) *view.Result {
	t.Helper()
	table, err := view.New(view.Lookup(id), view.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := table.Result(1)
	for i, name := range rows {
		r.Rows = append(r.Rows, view.Row{Key: name, Cells: []view.Cell{{Num: uint64(i + 1)}, {Text: name}}})
	}
	return r
}

type session struct {
	*testing.T
	m    *model
	feed *fixedFeed
	s    tcell.SimulationScreen
}

func start(t *testing.T, rows ...string) *session {
	s := tcell.NewSimulationScreen("UTF-8")
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Fini)
	s.SetSize(100, 12)
	feed := &fixedFeed{}
	x := &session{t, newModel(feed, view.NewPath(view.Lookup("errors"), ""), "", "capture a.scap", false), feed, s}
	x.update(rows...)
	return x
}

func (x *session) update(rows ...string) {
	x.m.update(Update{Result: rowsOf(x.T, "errors", rows...), State: State{Done: true}})
}

// keys presses keys: a rune each, or a name in angle brackets.
func (x *session) keys(text string) {
	names := map[string]tcell.Key{"enter": tcell.KeyEnter, "esc": tcell.KeyEscape, "back": tcell.KeyBackspace2,
		"down": tcell.KeyDown, "up": tcell.KeyUp, "left": tcell.KeyLeft, "right": tcell.KeyRight, "end": tcell.KeyEnd, "pgdn": tcell.KeyPgDn}
	for len(text) > 0 {
		if name, rest, ok := strings.Cut(text[1:], ">"); ok && text[0] == '<' && names[name] != 0 {
			x.m.key(names[name], 0)
			text = rest
			continue
		}
		r := []rune(text)[0]
		x.m.key(tcell.KeyRune, r)
		text = text[len(string(r)):]
	}
}

// lines draws and returns what is seen.
func (x *session) lines() []string {
	x.m.draw(x.s)
	cells, w, h := x.s.GetContents()
	var out []string
	for y := range h {
		var b strings.Builder
		for _, c := range cells[y*w : (y+1)*w] {
			b.WriteString(string(c.Runes))
		}
		out = append(out, strings.TrimRight(b.String(), " "))
	}
	return out
}

func (x *session) sees(want ...string) {
	x.Helper()
	got := strings.Join(x.lines(), "\n")
	for _, w := range want {
		if !strings.Contains(got, w) {
			x.Errorf("no %q in\n%s", w, got)
		}
	}
}

func TestRowsAreShownHighestFirst(t *testing.T) {
	x := start(t, "EAGAIN", "ENOENT")
	l := x.lines()
	if !strings.HasPrefix(l[0], " Errors") || !strings.Contains(l[0], "capture a.scap") || !strings.Contains(l[1], "2 rows") {
		t.Errorf("%q", l[:2])
	}
	if !strings.Contains(l[2], "COUNTv") || strings.Fields(l[3])[1] != "ENOENT" || strings.Fields(l[4])[1] != "EAGAIN" {
		t.Errorf("%q", l)
	}
	x.keys("r")
	if l = x.lines(); strings.Fields(l[3])[1] != "EAGAIN" || !strings.Contains(l[2], "COUNT^") {
		t.Errorf("reversed: %q", l)
	}
	x.keys("<right>")
	if l = x.lines(); !strings.Contains(l[2], "ERROR^") {
		t.Errorf("by name: %q", l)
	}
}

func TestASelectedRowStaysSelectedWhenItMoves(t *testing.T) {
	x := start(t, "EAGAIN", "ENOENT", "EPERM")
	x.keys("<down>") // ENOENT
	x.update("ENOENT", "EPERM", "EAGAIN")
	if row := x.m.result.Rows[x.m.cursor].Key; row != "ENOENT" {
		t.Errorf("selected %s", row)
	}
}

func TestEnterOpensARowAndBackspaceLeavesIt(t *testing.T) {
	x := start(t, "EAGAIN")
	x.keys("<enter>")
	x.sees("Errors EAGAIN > Processes Errors", "collecting")
	x.keys("<back>")
	want := []string{"errors: ", `procs_errors: (evt.res != SUCCESS) and (evt.res="EAGAIN")`, "errors: "}
	if fmt.Sprint(x.feed.shown) != fmt.Sprint(want) {
		t.Errorf("%q", x.feed.shown)
	}
	x.keys("<back>")
	x.sees("this is where you started")
}

func TestAFilterIsCheckedBeforeItIsUsed(t *testing.T) {
	x := start(t, "EAGAIN")
	x.keys("/proc.nome=a<enter>")
	x.sees("Filter: proc.nome=a_", "'proc.nome'", "no filter")
	x.keys("<back><back>=b")
	x.sees("Filter: proc.nome=b_")
	x.keys("<esc>/")
	x.m.input = "proc.name=a"
	x.keys("<enter>")
	x.sees("filter: proc.name=a")
}

func TestTheMenuShowsTheViewsThatFit(t *testing.T) {
	x := start(t, "EAGAIN")
	x.keys("v")
	x.sees("Views", "Connections over IP")
	x.keys("<up><enter>")
	if x.m.path.View().ID == "errors" || x.m.mode != modeRows {
		t.Errorf("at %s", x.m.path.View().ID)
	}
}

func TestTheDataOfARowIsShownAsLines(t *testing.T) {
	x := start(t, "EAGAIN")
	x.keys("e")
	x.m.update(Update{Lines: []string{"one", "two"}, State: State{Live: true}})
	x.sees("Errors EAGAIN > Data", "2 lines", "one", "two")
	x.keys("<esc>")
	x.sees(" Errors")
}

func TestPausedRowsDoNotChange(t *testing.T) {
	x := start(t, "EAGAIN")
	x.keys("p")
	x.update("ENOENT")
	x.sees("EAGAIN", "paused")
	x.keys("p")
	x.update("ENOENT")
	x.sees("ENOENT")
}

func TestHelpNamesEveryKeyAndQuitQuits(t *testing.T) {
	x := start(t, "EAGAIN")
	x.s.SetSize(100, 40)
	x.keys("?")
	for _, b := range bindings {
		x.sees(b.label)
	}
	x.keys("xq")
	if !x.m.quit {
		t.Error("goes on")
	}
}

func TestAnySizeAndAnyStateCanBeDrawn(t *testing.T) {
	x := start(t)
	x.m.update(Update{State: State{Err: errors.New("disk gone")}})
	for _, size := range [][2]int{{1, 1}, {20, 6}, {30, 8}, {300, 3}, {300, 100}} {
		x.s.SetSize(size[0], size[1])
		x.lines()
		x.keys("?")
		x.lines()
		x.keys("xv")
		x.lines()
		x.keys("<esc><pgdn><end><enter>")
		x.lines()
	}
	x.s.SetSize(100, 20)
	x.m.mode = modeRows
	x.sees("disk gone")
}

func TestASpectrogramHasALineForEachSample(t *testing.T) {
	x := start(t)
	x.m.open(view.NewPath(view.Lookup("spectro_all"), ""), "")
	table, err := view.New(view.Lookup("spectro_all"), view.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sample := table.Result(1)
	sample.Rows = []view.Row{{Key: "25", Cells: []view.Cell{{Num: 25}, {Num: 1000}}}}
	x.m.update(Update{Samples: []*view.Result{table.Result(1), sample}})
	x.sees("Spectrogram-All", "2 samples", "1.00us", "10ms")
	cells, w, _ := x.s.GetContents()
	at := column(25, w)
	if _, bg, _ := cells[4*w+at].Style.Decompose(); bg != tcell.PaletteColor(heat[9]) {
		t.Errorf("colour %v", bg)
	}
	if _, bg, _ := cells[3*w+at].Style.Decompose(); bg != tcell.ColorDefault {
		t.Errorf("an empty sample has colour %v", bg)
	}
}
