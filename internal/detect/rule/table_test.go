package rule

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateTables = flag.Bool("update-tables", false, "write what comes of the cases in testdata/load")

// The files testdata/load/*.txt are cases of loading rules files:
//
//	### What the case is about
//	the text of a rules file
//	+++ (between two files, if there are several)
//	===
//	what comes of it
//
// What comes of it are the problems, as FILE:LINE:COLUMN CODE MESSAGE, and then what each rule is:
//
//	NAME: PRIORITY, disabled, tags …
//	  condition as it is compiled
//	  output
//
// A title that ends in (compatible) is loaded as Falco does, one that ends in (advice) with advice.
func TestLoadTables(t *testing.T) {
	files, err := filepath.Glob("testdata/load/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	seen, n := map[string]bool{}, 0
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			n += loadTable(t, name, seen)
		})
	}
	for c := ErrFileRead; c <= UnknownKey; c++ {
		// A file that cannot be read has no text, and no item is an extension.
		if c != ErrFileRead && c != ErrExtension && c != WarningExtension && !seen[c.String()] {
			t.Errorf("no case has %s", c)
		}
	}
	if n < 150 {
		t.Errorf("only %d cases", n)
	}
}

func loadTable(t *testing.T, name string, seen map[string]bool) int {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(data), "### ")
	out, n := head, 0
	for _, c := range strings.Split(rest, "\n### ") {
		n++
		title, body, _ := strings.Cut(c, "\n")
		text, want, _ := strings.Cut(body, "===\n")
		want = strings.TrimRight(want, "\n")
		got := loadCase(title, text)
		for _, word := range strings.Fields(got) {
			if strings.HasPrefix(word, "LOAD_") {
				seen[word] = true
			}
		}
		if got != want && !*updateTables {
			t.Errorf("%s: %s\ngot\n%s\nwant\n%s", name, title, got, want)
		}
		out += "### " + title + "\n" + text + "===\n" + got + "\n\n"
	}
	if *updateTables {
		if err := os.WriteFile(name, []byte(strings.TrimRight(out, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func loadCase(title, text string) string {
	opts := LoadOptions{Compatible: strings.HasSuffix(title, "(compatible)"), Advise: strings.HasSuffix(title, "(advice)")}
	var files []File
	for i, part := range strings.Split(text, "+++\n") {
		files = append(files, File{Name: string(rune('a' + i)), Data: []byte(part)})
	}
	set, results := Load(files, opts)
	var lines []string
	for _, r := range results {
		for _, p := range r.Problems() {
			code := p.Code.String()
			if p.Code == Advice {
				code = p.Topic
			}
			lines = append(lines, fmt.Sprintf("%s:%d:%d %s %s", p.Position.File, p.Position.Line, p.Position.Column, code, p.Message))
		}
	}
	for _, r := range set.Rules {
		line := r.Name + ": " + r.Priority.String()
		if !r.Enabled {
			line += ", disabled"
		}
		if len(r.Tags) > 0 {
			line += ", tags " + strings.Join(r.Tags, " ")
		}
		lines = append(lines, line, "  "+r.Compiled(), "  "+r.Output)
	}
	if len(lines) == 0 {
		lines = append(lines, "nothing")
	}
	return strings.Join(lines, "\n")
}
