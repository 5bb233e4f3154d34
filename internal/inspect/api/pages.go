package api

import (
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// pages serves the interface. Any path without a file is a state of its one
// page, so that links to states work. Files with a hash in their name never change.
func pages(files fs.FS) http.Handler {
	serve := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		if name == "" || !isFile(files, name) {
			w.Header().Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, files, "index.html")
			return
		}
		if strings.HasPrefix(name, "assets/") {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		serve.ServeHTTP(w, r)
	})
}

func isFile(files fs.FS, name string) bool {
	stat, err := fs.Stat(files, name)
	return err == nil && stat.Mode().IsRegular()
}
