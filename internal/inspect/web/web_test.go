package web

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "note that dist is the build of the sources as they are")

// sources are what the build is made of.
var sources = []string{"src", "public", "index.html", "package.json", "package-lock.json", "vite.config.ts", "svelte.config.js", "tsconfig.json"}

// fingerprint is a hash of all sources.
func fingerprint(t *testing.T) string {
	t.Helper()
	var files []string
	for _, s := range sources {
		err := filepath.WalkDir(s, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(files)
	h := sha256.New()
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		h.Write([]byte(f + " " + hex.EncodeToString(sum[:]) + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestTheBuildIsOfTheseSources(t *testing.T) {
	const note = "testdata/sources.sha256"
	got := fingerprint(t) + "\n"
	if *update {
		if err := os.WriteFile(note, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("the sources changed since the pages were built; run make web")
	}
}

// maxScript is what all scripts of the pages together may take, in bytes.
const maxScript = 300 << 10

func TestThePagesStaySmallAndAskNobodyElse(t *testing.T) {
	size := 0
	err := fs.WalkDir(Files(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(Files(), path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".js") {
			size += len(data)
		}
		for _, word := range []string{"//fonts.", "cdn.", "unpkg", "jsdelivr", "googleapis"} {
			if strings.Contains(string(data), word) {
				t.Errorf("%s names %s", path, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if size == 0 || size > maxScript {
		t.Errorf("the scripts take %d bytes, at most %d", size, maxScript)
	}
}
