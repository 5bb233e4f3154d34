package view

import "testing"

func TestProcessesOfOneCommandLineAreJoined(t *testing.T) {
	v := Lookup("procs")
	res := &Result{View: v}
	for i := range v.Columns {
		if c := &v.Columns[i]; !c.Key && !c.GroupKey && c.shown(true) {
			f, err := parseField(c.Field, 0)
			if err != nil {
				t.Fatal(err)
			}
			res.Columns = append(res.Columns, ResultColumn{Column: c, Type: f, class: classOf(f.Type)})
		}
	}
	column := func(field string) int {
		for i := range res.Columns {
			if res.Columns[i].Field == field {
				return i
			}
		}
		t.Fatalf("no column %s", field)
		return -1
	}
	pid, line, read := column("proc.pid"), column("proc.exeline"), column("evt.buflen.file")
	for i, cmd := range []string{"curl a", "nginx", "curl a"} {
		cells := make([]Cell, len(res.Columns))
		cells[pid].Num, cells[line].Text, cells[read].Num = uint64(30-i), cmd, 100
		res.Rows = append(res.Rows, Row{Key: string(rune('9' - i)), Cells: cells})
	}
	alike := res.Alike(true)
	if len(alike) != 2 {
		t.Fatalf("rows are alike by the columns %v", alike)
	}
	counts := res.Join(alike)
	if len(res.Rows) != 2 || len(counts) != 2 {
		t.Fatalf("%d rows, %v", len(res.Rows), counts)
	}
	for _, r := range res.Rows {
		n, sum := counts[r.Key], r.Cells[read].Num
		if want := map[string]int{"curl a": 2, "nginx": 1}[r.Cells[line].Text]; n != want || sum != uint64(100*want) {
			t.Errorf("%s: %d processes, %d bytes", r.Cells[line].Text, n, sum)
		}
	}
}
