// Package web holds the pages of the browser interface: the sources in src/, and
// their build in dist/, which is committed so that Go alone builds the binary.
// `make web` builds them anew.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files returns the built pages; index.html is the one that a visitor starts with.
func Files() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return sub
}
